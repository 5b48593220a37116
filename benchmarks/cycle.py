"""Time the ordinary cycle on a real engine, part by part, beside `finetune` on the same arrays.

python benchmarks/cycle.py [--set demo|nfcorpus|metatool|cranfield|squad] [--folder DIR]
    [--unjudged]

Every judgement is imported as a label into a new collection of qdrant-edge, planned, applied and
rolled back. Beside the import stand the bare engine's upserts of the same points into the same
indexes, flushed after each thousand. `finetune` in memory, over the same training queries and with
the same share of cold answers, stands beside the plan, which also reads the database and solves
again for the gate.
`--unjudged` times both ways to find the unjudged points near each query, whichever the plan takes:
to read every point once, and to search for every query. Without `--folder` the collection is in a
temporary one.
"""

from __future__ import annotations

import argparse
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from common.solver_protocol import SETS, Dataset, load_dataset
from common.stage_clock import StageClock
from qdrant_edge import Point, UpdateOperation
from scipy.sparse import csr_matrix

import nudge_sync_qdrant_edge
from nudge_sync import cycle, finetune
from nudge_sync.base.progress import ignore_progress
from nudge_sync.config import CollectionSettings
from nudge_sync.connector import connect
from nudge_sync.demo.requests import load_demo_data
from nudge_sync.feedback.cold_share import ColdShare
from nudge_sync.feedback.ingest.importer import Destination, import_rows
from nudge_sync.feedback.ingest.sources import build_judgement_source
from nudge_sync.metrics import RANKING_DEPTH
from nudge_sync.planning.held_out import HELD_OUT_SHARE, hash_queries
from nudge_sync.planning.unjudged.points import rank_unjudged, scan_others
from nudge_sync.planning.unjudged.search import choose_first_width, search_unjudged
from nudge_sync.store.target import Target, open_companion, open_target
from nudge_sync.writing.rollback import roll_back
from nudge_sync_qdrant_common.record_codec import encode_record, hash_key

COLLECTION = "docs"
BARE_BATCH = 1000
"""Points that the bare engine is given at once, and keeps on the disk before the next."""


@contextmanager
def measure_part(report: dict[str, float], part: str):
    start = time.perf_counter()
    yield
    report[part] = time.perf_counter() - start


def load_demo_dataset() -> Dataset:
    tools, requests = load_demo_data()
    rows = [row for row, answers in enumerate(requests.answers) for _ in answers]
    columns = [column for answers in requests.answers for column in sorted(answers)]
    shape = (len(requests.names), len(tools.names))
    return Dataset(
        tools.vectors, requests.vectors, csr_matrix((np.ones(len(rows)), (rows, columns)), shape)
    )


def import_labels(target, data: Dataset) -> int:
    """Import every judgement of `data`, and return how many records that stored."""
    names = [f"q{row}" for row in range(len(data.queries))]
    relevant = data.relevant(np.arange(len(data.queries)))
    judgements = dict(zip(names, relevant, strict=True))
    source = build_judgement_source(names, data.queries, judgements)
    import_rows([source], Destination(target.queries, target.events, target.collection))
    return len(names) + data.relevance.nnz


def upsert_bare(target: Target, folder: Path) -> float:
    """Return the seconds in which the bare engine takes the queries and events of `target`."""
    seconds = 0.0
    database = connect("qdrant-edge", {"path": str(folder)})
    try:
        for companion, stored in (("queries", target.queries), ("events", target.events)):
            records = [record for batch in stored.scan() for record in batch]
            twin = open_companion(database, "bare", companion, target.facts)
            twin.put(records[:1])
            shard = database.shard(f"bare__nudge_{companion}")
            points = [
                (hash_key(one.key), {} if one.vector is None else one.vector.tolist(), payload)
                for one, payload in zip(records, map(encode_record, records), strict=True)
            ]
            start = time.perf_counter()
            for low in range(0, len(points), BARE_BATCH):
                batch = [Point(*one) for one in points[low : low + BARE_BATCH]]
                shard.update(UpdateOperation.upsert_points(batch))
                shard.flush()
            seconds += time.perf_counter() - start
            if twin.count() != len(records):
                raise SystemExit(f"the bare engine holds {twin.count()} of {len(records)} records")
    finally:
        database.close()
    return seconds


def measure_finetune(data: Dataset) -> float:
    """Return the seconds of `finetune` as a plan of labels alone asks for it."""
    train = np.flatnonzero(hash_queries(data.queries) >= HELD_OUT_SHARE)
    start = time.perf_counter()
    relevant = data.relevant(train)
    share = ColdShare().share
    finetune(data.documents, data.queries[train], relevant, method="auto", cold_share=share)
    return time.perf_counter() - start


def measure_unjudged(target: Target, data: Dataset, report: dict[str, float]) -> None:
    """Time each way to find unjudged points, and the reads and searches that it begins with."""
    judged = set(np.unique(data.relevance.indices).tolist())
    queries, width = data.queries, choose_first_width(RANKING_DEPTH)
    with measure_part(report, "unjudged: read all"):
        others = scan_others(target, judged, ignore_progress)
    with measure_part(report, "unjudged: compare"):
        rank_unjudged(target, queries, others, RANKING_DEPTH)
    with measure_part(report, "unjudged: first searches"):
        hits = target.collection.search(queries, width)
    with measure_part(report, "unjudged: all searches"):
        search_unjudged(
            target, queries, judged, RANKING_DEPTH, exact=False, progress=ignore_progress
        )
    report["points read a second"] = len(data.documents) / report["unjudged: read all"]
    hit_count = sum(map(len, hits.ids))
    report["hits returned a second"] = hit_count / report["unjudged: first searches"]


def measure_cycle(data: Dataset, folder: Path, *, unjudged: bool) -> dict[str, float]:
    report: dict[str, float] = {}
    settings = CollectionSettings()
    database = connect("qdrant-edge", {"path": str(folder)})
    try:
        with measure_part(report, "create"):
            nudge_sync_qdrant_edge.ingest(
                database, COLLECTION, range(len(data.documents)), data.documents
            )
        target = open_target(database, COLLECTION)
        with measure_part(report, "import"):
            report["records"] = import_labels(target, data)
        with TemporaryDirectory(prefix="nudge-sync-bare-", dir=folder.parent) as bare:
            report["bare upserts"] = upsert_bare(target, Path(bare))
        if unjudged:
            measure_unjudged(target, data, report)
        clock = StageClock()
        with measure_part(report, "plan"):
            cycle.plan(target, settings, clock)
        report |= {f"plan: {stage}": seconds for stage, seconds in clock.seconds.items()}
        report["finetune"] = measure_finetune(data)
        with measure_part(report, "apply"):
            cycle.apply(target, settings)
        with measure_part(report, "rollback"):
            roll_back(target, settings, originals=True)
    finally:
        database.close()
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", default="demo", choices=("demo", *SETS))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--unjudged", action="store_true")
    arguments = parser.parse_args()
    data = load_demo_dataset() if arguments.set == "demo" else load_dataset(arguments.set)
    with TemporaryDirectory(prefix="nudge-sync-", dir=arguments.folder) as folder:
        report = measure_cycle(data, Path(folder), unjudged=arguments.unjudged)
    for part, value in report.items():
        print(f"{part:26} {value:10.2f}")
    print(f"records a second           {report['records'] / report['import']:10.0f}")
    print(f"import / bare upserts      {report['import'] / report['bare upserts']:10.2f}")
    print(f"plan / finetune            {report['plan'] / report['finetune']:10.2f}")


if __name__ == "__main__":
    main()
