"""The restore drill and what `gc` sweeps away, on engines that keep bits."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from commands import opened_shop
from worlds import JUDGED, SETTINGS, World

from nudge_sync import cycle
from nudge_sync.base.signals import StopRequest
from nudge_sync.config import load_config
from nudge_sync.errors import Interrupted
from nudge_sync.serve.daemon import Daemon, build_cycle_trigger, build_drill_trigger
from nudge_sync.store import checksum
from nudge_sync.store.history import History
from nudge_sync.store.ledger import Ledger
from nudge_sync.store.leftovers import sweep_leftovers
from nudge_sync.store.restore_drill import open_scratch_records, run_drill
from nudge_sync.writing.resume import resume
from nudge_sync.writing.rollback import roll_back


def test_a_drill_restores_every_bit_and_leaves_nothing_behind(world: World) -> None:
    world.teach()
    cycle.apply(world.target(), SETTINGS)
    before = world.live()
    done = run_drill(world.target(), sample_size=0)
    assert (done.originals, done.history, done.identical) == (JUDGED, JUDGED, 2 * JUDGED)
    assert done.is_restorable
    part = run_drill(world.target(), sample_size=10, rng=np.random.default_rng(0))
    assert (part.originals, part.history, part.identical) == (10, 10, 20)
    assert open_scratch_records(world.target()).count() == 0
    assert world.live().tobytes() == before.tobytes()


def test_nothing_to_drill(world: World) -> None:
    done = run_drill(world.target())
    assert (done.originals, done.history, done.identical, done.is_restorable) == (0, 0, 0, True)


@pytest.mark.parametrize("world", ["memory"], indirect=True)
def test_a_drill_names_what_a_rollback_could_not_use(world: World) -> None:
    world.teach()
    cycle.apply(world.target(), SETTINGS)
    originals = world.database.store.records["docs__nudge_originals"]
    history = world.database.store.records["docs__nudge_history"]
    bent, gone = "1:3", "1:5"
    text, vector = originals[bent]
    wrong = vector.copy()
    wrong[0] = -wrong[0]
    originals[bent] = (text, wrong)
    del originals[gone]
    history["1:7"] = ('{"id": 7}', history["1:7"][1])
    done = run_drill(world.target(), sample_size=0)
    assert done.damaged == ["docs__nudge_originals 1:3", "docs__nudge_history 1:7"]
    assert done.baseless == [gone]
    assert not done.is_restorable
    assert done.identical == 2 * JUDGED - 3


def _abandoned(world: World) -> int:
    """History of a revision that was noted, never written, and abandoned with its notes there."""
    world.teach()

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "write":
            raise AssertionError
        if stage == "note" and done == total:
            raise Interrupted

    with pytest.raises(Interrupted):
        cycle.apply(world.target(), SETTINGS, progress=stop)
    target = world.target()
    ledger = Ledger(target.ledger_records, "docs")
    ledger.set_state(ledger.read_entry(1), "abandoned")
    return target.history_records.count()


def test_gc_sweeps_the_history_of_abandoned_revisions(world: World) -> None:
    noted = _abandoned(world)
    before = world.live()
    assert noted == JUDGED
    assert sweep_leftovers(world.target()) == noted
    assert world.target().history_records.count() == 0
    assert sweep_leftovers(world.target()) == 0
    assert resume(world.target(), SETTINGS) is None
    assert roll_back(world.target(), SETTINGS, originals=True).restored == 0
    assert world.live().tobytes() == before.tobytes()


def test_gc_keeps_an_abandoned_note_that_alone_tells_a_live_vector_is_ours(world: World) -> None:
    noted = _abandoned(world)
    target = world.target()
    record = History(target.history_records, "docs").read_records(1, [2], vectors=True)[2]
    assert record.vector is not None
    world.upsert([2], record.vector[None])
    held = checksum.digest_vectors(world.live([2]))[0] == record.document["vector"]
    assert sweep_leftovers(world.target()) == noted - held


def test_gc_sweeps_what_a_killed_drill_left(world: World) -> None:
    world.teach()
    cycle.apply(world.target(), SETTINGS)
    target = world.target()
    open_scratch_records(target).put(target.shadow_records.get(["1:3", "1:4"]))
    assert run_drill(world.target()).is_restorable
    assert open_scratch_records(target).count() == 2
    assert sweep_leftovers(world.target()) == 2
    assert open_scratch_records(target).count() == 0


def test_the_daemon_drills_on_its_own_schedule(tmp_path: Path) -> None:
    shop = opened_shop(tmp_path / "shop")
    shop.configure('[schedule]\nevery = "1d"\ndrill_every = "1s"')
    config = load_config(shop.config)
    schedule = config.collections["docs"].schedule
    assert build_drill_trigger(schedule) is not None
    assert build_drill_trigger(schedule.model_copy(update={"drill_every": None})) is None
    daemon = Daemon(config, StopRequest(), {"docs": ""})
    with daemon.run_schedule({"docs": build_cycle_trigger(schedule)}, at_once=False):
        line = b'nudge_sync_drills_total{collection="docs",result="restored"}'
        deadline = time.monotonic() + 60
        while line not in daemon.render_metrics():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert b'collection="docs drill"' not in daemon.render_metrics()
        assert b"nudge_sync_next_run_timestamp_seconds{" in daemon.render_metrics()


def test_verify_drills_when_asked(tmp_path: Path) -> None:
    shop = opened_shop(tmp_path / "shop")
    shop.call("feedback", "import", str(shop.feedback))
    shop.call("apply", "--yes")
    assert "drill" not in shop.call("verify")
    found = shop.call("verify", "--drill", "--sample", "7")
    assert found["drill"]["originals"] == found["drill"]["history"] == 7
    assert (found["drill"]["identical"], found["drill"]["ok"], found["clean"]) == (14, True, True)
    assert shop.call("gc")["removed"] == 0
