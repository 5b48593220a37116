"""`forget` from the command line: afterwards the collection is as if the client had never been."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import Shop, opened_shop


def imported(folder: Path, others: str, keep: bool) -> Shop:
    """A shop where every third query is one client's, who labels a point of their own."""
    shop = opened_shop(folder)
    rows = []
    for number, answer in enumerate(shop.numbers.answers):
        theirs = number % 3 == 0
        name, vector = f"q{number}", shop.numbers.queries[number].tolist()
        if theirs and not keep:
            continue
        said = {"query_id": name, "client": others if theirs else "c0", "session": f"s{number}"}
        rows.append({**said, "query_vector": vector})
        rows.append({**said, "action": "relevant", "point": answer, "grade": 1})
        if theirs:
            rows.append({**said, "action": "relevant", "point": 300 + number % 7, "grade": 1})
    shop.feedback.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    shop.call("feedback", "import", str(shop.feedback))
    return shop


@pytest.mark.parametrize("client", ["c1", 'o\'hara "x" \u202e'])
def test_the_next_cycle_leaves_the_collection_as_if_they_had_never_been(tmp_path, client):
    shop = imported(tmp_path / "with", client, keep=True)
    other = imported(tmp_path / "without", client, keep=False)
    before = shop.live()
    shop.call("apply", "--yes")
    assert (shop.live()[300:307] != before[300:307]).any()
    gone = shop.call("forget", "--client", client, "--yes")
    assert (gone["searches"], gone["events"]) == (300, 600)
    shop.call("apply", "--yes")
    other.call("apply", "--yes")
    assert shop.live().tobytes() == other.live().tobytes()
    assert shop.live()[300:307].tobytes() == before[300:307].tobytes()
    found = shop.call("feedback", "stats")
    assert (found["searches"], found["events"]) == (600, 600)
    assert shop.call("verify", "--drill")["drill"]["ok"]


def test_forgetting_everybody_brings_every_original_back(tmp_path):
    shop = imported(tmp_path / "shop", "c1", keep=True)
    before = shop.live()
    shop.call("apply", "--yes")
    for client in ("c0", "c1"):
        shop.call("forget", "--client", client, "--yes")
    shop.call("apply", "--yes", code=3)
    assert shop.live().tobytes() == before.tobytes()
