from __future__ import annotations

import json

from worlds import SETTINGS, World

from nudge_sync import cycle
from nudge_sync.feedback import Destination, import_rows, json_lines
from nudge_sync.feedback.forgetting import Whom, exported, forget


def test_the_next_cycle_leaves_no_bit_of_a_forgotten_client(world: World) -> None:
    world.teach(range(600))
    cycle.apply(world.target(), SETTINGS)
    never_heard_of_them = world.live().tobytes()
    world.teach(range(600, 900), client="c1")
    cycle.apply(world.target(), SETTINGS)
    assert world.live().tobytes() != never_heard_of_them

    target = world.target()
    gone = forget(target.queries, target.events, Whom(client="c1"))
    assert gone.events == 300
    cycle.apply(world.target(), SETTINGS)
    assert world.live().tobytes() == never_heard_of_them


def test_what_is_held_on_a_client_can_be_given_out_and_taken_back(world: World, tmp_path) -> None:
    world.teach(range(20), client="c1")
    world.teach(range(20, 30), client="c2")
    target = world.target()
    rows = list(exported(target.queries, target.events, Whom(client="c1")))
    assert {row["client_id"] for row in rows} == {"c1"}
    path = tmp_path / "c1.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    before = target.events.count()
    forget(target.queries, target.events, Whom(client="c1"))
    assert target.events.count() == 10
    assert not list(exported(target.queries, target.events, Whom(client="c1")))
    place = Destination(target.queries, target.events, target.collection)
    report = import_rows([json_lines(path)], place)
    assert (report.rejected, target.events.count()) == (0, before)
