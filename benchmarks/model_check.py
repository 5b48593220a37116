"""Whether the check of the embedding model errs: no false alarm, and every wrong pairing caught.

python benchmarks/model_check.py [--data FOLDER] [--samples 20]

Searches of the demo's collection, and of each collection in FOLDER (documents.npy, queries.npy,
their ids and qrels.tsv), come to a collection, 100 at a time:

right      to their own.
spaces     to their own, in another space of the same dimension: turned at random, components in
           another order, shifted by one, negated, drawn at random.
sets       to every other collection of the same dimension, whatever its model.

pairs      each search names a point: the one that answers it, in another set one drawn at random.
shown      each search names what exact search in the right space showed first.
nothing    no search names a point; here the queries of another set of the same model are of the
           same space, and are counted, not expected to be caught.

Ends with status 1 if a right pairing is refused, or a wrong one is not that should be.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nudge_sync.demo.requests import load_demo_data
from nudge_sync.feedback.fetch.model_check import MIN_PAIRS, ModelCheck, ModelChecker
from nudge_sync.testing.memory import MemoryDatabase

KINDS = ("pairs", "shown", "nothing")


@dataclass(frozen=True)
class Set:
    """A collection with its queries."""

    documents: Any
    queries: Any
    pairs: Any
    """(p, 2): rows of a query and of a document that answers it."""


def load_sets(folder: Path | None) -> dict[str, Set]:
    tools, requests = load_demo_data()
    pairs = [(row, min(answers)) for row, answers in enumerate(requests.answers) if answers]
    sets = {"demo": Set(tools.vectors, requests.vectors, np.array(pairs))}
    for path in sorted(folder.glob("*/documents.npy")) if folder else []:
        sets[path.parent.name] = load_set(path.parent)
    return sets


def load_set(folder: Path) -> Set:
    rows = {
        kind: {id_: row for row, id_ in enumerate((folder / f"{kind}.txt").read_text().split())}
        for kind in ("documents", "queries")
    }
    lines = [line.split("\t") for line in (folder / "qrels.tsv").read_text().splitlines()]
    pairs = {rows["queries"][query]: rows["documents"][document] for query, document, _ in lines}
    vectors = [np.load(folder / f"{kind}.npy") for kind in ("documents", "queries")]
    return Set(*vectors, np.array(sorted(pairs.items())))


def turn_at_random(queries: Any) -> Any:
    size = queries.shape[1]
    return queries @ np.linalg.qr(np.random.default_rng(0).normal(size=(size, size)))[0]


SPACES = {
    "turned": turn_at_random,
    "another order": lambda queries: queries[:, ::-1],
    "shifted": lambda queries: np.roll(queries, 1, axis=1),
    "negated": np.negative,
    "random": lambda queries: np.random.default_rng(1).normal(size=queries.shape),
}


def check(documents: Any, queries: Any, points: list[int] | None) -> ModelCheck:
    """Hand searches, each with a point or none, to a checker of a collection."""
    database = MemoryDatabase()
    database.store.create("docs", documents.shape[1])
    database.store.upsert("docs", list(range(len(documents))), documents)
    checker = ModelChecker(database.collection("docs"), "log")
    shown = [[point] for point in points] if points is not None else [[]] * len(queries)
    checker.add_rows(
        [
            {"type": "search", "query_id": f"q{row}", "query_vector": query, "shown": ids}
            for row, (query, ids) in enumerate(zip(queries, shown, strict=True))
        ]
    )
    return checker.judge()


def choose_points(collection: Set, sample: Any, kind: str) -> list[int] | None:
    """Return the point that each search of a sample of pairs names."""
    if kind == "nothing":
        return None
    if kind == "pairs":
        return [int(row) for row in sample[:, 1]]
    scores = collection.queries[sample[:, 0]] @ collection.documents.T
    return [int(row) for row in scores.argmax(axis=1)]


def measure_set(sets: dict[str, Set], name: str, samples: int) -> dict[tuple[str, str], Counter]:
    """Return kind of pairing, kind of evidence -> how often it was accepted, refused, left open."""
    collection, counts = sets[name], {}
    spaces = {space: turn(collection.queries) for space, turn in SPACES.items()}
    spaces = {"right": collection.queries, **spaces}
    for seed in range(samples):
        generator = np.random.default_rng(seed)
        sample = generator.permutation(collection.pairs)[:MIN_PAIRS]
        for kind in KINDS:
            points = choose_points(collection, sample, kind)
            for space, queries in spaces.items():
                verdict = check(collection.documents, queries[sample[:, 0]], points).is_match
                pairing = "right" if space == "right" else "spaces"
                counts.setdefault((pairing, kind), Counter())[verdict] += 1
        for other in sets.values():
            if other is collection or other.queries.shape[1] != collection.documents.shape[1]:
                continue
            rows = generator.permutation(len(other.queries))[:MIN_PAIRS]
            drawn = generator.integers(len(collection.documents), size=MIN_PAIRS).tolist()
            for kind, points in (("pairs", drawn), ("nothing", None)):
                verdict = check(collection.documents, other.queries[rows], points).is_match
                counts.setdefault(("sets", kind), Counter())[verdict] += 1
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--samples", type=int, default=20)
    given = parser.parse_args()
    sets = load_sets(given.data)
    errors = 0
    print(f"{'collection':18}{'pairing':9}{'evidence':10}{'accepted':>9}{'refused':>9}{'open':>6}")
    for name in sets:
        for (pairing, kind), seen in measure_set(sets, name, given.samples).items():
            cells = f"{seen[True]:9}{seen[False]:9}{seen[None]:6}"
            print(f"{name:18}{pairing:9}{kind:10}{cells}", flush=True)
            if pairing == "right":
                errors += seen[False] + seen[None]
            elif (pairing, kind) != ("sets", "nothing"):
                errors += seen[True] + seen[None]
    print(f"{errors} errors")
    sys.exit(errors > 0)


if __name__ == "__main__":
    main()
