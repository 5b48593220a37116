"""Metrics against trec_eval's."""

from __future__ import annotations

import numpy as np
import pytest
import pytrec_eval

from nudge_sync.evaluate.score import score_queries, score_run
from nudge_sync.metrics import METRIC_NAMES


def random_rows(count: int, dimension: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)


def test_fewer_documents_than_places():
    values = score_queries(
        np.eye(2, dtype=np.float32), np.eye(2, dtype=np.float32), [{1: 1.0}, {1: 1.0}]
    )

    assert values[:, METRIC_NAMES.index("recall@10")].tolist() == [1.0, 1.0]
    assert values[:, METRIC_NAMES.index("mrr@10")].tolist() == [0.5, 1.0]


def test_metrics_agree_with_trec_eval():
    rng = np.random.default_rng(2)
    documents, queries = random_rows(80, 5, 3), random_rows(60, 5, 4)
    judgements = [
        {int(row): float(rng.integers(0, 4)) for row in rng.choice(80, 12, replace=False)}
        for _ in queries
    ]
    qrels = {
        str(row): {str(document): int(grade) for document, grade in grades.items()}
        for row, grades in enumerate(judgements)
    }
    run = {
        str(row): {str(document): float(value) for document, value in enumerate(scores)}
        for row, scores in enumerate(queries @ documents.T)
    }
    evaluator = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10", "P.1,10"})
    expected = evaluator.evaluate(run)

    values = score_queries(documents, queries, judgements)

    for row, grades in enumerate(judgements):
        answers = sum(grade > 0 for grade in grades.values())
        found = 10 * expected[str(row)]["P_10"]
        assert values[row, METRIC_NAMES.index("ndcg@10")] == pytest.approx(
            expected[str(row)]["ndcg_cut_10"], abs=1e-6
        )
        assert values[row, METRIC_NAMES.index("recall@10")] == pytest.approx(
            found / min(answers, 10)
        )
        assert values[row, METRIC_NAMES.index("recall@1")] == expected[str(row)]["P_1"]


def test_reciprocal_rank_counts_the_first_answer_alone():
    ranked = np.array([[5, 3, 4], [0, 1, 2]])

    values = score_run(ranked, [{3: 1.0, 4: 5.0}, {9: 1.0}])

    assert values[:, METRIC_NAMES.index("mrr@10")].tolist() == [0.5, 0.0]


def test_negative_grades_are_no_answers():
    values = score_run(np.array([[0, 1]]), [{0: -3.0, 1: 1.0}])

    assert values[0, METRIC_NAMES.index("recall@1")] == 0.0
    assert values[0, METRIC_NAMES.index("ndcg@10")] == pytest.approx(1 / np.log2(3))
