"""From traces in Arize Phoenix to better search: a whole round, on the demo's data.

    phoenix serve                       # in an environment of its own
    python examples/phoenix_traces.py   # --url for a server elsewhere

An application searches a collection of tools and traces each search to Phoenix, in OpenInference's
conventions over OTLP. People say of the results which one answers. nudge-sync fetches searches and
opinions from Phoenix, plans, applies, and says what held-out queries gain.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from uuid import uuid4

import httpx
import numpy as np
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from nudge_sync.demo.requests import load_demo_data
from nudge_sync_qdrant_edge import connect, ingest

SHOWN = 10
BATCH = 200
CONFIG = """
[database]
connector = "qdrant-edge"
path = "shards"
sync = false

[collections.tools]

[[feedback.sources]]
source = "phoenix"
url = "{url}"
project = "{project}"
point = "metadata.tool"
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://localhost:6006")
    parser.add_argument("--searches", type=int, default=1000)
    given = parser.parse_args()
    project = f"tools-{uuid4().hex[:8]}"
    with tempfile.TemporaryDirectory() as name, httpx.Client(base_url=given.url) as client:
        folder = Path(name)
        config = CONFIG.format(url=given.url, project=project)
        (folder / "nudge-sync.toml").write_text(config, encoding="utf-8")
        log_searches(client, project, folder, given.searches)
        pulled = run(folder, "feedback", "pull", "phoenix")
        print(f"fetched {pulled['searches']} searches and {pulled['events']} opinions")
        applied = run(folder, "apply", "--yes")
    before, after = applied["before"]["ndcg@10"], applied["after"]["ndcg@10"]
    print(f"held-out NDCG@10: {before:.4f} before, {after:.4f} after {applied['method']}")
    if after <= before:
        sys.exit("held-out queries gained nothing")


def log_searches(client: httpx.Client, project: str, folder: Path, count: int) -> None:
    """Search, trace each search to Phoenix, and log which of the results people found right."""
    tools, requests = load_demo_data()
    rows = np.random.default_rng(0).permutation(len(requests.names))[:count]
    database = connect({"path": str(folder / "shards"), "sync": False})
    try:
        ingest(database, "tools", list(range(len(tools.names))), tools.vectors)
        hits = database.collection("tools").search(requests.vectors[rows], SHOWN).ids
    finally:
        database.close()
    client.post("/v1/projects", json={"name": project}).raise_for_status()
    opinions = []
    for start in range(0, len(rows), BATCH):
        export = ExportTraceServiceRequest()
        resource = export.resource_spans.add()
        add_attribute(resource.resource, "openinference.project.name", project)
        spans = resource.scope_spans.add().spans
        for row, shown in zip(
            rows[start : start + BATCH], hits[start : start + BATCH], strict=True
        ):
            trace_id, span_id = uuid4().bytes, uuid4().bytes[:8]
            add_embedding(spans, trace_id, requests.names[row], requests.vectors[row])
            add_retriever(spans, trace_id, span_id, requests.names[row], shown)
            opinions += [
                {
                    "span_id": span_id.hex(),
                    "document_position": position,
                    "name": "relevance",
                    "annotator_kind": "HUMAN",
                    "result": {"score": 1.0},
                }
                for position, tool in enumerate(shown)
                if tool in requests.answers[row]
            ]
        headers = {"Content-Type": "application/x-protobuf"}
        content = export.SerializeToString()
        client.post("/v1/traces", content=content, headers=headers).raise_for_status()
    wait_for_spans(client, project, 2 * len(rows))
    for start in range(0, len(opinions), BATCH):
        body = {"data": opinions[start : start + BATCH]}
        answer = client.post("/v1/document_annotations", params={"sync": "true"}, json=body)
        answer.raise_for_status()


def add_embedding(spans, trace_id: bytes, text: str, vector: np.ndarray) -> None:
    span = add_span(spans, trace_id, uuid4().bytes[:8], "EMBEDDING")
    add_attribute(span, "embedding.embeddings.0.embedding.text", text)
    attribute = span.attributes.add(key="embedding.embeddings.0.embedding.vector")
    for component in vector.tolist():
        attribute.value.array_value.values.add(double_value=component)


def add_retriever(spans, trace_id: bytes, span_id: bytes, text: str, shown: list) -> None:
    span = add_span(spans, trace_id, span_id, "RETRIEVER")
    add_attribute(span, "input.value", text)
    for index, tool in enumerate(shown):
        metadata = json.dumps({"tool": tool})
        add_attribute(span, f"retrieval.documents.{index}.document.metadata", metadata)


def add_span(spans, trace_id: bytes, span_id: bytes, kind: str):
    span = spans.add(name=kind.lower(), trace_id=trace_id, span_id=span_id, kind=1)
    span.start_time_unix_nano = time.time_ns()
    span.end_time_unix_nano = span.start_time_unix_nano + 1_000_000
    add_attribute(span, "openinference.span.kind", kind)
    return span


def add_attribute(owner, name: str, text: str) -> None:
    owner.attributes.add(key=name).value.string_value = text


def wait_for_spans(client: httpx.Client, project: str, count: int) -> None:
    """Return when Phoenix has taken in so many spans, which it does in the background."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        newest = client.post(
            "/graphql",
            json={"query": "{ projects { edges { node { name recordCount } } } }"},
        ).json()["data"]["projects"]["edges"]
        counts = {edge["node"]["name"]: edge["node"]["recordCount"] for edge in newest}
        if counts.get(project, 0) >= count:
            return
        time.sleep(0.2)
    sys.exit(f"Phoenix did not take in {count} spans")


def run(folder: Path, *words: str) -> dict:
    """Run a verb of nudge-sync in a folder, and return what it prints."""
    command = [sys.executable, "-m", "nudge_sync", *words, "--json"]
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, text=True, check=True)
    result: dict = json.loads(done.stdout)
    return result


if __name__ == "__main__":
    main()
