"""From a RAG application that MLflow traces to better search: a whole round, on the demo's data.

    pip install 'nudge-sync[qdrant-edge,sources]' mlflow-tracing langchain-core
    mlflow server                     # in an environment of its own
    python examples/mlflow_rag.py     # --url for a server elsewhere

A chain of LangChain searches a collection of tools and answers with the tool that it would use;
MLflow's autologging traces it. People say of some answers whether they helped, and which tool was
right. nudge-sync fetches searches and opinions from MLflow, embeds the searches' texts with the
application's own embeddings, plans, applies, and says what held-out queries gain.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from uuid import uuid4

# Opinions are logged on traces that are there already.
os.environ.setdefault("MLFLOW_ENABLE_ASYNC_TRACE_LOGGING", "false")

import mlflow
import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from mlflow.entities import AssessmentSource

from nudge_sync.demo.requests import load_demo_data
from nudge_sync_qdrant_edge import connect, ingest

SHOWN = 10
ASKED_TOOLS = 60
"""People need these tools only, so that few searches are enough to learn from."""
CONFIG = """
[database]
connector = "qdrant-edge"
path = "shards"
sync = false

[collections.tools]

[feedback]
embed = "mlflow_rag:embeddings"

[[feedback.sources]]
source = "mlflow"
url = "{url}"
experiment = "{experiment}"
settle_minutes = 0
point = "metadata.tool"
cited = "output.value.cited"
"""


class DemoEmbeddings(Embeddings):
    """The demo's vectors, as an embedding model would give them for the requests' texts."""

    def __init__(self) -> None:
        _, requests = load_demo_data()
        self._vectors = dict(zip(requests.names, requests.vectors.tolist(), strict=True))

    def embed_query(self, text: str) -> list[float]:
        return self._vectors[text]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return [self._vectors[text] for text in texts]


embeddings = DemoEmbeddings()


class ToolRetriever(BaseRetriever):
    """Finds tools for a request."""

    collection: object
    names: list[str]

    def _get_relevant_documents(self, query: str, **_: object) -> list[Document]:
        vector = np.array([embeddings.embed_query(query)], np.float32)
        [found] = self.collection.search(vector, SHOWN).ids
        return [Document(self.names[row], metadata={"tool": row}) for row in found]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", default="http://localhost:5000")
    parser.add_argument("--searches", type=int, default=400)
    given = parser.parse_args()
    experiment = f"tools-{uuid4().hex[:8]}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = CONFIG.format(url=given.url, experiment=experiment)
        (folder / "nudge-sync.toml").write_text(config, encoding="utf-8")
        mlflow.set_tracking_uri(given.url)
        mlflow.set_experiment(experiment)
        log_answers(folder, given.searches)
        pulled = run(folder, "feedback", "pull", "mlflow")
        print(f"fetched {pulled['searches']} searches, {pulled['events']} opinions and citations")
        applied = run(folder, "apply", "--yes")
    before, after = applied["before"]["ndcg@10"], applied["after"]["ndcg@10"]
    print(f"held-out NDCG@10: {before:.4f} before, {after:.4f} after {applied['method']}")
    if after <= before:
        sys.exit("held-out queries gained nothing")


def log_answers(folder: Path, count: int) -> None:
    """Ask the chain, and log what people thought of its answers."""
    tools, requests = load_demo_data()
    order = np.random.default_rng(0).permutation(len(requests.names)).tolist()
    rows = [row for row in order if max(requests.answers[row]) < ASKED_TOOLS][:count]
    database = connect({"path": str(folder / "shards"), "sync": False})
    mlflow.langchain.autolog()
    try:
        ingest(database, "tools", list(range(len(tools.names))), tools.vectors)
        retriever = ToolRetriever(collection=database.collection("tools"), names=tools.names)
        asked = {ask(retriever, requests.names[row]): row for row in rows}
    finally:
        database.close()
    person = AssessmentSource(source_type="HUMAN", source_id="somebody who knows the tools")
    for number, ((trace_id, tool), row) in enumerate(asked.items()):
        if number % 5 == 0:
            is_right = tool in requests.answers[row]
            mlflow.log_feedback(trace_id=trace_id, name="helpful", value=is_right, source=person)
        right = sorted(requests.answers[row])
        mlflow.log_expectation(trace_id=trace_id, name="tools", value=right, source=person)


def ask(retriever: ToolRetriever, request: str) -> tuple[str, int]:
    """Answer a request with a tool; return the trace, and the tool that the answer cites."""

    def answer(documents: list[Document]) -> dict:
        # In place of a language model.
        return {"cited": [documents[0].metadata["tool"]]}

    result = (retriever | RunnableLambda(answer)).invoke(request)
    return mlflow.get_last_active_trace_id(), result["cited"][0]


def run(folder: Path, *words: str) -> dict:
    """Run a verb of nudge-sync in a folder, and return what it prints."""
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    command = [sys.executable, "-m", "nudge_sync", *words, "--json"]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    done = subprocess.run(
        command, cwd=folder, stdout=subprocess.PIPE, text=True, check=True, env=variables
    )
    result: dict = json.loads(done.stdout)
    return result


if __name__ == "__main__":
    main()
