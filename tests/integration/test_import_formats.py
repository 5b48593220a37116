import csv
import json
import sys
from pathlib import Path

import numpy as np
from commands import Shop, opened_shop


def as_csv(shop: Shop, folder: Path) -> list[str]:
    """The shop's feedback once more: events as CSV, the searches' vectors as an array."""
    rows = [json.loads(line) for line in shop.feedback.read_text().splitlines()]
    searches = [row for row in rows if "query_vector" in row]
    np.save(folder / "q.npy", np.array([row["query_vector"] for row in searches]))
    (folder / "q.txt").write_text("".join(f"{row['query_id']}\n" for row in searches))
    with (folder / "events.csv").open("w", newline="") as file:
        table = csv.DictWriter(
            file, ["query_id", "point", "action", "grade"], extrasaction="ignore"
        )
        table.writeheader()
        table.writerows(row for row in rows if "action" in row)
    files = ["--query-vectors", str(folder / "q.npy"), "--query-ids", str(folder / "q.txt")]
    return [str(folder / "events.csv"), *files]


def test_csv_with_vectors_is_judged_as_json_lines_are(tmp_path):
    plain, other = opened_shop(tmp_path / "plain"), opened_shop(tmp_path / "csv")
    expected = plain.call("feedback", "import", str(plain.feedback))
    words = as_csv(other, tmp_path)
    found = other.call("feedback", "import", *words)
    assert found == expected | {"rejects_file": None}
    assert other.call("feedback", "import", *words)["unchanged"] == found["accepted"]
    stats = [shop.call("feedback", "stats") for shop in (plain, other)]
    assert stats[0]["judged"] == stats[1]["judged"]
    assert stats[0]["judgements"] == stats[1]["judgements"]


EMBED = """import numpy as np

rows = dict(zip(*np.load("texts.npz").values()))


def queries(texts):
    return np.array([rows[text] for text in texts])
"""


def test_ubi_logs_are_embedded_by_a_function_of_ones_own(tmp_path, monkeypatch):
    plain, other = opened_shop(tmp_path / "plain"), opened_shop(tmp_path / "ubi")
    rows = [json.loads(line) for line in plain.feedback.read_text().splitlines()]
    searches = [row for row in rows if "query_vector" in row]
    texts = [f"question {row['query_id']}" for row in searches]
    vectors = [row["query_vector"] for row in searches]
    np.savez(tmp_path / "texts.npz", np.array(texts), np.array(vectors))
    (tmp_path / "own_model.py").write_text(EMBED)
    ubi = tmp_path / "ubi.jsonl"
    asked = zip(searches, texts, strict=True)
    lines = [{"query_id": row["query_id"], "user_query": text} for row, text in asked]
    lines += [
        {
            "query_id": row["query_id"],
            "action_name": row["action"],
            "event_attributes": {"object": {"object_id": str(row["point"])}},
        }
        for row in rows
        if "action" in row
    ]
    ubi.write_text("".join(json.dumps(line) + "\n" for line in lines))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    expected = plain.call("feedback", "import", str(plain.feedback))
    found = other.call("feedback", "import", str(ubi), "--embed", "own_model:queries")
    assert found == expected | {"rejects_file": None}
    stats = [shop.call("feedback", "stats")["judgements"] for shop in (plain, other)]
    assert stats[0] == stats[1] > 0
    said = other.call("feedback", "import", str(ubi), "--embed", "own_model:absent", code=2)
    assert "own_model:absent" in said
