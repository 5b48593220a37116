import csv
import json
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
