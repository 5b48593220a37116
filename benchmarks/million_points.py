"""Run a cycle on a large collection with a real index, beside one a tenth as large.

    python benchmarks/million_points.py [--engine qdrant-edge|milvus|qdrant] [--points 1000000]
        [--judged 20000] [--m 16] [--ef-construct 64] [--ef 256] [--folder DIR] [--json FILE]

The collection is made up (`common/large/corpus.py` says how), with 384 numbers a vector. Each
size runs in a process of its own: the index is built, or found in the folder of an earlier run;
feedback is stored, a label for each of four answers of each of `--judged` queries; `apply` runs one
whole cycle, is measured part by part, and runs again, when nothing is new. Then the bare client
writes the same vectors to the same points, and a rollback puts the originals back. What was written
lies outside the graph afterwards, until the engine indexes it, so that a second run of this program
over one folder is not the first one's equal.

`milvus` is the server in MILVUS_URI, or one from the `milvus` wheel; `qdrant` the one in
QDRANT_URL, or from QDRANT_BINARY. Only `qdrant-edge` keeps what it built.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

from common.large.corpus import MadeUpCorpus  # noqa: E402
from common.large.engine import Graph, LargeEngine  # noqa: E402
from common.memory import watch_memory  # noqa: E402
from common.stage_clock import StageClock  # noqa: E402

from nudge_sync import cycle  # noqa: E402
from nudge_sync.base.progress import ignore_progress  # noqa: E402
from nudge_sync.config import CollectionSettings  # noqa: E402
from nudge_sync.feedback.schema.records import (  # noqa: E402
    Event,
    Search,
    to_event_record,
    to_search_record,
)
from nudge_sync.planning.unjudged.search import search_unjudged  # noqa: E402
from nudge_sync.store.retry import RetryingCollection  # noqa: E402
from nudge_sync.store.target import Target, open_target  # noqa: E402
from nudge_sync.testing.counted import Counted  # noqa: E402
from nudge_sync.writing.rollback import roll_back  # noqa: E402

MODULES = {"qdrant-edge": "edge", "milvus": "milvus", "qdrant": "qdrant"}
BARE_BATCH = 1000
"""Points of one update by the bare client."""
FEEDBACK_BATCH = 5000
TIMED_QUERIES, DEPTH, ROUNDS = 2000, 10, 3
SMALL_SHARE = 10
"""How many times smaller the other collection is."""


def store_feedback(target: Target, corpus: MadeUpCorpus) -> None:
    """Store the queries, and a label for each of their answers, unless they are there."""
    if target.queries.count():
        return
    names = [f"q{row:06d}" for row in range(corpus.judged)]
    searches = [Search(name, vector) for name, vector in zip(names, corpus.queries, strict=True)]
    events = [
        Event(name, "relevant", corpus.judged_ids[answer])
        for row, name in enumerate(names)
        for answer in corpus.find_answers(row)
    ]
    put_batches(target.queries.put, [to_search_record(search) for search in searches])
    put_batches(target.events.put, [to_event_record(event) for event in events])


def put_batches(put: Callable[[list[Any]], None], records: list[Any]) -> None:
    for start in range(0, len(records), FEEDBACK_BATCH):
        put(records[start : start + FEEDBACK_BATCH])


def time_calls(target: Target, corpus: MadeUpCorpus) -> dict[str, float]:
    """Time reads of the judged points and searches, one call after the other and several at once.

    Empty where the engine takes one call at a time.
    """
    if target.facts.parallel_calls == 1:
        return {}
    alone = replace(
        target,
        collection=RetryingCollection(target.collection.wrapped),
        facts=replace(target.facts, parallel_calls=1),
    )
    asked = corpus.queries[:TIMED_QUERIES]
    seconds: dict[str, float] = {}
    for _ in range(ROUNDS):
        for name, caller in (("one call at a time", alone), ("several at once", target)):
            start = time.perf_counter()
            caller.collection.read(corpus.judged_ids)
            read = time.perf_counter()
            search_unjudged(caller, asked, set(), DEPTH, exact=False, progress=ignore_progress)
            parts = {"reads": read - start, "searches": time.perf_counter() - read}
            for part, spent in parts.items():
                label = f"{part}, {name}, s"
                seconds[label] = min(spent, seconds.get(label, spent))
    return seconds


def measure(engine: LargeEngine, corpus: MadeUpCorpus) -> dict[str, Any]:
    database, settings = Counted(engine.database), CollectionSettings()
    target = open_target(database, engine.collection)
    store_feedback(target, corpus)
    call_seconds = time_calls(target, corpus)
    indexed, counts = engine.count_indexed(), database.counts
    counts.read_rows = counts.scanned = 0
    counts.read.clear()
    read_to_plan = []
    clock, start, cpu = StageClock(), time.perf_counter(), time.process_time()
    with watch_memory() as peak:
        before = peak.anonymous

        def tell(stage: str, done: int, total: int) -> None:
            clock(stage, done, total)
            if stage == "hide documents" and done == total:
                # The last thing that a plan does.
                read_to_plan.append(counts.read_rows)

        report = cycle.apply(target, settings, progress=tell)
    seconds, cpu_seconds = time.perf_counter() - start, time.process_time() - cpu
    summary, rows = report.summary(), report.plan.rows
    figures = {
        "points": target.facts.points,
        "in the index": indexed,
        **call_seconds,
        "outcome": report.outcome,
        "reason": report.reason,
        "moved": summary["moved"],
        "ndcg@10 before": summary["before"]["ndcg@10"],
        "ndcg@10 after": summary["after"]["ndcg@10"],
        "index recall": summary["index_recall"] and summary["index_recall"]["share"],
        "vectors scanned": counts.scanned,
        "distinct vectors read": len(counts.read),
        "read to plan, of the collection": read_to_plan[0] / target.facts.points,
        "read and written, of it": (counts.read_rows + report.written) / target.facts.points,
        "own memory before, MiB": before,
        "own memory at most, MiB": peak.anonymous,
        "resident at most, MiB": peak.resident,
        "this process's processor time, s": cpu_seconds,
        "cycle, s": seconds,
        **{f"  {stage}, s": value for stage, value in clock.seconds.items()},
    }
    start = time.perf_counter()
    cycle.apply(target, settings)
    figures["cycle with nothing new, s"] = time.perf_counter() - start
    if report.written:
        start = time.perf_counter()
        for low in range(0, len(rows), BARE_BATCH):
            ids = [int(point) for point in rows.ids[low : low + BARE_BATCH]]
            engine.update(ids, rows.vectors[low : low + BARE_BATCH])
        bare = time.perf_counter() - start
        figures["rows written a second"] = report.written / clock.seconds["write"]
        figures["of the bare client's rate"] = bare / clock.seconds["write"]
        start = time.perf_counter()
        restored = roll_back(target, settings, originals=True)
        figures["rollback, s"] = time.perf_counter() - start
        figures["identical after rollback"] = restored.summary()["identical"]
    return figures


def run_size(given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    corpus = MadeUpCorpus(given.points, given.judged)
    module = importlib.import_module(f"common.large.{MODULES[given.engine]}")
    start = time.perf_counter()
    engine: LargeEngine = module.open_engine(
        folder / f"{given.engine}-{given.points}",
        corpus,
        Graph(given.m, given.ef_construct, given.ef),
    )
    try:
        opened = time.perf_counter() - start
        return {"built or opened, s": opened, **measure(engine, corpus)}
    finally:
        engine.close()


def run_apart(given: argparse.Namespace, points: int, folder: Path) -> dict[str, Any]:
    """Run one size in a process of its own, and return its figures."""
    command = [sys.executable, __file__, "--engine", given.engine, "--points", str(points)]
    for option in ("judged", "m", "ef_construct", "ef"):
        command += [f"--{option.replace('_', '-')}", str(getattr(given, option))]
    result = folder / f"result-{given.engine}-{points}.json"
    command += ["--folder", str(folder), "--json", str(result), "--alone"]
    subprocess.run(command, check=True)
    figures: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return figures


def format_table(small: dict[str, Any], large: dict[str, Any]) -> str:
    lines = []
    for name, value in large.items():
        other = small.get(name, "")
        shown = f"{name:34}{format_figure(other):>16}{format_figure(value):>16}"
        if name.endswith(", s") and isinstance(other, float) and other > 0:
            shown += f"{value / other:10.2f} x"
        lines.append(shown)
    return "\n".join(lines)


def format_figure(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4f}" if abs(value) < 10 else f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) else str(value)[:60]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", default="qdrant-edge", choices=list(MODULES))
    parser.add_argument("--points", type=int, default=20_000)
    parser.add_argument("--judged", type=int, default=400)
    parser.add_argument("--m", type=int, default=16)
    parser.add_argument("--ef-construct", type=int, default=64)
    parser.add_argument("--ef", type=int, default=256, help="points that a search visits")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--alone", action="store_true", help="one size, in this process")
    given = parser.parse_args()
    with TemporaryDirectory(prefix="nudge-sync-") as temporary:
        folder = given.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if given.alone:
            figures = run_size(given, folder)
            given.json.write_text(json.dumps(figures), encoding="utf-8")
            return
        small = run_apart(given, given.points // SMALL_SHARE, folder)
        large = run_apart(given, given.points, folder)
    print(format_table(small, large))
    if given.json is not None:
        given.json.write_text(json.dumps([small, large]), encoding="utf-8")


if __name__ == "__main__":
    main()
