"""Make nudge_sync/demo/data/metatool.npz from a folder of documents, queries and judgements.

python tools/demo_data.py FOLDER, which holds documents.npy, documents.txt, queries.npy,
queries.txt and qrels.tsv (query id, document id, grade).
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

TARGET = Path(__file__).parent.parent / "nudge_sync" / "demo" / "data" / "metatool.npz"


def read_row_numbers(path: Path) -> dict[str, int]:
    """Return id -> row, from a file with an id on each line."""
    names = path.read_text(encoding="utf-8").splitlines()
    return {name: row for row, name in enumerate(names)}


def main(folder: Path) -> None:
    """Write the file from what is in `folder`."""
    tools, requests = (
        read_row_numbers(folder / "documents.txt"),
        read_row_numbers(folder / "queries.txt"),
    )
    lines = (folder / "qrels.tsv").read_text(encoding="utf-8").splitlines()
    relevant_pairs = [line.split("\t")[:2] for line in lines]
    np.savez_compressed(
        TARGET,
        documents=np.load(folder / "documents.npy").astype(np.float16),
        queries=np.load(folder / "queries.npy").astype(np.float16),
        document_names=np.array(list(tools)),
        query_names=np.array(list(requests)),
        relevant=np.array(
            [(requests[query], tools[tool]) for query, tool in relevant_pairs], np.int32
        ),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
