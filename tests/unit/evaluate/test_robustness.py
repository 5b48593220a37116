"""Protocols that change what methods learn from, and never what they are tested by."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from nudge_sync.errors import InputError
from nudge_sync.evaluate import robustness, study, summary
from nudge_sync.evaluate.evidence import measure_gain_by_judgements
from nudge_sync.evaluate.outcome import build_tables, study_to_dict
from nudge_sync.evaluate.protocol import ROBUSTNESS_PROTOCOLS, split_task
from nudge_sync.evaluate.score import score_queries
from nudge_sync.evaluate.split import split_randomly
from tests.support.evaluation_study import STUDY_SETTINGS, make_task

DATED = replace(make_task(), query_times=np.arange(200, 0, -1.0))


def list_training_pairs(split, rows) -> list[tuple[int, int]]:
    judgements = (split.task or DATED).judgements
    return [(int(row), document) for row in rows for document in judgements[row]]


@pytest.mark.parametrize("protocol", ROBUSTNESS_PROTOCOLS)
def test_no_query_that_tests_is_learned_from(protocol):
    for split in split_task(DATED, protocol, 1):
        learned = {*split.train.tolist(), *split.validation.tolist()}
        assert learned
        assert len(split.train)
        assert len(split.validation)
        assert not {*split.train.tolist()} & {*split.validation.tolist()}
        for part, rows in split.tests.items():
            assert len(rows), part
            assert not learned & {*rows.tolist()}


@pytest.mark.parametrize("protocol", ROBUSTNESS_PROTOCOLS)
def test_a_seed_gives_the_same_splits_again(protocol):
    first, second = (split_task(DATED, protocol, 3) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.train, other.train)
        assert list_training_pairs(one, one.train) == list_training_pairs(other, other.train)


def test_a_cold_document_has_no_judgement_left_and_is_scored_without_the_others():
    task = replace(
        DATED,
        judgements=[{**grades, 30 + row % 9: 1.0} for row, grades in enumerate(DATED.judgements)],
    )
    (split,) = robustness.split_by_cold_documents(task, 0)
    cold = split.counted["cold answers"]

    judged = {document for grades in task.judgements for document in grades}
    assert cold.sum() == int(0.3 * len(judged))
    learned = np.concatenate([split.train, split.validation])
    assert not any(cold[document] for _, document in list_training_pairs(split, learned))
    assert split.task.cold_share == 0.5
    rows = split.tests["cold answers"]
    values = score_queries(task.documents, task.queries[rows], task.select_judgements(rows), cold)
    for row, value in zip(rows.tolist(), values[:, 0], strict=True):
        answers = [document for document in task.judgements[row] if cold[document]]
        rivals = [d for d in range(80) if d in answers or d not in task.judgements[row]]
        ranked = sorted(rivals, key=lambda d: -float(task.documents[d] @ task.queries[row]))
        ranks = [ranked.index(answer) for answer in answers]
        gained = sum(1 / np.log2(rank + 2) for rank in ranks if rank < 10)
        assert value == pytest.approx(gained / sum(1 / np.log2(2 + np.arange(len(answers)))))


def test_one_cluster_is_left_out_of_training_and_seeds_take_turns():
    held = {seed: split_task(DATED, "leave-cluster-out", seed)[0] for seed in (0, 1)}
    for split in held.values():
        parts = [split.train, split.validation, *split.tests.values()]
        assert sorted(np.concatenate(parts).tolist()) == list(range(200))
    assert [*held[0].tests] == ["k=2, trained", "k=2, left out"]
    sizes = [len(held[seed].tests["k=2, left out"]) for seed in (0, 1)]
    assert sizes[0] >= 100 >= sizes[1]


def test_the_latest_queries_test():
    (split,) = split_task(DATED, "time", 0)
    # The later rows were asked first.
    assert split.tests["latest queries"].tolist() == list(range(39, -1, -1))
    assert split.train[0] == 199
    with pytest.raises(InputError, match=r"0 queries have a time.*times\.txt"):
        split_task(make_task(), "time", 0)


def test_seeds_do_not_repeat_the_one_split_by_time():
    settings = replace(STUDY_SETTINGS, protocols=("time",), methods=("nothing",))
    assert [trial.seed for trial in study.run_study(DATED, settings).trials] == [0]


def test_a_document_keeps_so_many_training_judgements():
    for split, limit in zip(split_task(DATED, "cold-start", 0), (1, 3, 10), strict=True):
        counts = Counter(document for _, document in list_training_pairs(split, split.train))
        assert max(counts.values()) <= limit
        full = Counter(
            document
            for row in split_randomly(np.arange(200), 0).train.tolist()
            for document in DATED.judgements[row]
        )
        assert counts == {document: min(count, limit) for document, count in full.items()}


def test_about_that_share_of_the_labels_is_wrong_and_none_that_tests():
    for split, share in zip(split_task(DATED, "label-noise", 0), (0.1, 0.3), strict=True):
        learned = np.concatenate([split.train, split.validation])
        wrong = [split.task.judgements[row] != DATED.judgements[row] for row in learned]
        # One wrong label in thirty is replaced by itself.
        assert np.mean(wrong) == pytest.approx(share, abs=0.08)
        (rows,) = split.tests.values()
        assert all(split.task.judgements[row] == DATED.judgements[row] for row in rows)


def test_weights_go_where_wrong_labels_go():
    weighted = replace(DATED, weights=[dict.fromkeys(one, 0.5) for one in DATED.judgements])
    for split in split_task(weighted, "label-noise", 0):
        assert [*map(set, split.task.weights)] == [*map(set, split.task.judgements)]


def test_a_small_log_has_that_many_queries():
    splits = split_task(DATED, "small-log", 0)
    # 160 queries are there to learn from.
    assert [split.condition for split in splits] == ["20 queries", "50 queries"]
    assert [len(split.train) + len(split.validation) for split in splits] == [20, 50]


def test_answers_are_sorted_by_how_often_they_were_judged():
    (split,) = split_task(DATED, "document-frequency", 0)
    counts = Counter(document for _, document in list_training_pairs(split, split.train))
    assert sum(len(rows) for rows in split.tests.values()) == 40
    for row in split.tests["3 to 9 times"]:
        (answer,) = DATED.judgements[row]
        assert 3 <= counts[answer] <= 9


def test_cold_answers_count_as_never_judged_in_the_report():
    settings = replace(STUDY_SETTINGS, methods=("nudge-n",), protocols=("cold-documents",))
    finished = study.run_study(DATED, settings)

    bins = measure_gain_by_judgements(finished)

    never_judged = next(one for one in bins if one.label == "none")
    (cold, *_) = (trial.tests["cold answers"].rows for trial in finished.trials)
    assert never_judged.queries >= len(cold)


def test_methods_are_compared_with_nothing_and_with_nudge_n_in_one_table():
    settings = replace(
        STUDY_SETTINGS, methods=("nothing", "nudge-n", "nudge-h"), protocols=("label-noise",)
    )
    finished = study.run_study(DATED, settings)
    lines = summary.summarise_study(finished)

    over = {line.method: line.over_nudge_n for line in lines if line.part == "10% wrong"}
    gains = {line.method: line.gains["ndcg@10"].mean for line in lines if line.part == "10% wrong"}
    assert over["nothing"] is over["nudge-n"] is None
    assert over["nudge-h"].mean == pytest.approx(gains["nudge-h"] - gains["nudge-n"])
    assert over["nudge-h"].low <= over["nudge-h"].mean <= over["nudge-h"].high

    ((title, columns, rows),) = build_tables(study_to_dict(finished, lines, [], []))
    assert title.startswith("label-noise, 70 test queries over 2 seed(s)")
    assert columns[-2:] == ["over N", "p"]
    methods = ["  nothing", "  nudge-n", "  nudge-h"]
    assert [row[0] for row in rows] == ["10% wrong", *methods, "30% wrong", *methods]
    widths = [max(len(row[column]) for row in [columns, *rows]) for column in range(len(columns))]
    assert sum(widths) + 3 * (len(columns) - 1) <= 80
