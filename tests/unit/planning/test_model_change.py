"""Known answers on real collections: found in their own space, and by chance in another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nudge_sync.base.arrays import Float32
from nudge_sync.config import CollectionSettings
from nudge_sync.feedback.judgements import load_judgements
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.planning.model_change import ModelReport, Reembedding, examine_model
from nudge_sync.store.target import Target, open_target
from nudge_sync.testing.memory import MemoryDatabase, MemoryStore
from tests.support.unit_vectors import normalise_rows

COLLECTIONS = ["cranfield-minilm", "metatool-minilm", "nfcorpus-minilm", "squad-minilm"]
JUDGEMENTS = 600


class RealCollection:
    """A public test collection in memory, with some of its judgements as labels."""

    def __init__(self, folder: Path, seed: int, points: int | None = None) -> None:
        self.documents = np.load(folder / "documents.npy")
        queries = np.load(folder / "queries.npy")
        rows = {name: row for row, name in enumerate(_read_lines(folder / "documents.txt"))}
        query_rows = {name: row for row, name in enumerate(_read_lines(folder / "queries.txt"))}
        qrels = [line.split("\t")[:2] for line in _read_lines(folder / "qrels.tsv")]
        rng = np.random.default_rng(seed)
        pairs = [qrels[row] for row in rng.permutation(len(qrels))[:JUDGEMENTS]]
        if points:
            kept = set(list(dict.fromkeys(document for _, document in pairs))[:points])
            pairs = [pair for pair in pairs if pair[1] in kept]
        self.searches = [
            to_search_record(Search(name, queries[query_rows[name]]))
            for name in dict.fromkeys(query for query, _ in pairs)
        ]
        self.events = [
            to_event_record(Event(query, "relevant", rows[document])) for query, document in pairs
        ]

    def examine(self, documents: Float32) -> ModelReport:
        store = MemoryStore()
        store.create("docs", documents.shape[1], "cosine")
        store.upsert("docs", list(range(len(documents))), documents)
        target: Target = open_target(MemoryDatabase(store), "docs")
        target.queries.put(self.searches)
        target.events.put(self.events)
        settings = CollectionSettings()
        judgements = load_judgements(target, settings)
        return examine_model(target, settings, judgements, target.open_ledger())


def _read_lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("name", COLLECTIONS)
@pytest.mark.parametrize("points", [None, 40])
def test_real_queries_find_their_answers(shared_data: Path, name: str, points: int | None):
    for seed in range(3):
        collection = RealCollection(shared_data / name, seed, points)
        report = collection.examine(collection.documents)
        assert not report.refusal
        assert report.retrieval is not None
        assert report.retrieval.mean > 0.65


@pytest.mark.parametrize("name", COLLECTIONS)
@pytest.mark.parametrize("change", ["rotation", "permutation", "documents"])
def test_real_queries_of_another_model_do_not(shared_data: Path, name: str, change: str):
    for seed in range(3):
        collection = RealCollection(shared_data / name, seed)
        rng = np.random.default_rng(seed)
        documents = collection.documents
        dimension = documents.shape[1]
        if change == "rotation":
            rotation = np.linalg.qr(rng.normal(size=(dimension, dimension)))[0]
            documents = normalise_rows(documents @ rotation)
        elif change == "permutation":
            documents = np.ascontiguousarray(documents[:, rng.permutation(dimension)])
        else:
            documents = documents[rng.permutation(len(documents))]
        assert "which is chance" in collection.examine(documents).refusal


def test_few_or_akin_points_are_no_other_model():
    assert not Reembedding(19, 19, 0.0).is_of_another_model(0.5)
    assert not Reembedding(64, 32, 0.0).is_of_another_model(0.5)
    assert not Reembedding(64, 64, 0.6).is_of_another_model(0.5)
    assert Reembedding(64, 33, 0.1).is_of_another_model(0.5)
