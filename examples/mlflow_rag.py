"""From a RAG application that MLflow traces to better search: a whole round, on the demo's data.

    pip install 'nudge-sync[qdrant-edge,sources]' mlflow-tracing langchain-core
    mlflow server                     # in an environment of its own
    python examples/mlflow_rag.py     # --url for a server elsewhere

A chain of LangChain searches a collection of tools and answers with the tool that it would use;
MLflow's autologging traces it. People say of some answers whether they helped. nudge-sync fetches
searches, answers and thumbs from MLflow, embeds the searches' texts with the application's own
embeddings, plans, applies, and says what held-out queries gain.
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

import mlflow
import numpy as np
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableLambda
from mlflow.entities import AssessmentSource

from nudge_sync.demo.requests import load_demo_data
from nudge_sync_qdrant_edge import connect, ingest

SHOWN, READ = 10, 3
CONFIG = """
[database]
connector = "qdrant-edge"
path = "shards"
sync = false

[collections.tools]

[feedback]
embed = "mlflow_rag:embeddings"

[feedback.actions]
thumb = 1.0

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
    parser.add_argument("--searches", type=int, default=1500)
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
        print(f"fetched {pulled['searches']} searches, and {pulled['events']} citations and thumbs")
        applied = run(folder, "apply", "--yes")
    before, after = applied["before"]["ndcg@10"], applied["after"]["ndcg@10"]
    print(f"held-out NDCG@10: {before:.4f} before, {after:.4f} after {applied['method']}")
    if after <= before:
        sys.exit("held-out queries gained nothing")


def log_answers(folder: Path, count: int) -> None:
    """Ask the chain, and log what people thought of its answers."""
    tools, requests = load_demo_data()
    rows = np.random.default_rng(0).permutation(len(requests.names))[:count].tolist()
    database = connect({"path": str(folder / "shards"), "sync": False})
    mlflow.langchain.autolog()
    try:
        ingest(database, "tools", list(range(len(tools.names))), tools.vectors)
        retriever = ToolRetriever(collection=database.collection("tools"), names=tools.names)
        answers = dict(zip(requests.names, requests.answers, strict=True))
        for row in rows:
            ask(retriever, requests.names[row], answers[requests.names[row]])
    finally:
        database.close()
    mlflow.flush_trace_async_logging()


def ask(retriever: ToolRetriever, request: str, answers: frozenset[int]) -> None:
    """Answer a request with a tool out of the first few, and log whether that helped."""

    def answer(documents: list[Document]) -> dict:
        # In place of a language model, which mostly knows the right tool when it reads of it.
        read = [document.metadata["tool"] for document in documents[:READ]]
        return {"cited": [next((tool for tool in read if tool in answers), read[0])]}

    result = (retriever | RunnableLambda(answer)).invoke(request)
    mlflow.log_feedback(
        trace_id=mlflow.get_last_active_trace_id(),
        name="helpful",
        value=result["cited"][0] in answers,
        source=AssessmentSource(source_type="HUMAN", source_id=f"person {hash(request) % 400}"),
    )


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
