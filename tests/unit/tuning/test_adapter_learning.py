"""An adapter is the ridge regression that it says it is, and there is none where nothing helps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.stats import ortho_group

from nudge_sync.solve.selection.document_folds import hash_rows
from nudge_sync.tuning.adapter_learning import (
    MIN_ADAPTER_QUERIES,
    STEP_BESIDE_MOVED,
    learn_query_adapter,
    pick_strength,
)
from nudge_sync.tuning.adapter_maps import (
    AdapterTask,
    RidgeMaps,
    Strength,
    compute_residuals,
    learn_maps,
)
from nudge_sync.tuning.adapter_validation import (
    PARTS,
    StrengthTrial,
    cluster_queries,
    cross_validate,
    deal_clusters,
    measure_cold_answers,
    score_answers,
)

DIMENSION, DOCUMENTS, QUERIES = 12, 150, 400


def unit(rows: np.ndarray) -> np.ndarray:
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def make_task(queries: np.ndarray, documents: np.ndarray, answers: np.ndarray) -> AdapterTask:
    rows = np.arange(len(queries))
    relevance = csr_matrix((np.ones(len(rows)), (rows, answers)), shape=(len(rows), len(documents)))
    return AdapterTask(documents, queries, relevance, relevance)


def make_rotated_task(turn: float = 0.6, seed: int = 0) -> AdapterTask:
    """Queries that ask for their document through a rotation of the whole space."""
    rng = np.random.default_rng(seed)
    documents = unit(rng.normal(size=(DOCUMENTS, DIMENSION)))
    rotation = ortho_group.rvs(DIMENSION, random_state=rng)
    answers = rng.integers(0, DOCUMENTS, QUERIES)
    straight = documents[answers] + 0.1 * rng.normal(size=(QUERIES, DIMENSION))
    return make_task(unit((1 - turn) * straight + turn * straight @ rotation), documents, answers)


@pytest.fixture(scope="module")
def task() -> AdapterTask:
    return make_rotated_task()


def test_residuals_are_those_of_the_formula(task):
    rng = np.random.default_rng(1)
    grades = np.where(rng.random((30, DOCUMENTS)) < 0.05, rng.integers(-1, 4, (30, DOCUMENTS)), 0)
    grades[:, 0] = 2
    small = AdapterTask(
        task.documents * 2.5, task.queries[:30], csr_matrix(grades), csr_matrix(grades > 0) * 0.7
    )

    residuals = compute_residuals(small)

    for row, query in enumerate(small.queries.astype(np.float64)):
        answers = np.flatnonzero(grades[row] > 0)
        scores = task.documents.astype(np.float64) @ query
        judged = np.flatnonzero((grades != 0).any(axis=0))
        wrong = [one for one in np.argsort(-scores) if one in judged and one not in answers][:50]
        odds = np.exp(20 * scores[wrong])
        expected = task.documents[answers].mean(axis=0)
        expected = expected - odds @ task.documents[wrong] / odds.sum()
        np.testing.assert_allclose(residuals[row], expected, atol=1e-5)


def test_an_answer_counts_by_its_weight(task):
    relevance = csr_matrix(np.array([[1.0, 1.0] + [0.0] * (DOCUMENTS - 2)]))
    weights = csr_matrix(np.array([[3.0, 1.0] + [0.0] * (DOCUMENTS - 2)]))
    both = AdapterTask(task.documents, task.queries[:1], relevance, weights)
    alike = replace(both, weights=relevance)

    difference = compute_residuals(both) - compute_residuals(alike)

    expected = 0.25 * task.documents[:1] - 0.25 * task.documents[1:2]
    np.testing.assert_allclose(difference, expected, atol=1e-6)


@pytest.mark.parametrize("shrinkage", [0.1, 1.0, 10.0])
def test_a_map_is_the_ridge_regression_of_the_residuals(task, shrinkage):
    queries, residuals = task.queries.astype(np.float64), compute_residuals(task)
    strength = Strength(shrinkage, 0.5)

    adapter = RidgeMaps.build(queries, residuals).build_adapter(strength)

    mean, shift = queries.mean(axis=0), residuals.mean(axis=0)
    gram = (queries - mean).T @ (queries - mean)
    ridge = shrinkage * np.linalg.eigvalsh(gram).mean()
    slope = np.linalg.solve(
        gram + ridge * np.eye(DIMENSION), (queries - mean).T @ (residuals - shift)
    )
    moved = queries + 0.5 * (shift + (queries - mean) @ slope)
    np.testing.assert_allclose(adapter(task.queries), unit(moved), atol=1e-5)


def test_infinite_shrinkage_is_a_shift(task):
    residuals = compute_residuals(task)
    maps = RidgeMaps.build(task.queries.astype(np.float64), residuals)

    adapter = maps.build_adapter(Strength(np.inf, 2.0))

    assert adapter.matrix.tobytes() == np.eye(DIMENSION, dtype=np.float32).tobytes()
    np.testing.assert_allclose(adapter.offset, 2 * residuals.mean(axis=0), atol=1e-6)


def test_queries_that_are_all_alike_give_a_shift():
    documents = np.eye(3, dtype=np.float32)
    queries = np.tile(documents[:1], (50, 1))
    task = make_task(queries, documents, np.ones(50, np.int64))
    maps = RidgeMaps.build(queries.astype(np.float64), compute_residuals(task))

    adapter = maps.build_adapter(Strength(1.0, 1.0))

    np.testing.assert_allclose(adapter.matrix, np.eye(3), atol=1e-6)


def test_a_rotation_is_undone_for_queries_that_nobody_learned_from(task):
    train, test = task.select(np.arange(300)), task.select(np.arange(300, QUERIES))

    learned = learn_query_adapter(train)

    assert learned.adapter is not None
    before, after = score_answers(test).mean(), score_answers(test, None, learned.adapter).mean()
    assert before < 0.6
    assert after > before + 0.2
    assert learned.gains.new.mean > 0.2
    assert "new topics" in learned.reason


def test_the_same_task_gives_the_same_bits(task):
    one, other = (learn_query_adapter(task).adapter for _ in range(2))
    assert (one.version, one.matrix.tobytes()) == (other.version, other.matrix.tobytes())


def test_shuffled_answers_give_no_adapter():
    rng = np.random.default_rng(4)
    for seed in range(5):
        task = make_rotated_task(turn=0.0, seed=seed)
        shuffled = rng.permutation(QUERIES)
        wrong = replace(task, relevance=task.relevance[shuffled], weights=task.weights[shuffled])
        learned = learn_query_adapter(wrong)
        assert learned.adapter is None
        assert learned.reason.startswith("no map is shown to gain anything")


def test_queries_that_are_their_answers_give_no_adapter():
    task = make_rotated_task()
    answers = task.relevance.indices
    learned = learn_query_adapter(replace(task, queries=task.documents[answers]))
    assert learned.adapter is None


def make_trial(warm: float, cold: float, new: float, beside_moved: float = np.nan) -> StrengthTrial:
    gains = (warm, cold, beside_moved, new)
    return StrengthTrial(*(np.array([gain, np.nan, gain]) for gain in gains))


def test_the_best_of_those_that_do_no_harm_is_picked():
    trials = {
        Strength(0.1, 2.0): make_trial(0.9, -0.1, 0.2),
        Strength(0.1, 1.0): make_trial(0.9, 0.5, -0.1),
        Strength(0.3, 2.0): make_trial(0.9, 0.5, 0.1, beside_moved=-0.1),
        Strength(0.3, 1.0): make_trial(0.3, 0.1, 0.0),
        Strength(1.0, 1.0): make_trial(0.2, 0.0, 0.1),
    }
    for expected in (Strength(0.3, 1.0), Strength(1.0, 1.0), Strength(0.1, 1.0)):
        assert pick_strength(trials) == expected
        del trials[expected]


def test_of_equally_good_maps_the_weakest_is_picked():
    strengths = [Strength(1.0, 0.5), Strength(10.0, 1.0), Strength(10.0, 0.5)]
    trials = {strength: make_trial(0.1, 0.1, 0.1) for strength in strengths}
    assert pick_strength(trials) == Strength(10.0, 0.5)


def test_cross_validation_learns_from_none_of_what_it_asks(task):
    """What a fold is told of its own queries and documents changes nothing of what it gains."""
    strength, cluster = Strength(1.0, 1.0), np.arange(QUERIES) % 20
    plain = cross_validate(task, [strength], cluster)[strength]
    fold = np.arange(QUERIES) % PARTS
    for values in (plain.warm, plain.new):
        assert np.isfinite(values).mean() > 0.5
    assert not np.isfinite(plain.warm[np.isfinite(plain.cold)]).any()  # one answer each
    wrong = task.weights.copy()
    wrong.data = np.where(fold == 2, 5.0, 1.0)
    changed = cross_validate(replace(task, weights=wrong), [strength], cluster)[strength]
    np.testing.assert_array_equal(plain.warm[fold == 2], changed.warm[fold == 2])
    np.testing.assert_array_equal(plain.cold[fold == 2], changed.cold[fold == 2])
    assert (plain.warm != changed.warm)[fold != 2].any()


def move_some(task: AdapterTask) -> AdapterTask:
    """Return the task with half of its documents moved towards queries that they answer or not."""
    rng = np.random.default_rng(5)
    moved = np.where(
        rng.random(DOCUMENTS)[:, None] < 0.5,
        unit(task.documents + task.queries[rng.integers(0, QUERIES, DOCUMENTS)]),
        task.documents,
    )
    return replace(task, live_documents=moved)


def discount_rank(query: np.ndarray, documents: np.ndarray, answer: int) -> float:
    """Return NDCG@10 of a query with one answer."""
    scores = documents @ query
    rank = int((scores > scores[answer]).sum())
    return 1 / np.log2(rank + 2) if rank < 10 else 0.0


def test_cold_answers_are_searched_for_where_they_were_among_those_that_moved(task):
    strength, cluster = Strength(1.0, 1.0), np.arange(QUERIES) % 20
    moved = move_some(task)
    plain = cross_validate(task, [strength], cluster)[strength]

    beside = cross_validate(moved, [strength], cluster)[strength]

    for values in ("warm", "cold", "new"):
        np.testing.assert_array_equal(getattr(beside, values), getattr(plain, values))
    assert not np.isfinite(plain.beside_moved).any()
    document_fold, answers = hash_rows(task.documents) % PARTS, task.relevance.indices
    query_fold = np.arange(QUERIES) % PARTS
    is_cold = document_fold[answers] == query_fold
    np.testing.assert_array_equal(np.isfinite(beside.beside_moved), is_cold)
    for row in np.flatnonzero(is_cold):
        hidden = document_fold == query_fold[row]
        documents = np.stack(
            [
                task.documents[one] if hidden[one] else moved.live_documents[one]
                for one in range(DOCUMENTS)
            ]
        )
        learner = task.select(np.flatnonzero(query_fold != query_fold[row])).hide(hidden)
        query = task.queries[row]
        adapted = learn_maps(learner).build_adapter(strength)(query)
        expected = discount_rank(adapted, documents, answers[row])
        expected -= discount_rank(query, documents, answers[row])
        assert beside.beside_moved[row] == pytest.approx(expected, abs=1e-6)
    assert (beside.beside_moved != plain.cold)[is_cold].any()


def test_a_map_goes_half_the_way_where_documents_have_moved(task):
    assert learn_query_adapter(task).strength.step > STEP_BESIDE_MOVED
    assert learn_query_adapter(move_some(task)).strength.step == STEP_BESIDE_MOVED


def test_held_out_answers_are_searched_for_among_those_that_moved(task):
    moved = move_some(task)
    train, held_out = moved.select(np.arange(300)), moved.select(np.arange(300, QUERIES))
    strength = Strength(0.1, 1.0)

    report = measure_cold_answers(train, held_out, strength, 0.95)

    gains = []
    for fold in range(PARTS):
        hidden = hash_rows(task.documents) % PARTS == fold
        documents = np.where(hidden[:, None], task.documents, moved.live_documents)
        adapter = learn_maps(train.hide(hidden)).build_adapter(strength)
        for query, answer in zip(held_out.queries, held_out.relevance.indices, strict=True):
            if hidden[answer]:
                before, after = (
                    discount_rank(one, documents, answer) for one in (query, adapter(query))
                )
                gains.append(after - before)
    assert report.cold.mean == pytest.approx(np.mean(gains), abs=1e-6)


def test_documents_without_judgements_are_not_turned_away_from(task):
    small = task.select(np.arange(60))
    unjudged = np.setdiff1d(np.arange(DOCUMENTS), small.relevance.indices)
    moved = small.documents.copy()
    moved[unjudged] = unit(np.random.default_rng(2).normal(size=(len(unjudged), DIMENSION)))

    residuals = compute_residuals(small)

    assert residuals.tobytes() == compute_residuals(replace(small, documents=moved)).tobytes()


def test_hidden_documents_lose_their_judgements_and_queries_that_have_none_leave(task):
    hidden = np.arange(DOCUMENTS) < 40

    shown = task.hide(hidden)

    answers = task.relevance.indices
    assert len(shown.queries) == (answers >= 40).sum()
    assert shown.relevance.indices.min() >= 40
    assert task.relevance.indices.min() < 40


def test_held_out_queries_tell_what_happens_to_cold_answers(task):
    train, held_out = task.select(np.arange(300)), task.select(np.arange(300, QUERIES))

    report = measure_cold_answers(train, held_out, Strength(0.1, 1.0), 0.95)

    # Each query has one answer, which is hidden in one fold of five.
    assert (report.warm.queries, report.cold.queries) == (400, 100)
    assert report.warm.mean > 0.1
    assert report.cold.low < report.cold.mean < report.cold.high


def test_few_queries_are_not_learned_from(task):
    learned = learn_query_adapter(task.select(np.arange(MIN_ADAPTER_QUERIES - 1)))
    assert (learned.adapter, learned.strength, learned.gains) == (None, None, None)
    assert str(MIN_ADAPTER_QUERIES) in learned.reason


def test_queries_without_an_answer_or_a_weight_teach_nothing(task):
    silent = csr_matrix((50, DOCUMENTS))
    doubtful = replace(
        task,
        queries=np.concatenate([task.queries, -task.queries[:50]]),
        relevance=csr_matrix(np.vstack([task.relevance.toarray(), task.relevance[:50].toarray()])),
        weights=csr_matrix(np.vstack([task.weights.toarray(), silent.toarray()])),
    )
    expected = learn_query_adapter(task).adapter
    assert learn_query_adapter(doubtful).adapter.version == expected.version


def test_folds_hold_whole_clusters_and_are_of_like_size(task):
    cluster = cluster_queries(task.queries.astype(np.float64))

    fold = deal_clusters(cluster)

    assert all(len(set(fold[cluster == one])) == 1 for one in set(cluster))
    sizes = np.bincount(fold, minlength=PARTS)
    assert sizes.max() - sizes.min() <= np.bincount(cluster).max()
