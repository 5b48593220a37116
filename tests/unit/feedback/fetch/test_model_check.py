"""Whether queries of another model are noticed: on real collections, and in other spaces."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from nudge_sync.demo.requests import load_demo_data
from nudge_sync.errors import ModelMismatch
from nudge_sync.feedback.fetch.model_check import MIN_PAIRS, MIN_POINTS, MIN_SHARE, ModelChecker
from nudge_sync.testing.memory import MemoryDatabase

COLLECTIONS = ("cranfield-minilm", "metatool-minilm", "nfcorpus-minilm", "squad-minilm", "demo")
SEEDS = range(5)
DIMENSION = 384


def turn_at_random(queries):
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(DIMENSION, DIMENSION)))
    return queries @ turn


OTHER_SPACES = {
    "turned": turn_at_random,
    "components in another order": lambda queries: queries[:, ::-1],
    "shifted by a component": lambda queries: np.roll(queries, 1, axis=1),
    "negated": np.negative,
    "random": lambda queries: np.random.default_rng(1).normal(size=queries.shape),
}
"""What a model of the same dimension and another space may do to queries."""


def load_collection(folder: Path, name: str):
    """Document vectors, query vectors, and pairs of a query's row and an answer's row."""
    if name == "demo":
        tools, requests = load_demo_data()
        pairs = [(row, min(answers)) for row, answers in enumerate(requests.answers) if answers]
        return tools.vectors, requests.vectors, np.array(pairs)
    documents = (folder / name / "documents.txt").read_text().splitlines()
    queries = (folder / name / "queries.txt").read_text().splitlines()
    document_rows = {id_: row for row, id_ in enumerate(documents)}
    query_rows = {id_: row for row, id_ in enumerate(queries)}
    lines = [line.split("\t") for line in (folder / name / "qrels.tsv").read_text().splitlines()]
    pairs = {query_rows[query]: document_rows[document] for query, document, _ in lines}
    vectors = [np.load(folder / name / f"{kind}.npy") for kind in ("documents", "queries")]
    return *vectors, np.array(sorted(pairs.items()))


@pytest.fixture(scope="module")
def collections(shared_data):
    return {name: load_collection(shared_data, name) for name in COLLECTIONS}


def check(documents, queries, pairs, seed, count=MIN_PAIRS):
    """Hand a sample of searches, each with a point, to a checker of a collection."""
    database = MemoryDatabase()
    database.store.create("docs", documents.shape[1])
    database.store.upsert("docs", list(range(len(documents))), documents)
    checker = ModelChecker(database.collection("docs"), "log")
    sample = np.random.default_rng(seed).permutation(pairs)[:count].tolist()
    rows = [
        {
            "type": "search",
            "query_id": f"q{query}",
            "query_vector": queries[query],
            "shown": [point],
        }
        for query, point in sample
    ]
    checker.add_rows(rows)
    return checker


@pytest.mark.parametrize("name", COLLECTIONS)
def test_no_false_alarm(collections, name):
    documents, queries, pairs = collections[name]
    for seed in SEEDS:
        verdict = check(documents, queries, pairs, seed).judge()
        assert verdict.pairs == MIN_PAIRS
        assert verdict.is_match, (seed, verdict)


@pytest.mark.parametrize("space", OTHER_SPACES)
@pytest.mark.parametrize("name", COLLECTIONS)
def test_another_space_is_noticed(collections, name, space):
    documents, queries, pairs = collections[name]
    for seed in SEEDS:
        verdict = check(documents, OTHER_SPACES[space](queries), pairs, seed).judge()
        assert verdict.is_match is False, (seed, verdict)


def check_without_points(documents, queries, seed=0, count=MIN_PAIRS):
    """Hand searches that name no point to a checker of a collection."""
    database = MemoryDatabase()
    database.store.create("docs", documents.shape[1])
    database.store.upsert("docs", list(range(len(documents))), documents)
    checker = ModelChecker(database.collection("docs"), "log")
    rows = np.random.default_rng(seed).permutation(len(queries))[:count]
    checker.add_rows(
        [{"type": "search", "query_id": f"q{row}", "query_vector": queries[row]} for row in rows]
    )
    return checker


@pytest.mark.parametrize("name", COLLECTIONS)
def test_no_false_alarm_where_nothing_was_shown(collections, name):
    documents, queries, _ = collections[name]
    for seed in SEEDS:
        verdict = check_without_points(documents, queries, seed).judge()
        assert (verdict.pairs, verdict.share, verdict.is_match) == (0, None, True), verdict


@pytest.mark.parametrize("space", OTHER_SPACES)
@pytest.mark.parametrize("name", COLLECTIONS)
def test_another_space_is_noticed_where_nothing_was_shown(collections, name, space):
    documents, queries, _ = collections[name]
    checker = check_without_points(documents, OTHER_SPACES[space](queries))
    assert checker.judge().is_match is False
    with pytest.raises(ModelMismatch, match=f"{MIN_PAIRS} queries are .* as near to its points"):
        checker.refuse_mismatch()


def test_one_search_made_often_says_nothing(collections):
    documents, queries, _ = collections["squad-minilm"]
    checker = check_without_points(documents, np.repeat(queries[:1], 200, axis=0), count=200)
    assert checker.judge().is_match is None


def test_few_points_say_nothing_where_nothing_was_shown(collections):
    documents, queries, _ = collections["squad-minilm"]
    few = documents[: MIN_POINTS - 1]
    assert check_without_points(few, turn_at_random(queries)).judge().is_match is None


@pytest.mark.parametrize(("of", "on"), list(permutations(COLLECTIONS, 2)))
def test_the_queries_of_another_collection_are_noticed(collections, of, on):
    # The same model: what the ids of the one name in the other has nothing to do with the queries.
    documents, _, _ = collections[on]
    _, queries, pairs = collections[of]
    for seed in SEEDS:
        points = np.random.default_rng(seed).integers(len(documents), size=len(pairs))
        strange = np.stack([pairs[:, 0], points], axis=1)
        assert check(documents, queries, strange, seed).judge().is_match is False


def test_too_few_searches_say_nothing(collections):
    documents, queries, pairs = collections["squad-minilm"]
    checker = check(documents, turn_at_random(queries), pairs, 0, MIN_PAIRS - 1)
    assert checker.judge().is_match is None
    checker.refuse_mismatch()


def test_a_mismatch_is_refused_with_its_figures(collections):
    documents, queries, pairs = collections["squad-minilm"]
    checker = check(documents, turn_at_random(queries), pairs, 0)
    with pytest.raises(ModelMismatch, match=f"of {MIN_PAIRS} queries.*{MIN_SHARE:.0%}"):
        checker.refuse_mismatch()


def test_an_event_that_comes_later_tells_of_its_search(collections):
    documents, queries, pairs = collections["squad-minilm"]
    database = MemoryDatabase()
    database.store.create("docs", documents.shape[1])
    database.store.upsert("docs", list(range(len(documents))), documents)
    checker = ModelChecker(database.collection("docs"), "log")
    sample = pairs[:MIN_PAIRS].tolist()
    checker.add_rows(
        [{"type": "search", "query_id": f"q{q}", "query_vector": queries[q]} for q, _ in sample]
    )
    assert checker.judge().pairs == 0
    checker.add_rows(
        [{"type": "event", "query_id": f"q{q}", "action": "click", "point": p} for q, p in sample]
    )
    assert checker.judge().is_match
