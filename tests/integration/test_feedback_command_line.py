from __future__ import annotations

import json
from pathlib import Path

from commands import opened_shop


def test_judgements_and_forget(tmp_path: Path) -> None:
    shop = opened_shop(tmp_path)
    rows = [json.loads(line) for line in shop.feedback.read_text().splitlines()]
    rows = [row | {"client": "c1"} for row in rows]
    shop.feedback.write_text("".join(json.dumps(row) + "\n" for row in rows))
    shop.call("feedback", "import", str(shop.feedback))
    event = next(row for row in rows if "action" in row)
    found = shop.call("feedback", "judgements", "--point", str(event["point"]))["judgements"]
    assert event["query_id"] in {reason["query_id"] for reason in found}
    assert all(reason["source"] == "label" for reason in found)

    gone = shop.call("forget", "--client", "c1", "--yes")
    assert gone["searches"] + gone["events"] == len(rows)
    stats = shop.call("feedback", "stats")
    assert (stats["searches"], stats["events"], stats["judged"]) == (0, 0, 0)


def test_nothing_but_the_result_is_printed_where_nobody_watches(tmp_path: Path) -> None:
    shop = opened_shop(tmp_path)
    words = ("feedback", "import", str(shop.feedback), "--json")
    out, said = shop.child(*words).communicate()
    assert (json.loads(out)["accepted"], said) == (1800, "")
    out, said = shop.child("feedback", "stats").communicate()
    assert said == ""
    blank, last = out.splitlines()[-2:]
    assert (blank, last[:18]) == ("", "40 of 400 points (")
