"""How quickly traces become stored feedback, and what that takes in memory.

    python benchmarks/feedback_pull.py --spans 100000

Writes OTLP's JSON as a collector does, three spans a search (embedding, retriever, chain), fetches
it into a database in memory, and fetches again when there is nothing new.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from nudge_sync.feedback.fetch.fetch import fetch_feedback
from nudge_sync.settings.feedback import FeedbackSettings
from nudge_sync.settings.sources import SourceSettings
from nudge_sync.store.target import open_target
from nudge_sync.testing.memory import MemoryDatabase

POINTS = 10_000
SHOWN = 10
SPANS_PER_SEARCH = 3
SEARCHES_PER_MESSAGE = 50


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spans", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=384)
    given = parser.parse_args()
    searches, dimension = given.spans // SPANS_PER_SEARCH, given.dimension
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(POINTS, dimension)).astype(np.float32)
    database = MemoryDatabase()
    database.store.create("docs", dimension)
    database.store.upsert("docs", list(range(POINTS)), vectors)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "traces.jsonl"
        write_traces(path, searches, vectors, generator)
        print(f"{searches * SPANS_PER_SEARCH} spans, {path.stat().st_size / 2**20:.0f} MiB")
        table = {"source": "openinference", "path": str(path), "cited": "metadata.cited"}
        settings = FeedbackSettings(actions={"cited": 1.0})
        for name in ("first", "nothing new"):
            before = read_peak()
            target = open_target(database, "docs")
            start, cpu_start = time.perf_counter(), time.process_time()
            report = fetch_feedback(target, settings, SourceSettings.model_validate(table))
            seconds = time.perf_counter() - start
            cpu_seconds = time.process_time() - cpu_start
            rows = report.counts["rows"]
            print(
                f"{name}: {rows} rows, {report.accepted} stored, {report.rejected} refused in "
                f"{seconds:.2f} s ({rows / seconds:.0f} rows/s), "
                f"{cpu_seconds:.2f} s of CPU; peak {before:.0f} -> "
                f"{read_peak():.0f} MiB, what is stored among it"
            )


def read_peak() -> float:
    """Return the most memory that this process had so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write_traces(path: Path, searches: int, vectors, generator) -> None:
    moment = int((time.time() - 86_400) * 1e9)
    with path.open("w") as file:
        for start in range(0, searches, SEARCHES_PER_MESSAGE):
            spans = []
            for number in range(start, min(start + SEARCHES_PER_MESSAGE, searches)):
                shown = generator.choice(POINTS, SHOWN, replace=False).tolist()
                noise = generator.normal(size=vectors.shape[1]) / 2
                spans += build_spans(number, shown, (vectors[shown[0]] + noise).tolist(), moment)
            message = {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}
            file.write(json.dumps(message) + "\n")


def build_spans(number: int, shown: list[int], vector: list[float], moment: int) -> list[dict]:
    text = f"question {number}"
    embedding = {
        "openinference.span.kind": "EMBEDDING",
        "embedding.embeddings.0.embedding.text": text,
        "embedding.embeddings.0.embedding.vector": vector,
    }
    retriever = {"openinference.span.kind": "RETRIEVER", "input.value": text}
    for index, point in enumerate(shown):
        metadata = json.dumps({"doc_id": point})
        retriever[f"retrieval.documents.{index}.document.metadata"] = metadata
    chain = {
        "openinference.span.kind": "CHAIN",
        "metadata": json.dumps({"cited": shown[:1]}),
    }
    return [
        {
            "traceId": f"{number:032x}",
            "spanId": f"{number * SPANS_PER_SEARCH + part:016x}",
            "name": "span",
            "startTimeUnixNano": str(moment + number),
            "endTimeUnixNano": str(moment + number + 10),
            "attributes": [build_attribute(name, value) for name, value in attributes.items()],
        }
        for part, attributes in enumerate((embedding, retriever, chain))
    ]


def build_attribute(name: str, value) -> dict:
    if isinstance(value, str):
        return {"key": name, "value": {"stringValue": value}}
    return {"key": name, "value": {"arrayValue": {"values": [{"doubleValue": v} for v in value]}}}


if __name__ == "__main__":
    main()
