"""A tiny set of texts in BEIR's own format."""

from __future__ import annotations

import json
from pathlib import Path

DOCUMENTS = {"d1": "cats purr", "d2": "dogs bark", "d3": "cats and dogs"}
QUERIES = {"q1": "what purrs", "q2": "what barks", "q3": "nobody judged this"}
QRELS = {"train": [("q1", "d1", 1), ("q1", "d3", 2)], "test": [("q2", "d2", 1)]}


def write_beir_folder(path: Path) -> Path:
    """Write the set to `path`, which is made."""
    (path / "qrels").mkdir(parents=True)
    corpus = [{"_id": id_, "title": "", "text": text} for id_, text in DOCUMENTS.items()]
    queries = [{"_id": id_, "text": text} for id_, text in QUERIES.items()]
    (path / "corpus.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in corpus))
    (path / "queries.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in queries))
    for part, judged in QRELS.items():
        rows = "".join(f"{query}\t{document}\t{grade}\n" for query, document, grade in judged)
        (path / "qrels" / f"{part}.tsv").write_text("query-id\tcorpus-id\tscore\n" + rows)
    return path
