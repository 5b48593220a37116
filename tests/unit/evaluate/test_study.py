"""From trials to figures: what is summed, what is compared, and what the page shows."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from nudge_sync.errors import ConfigError, InputError
from nudge_sync.evaluate import evidence, outcome, report, study, summary
from nudge_sync.evaluate.task import EvaluationTask, scale_to_unit
from nudge_sync.metrics import METRIC_NAMES

SETTINGS = study.StudySettings(
    methods=("nothing", "nudge-n"), protocols=("random", "grouped"), seeds=(0, 1), resamples=200
)


def toy(seed: int = 0) -> EvaluationTask:
    """Each of 30 documents answers queries around a spot away from it."""
    rng = np.random.default_rng(seed)
    documents = scale_to_unit(rng.normal(size=(80, 16)))
    spots = scale_to_unit(documents[:30] + 1.2 * scale_to_unit(rng.normal(size=(30, 16))))
    answers = rng.integers(0, 30, 200)
    queries = scale_to_unit(spots[answers] + 0.4 * scale_to_unit(rng.normal(size=(200, 16))))
    names = [str(row) for row in range(200)]
    return EvaluationTask(
        "toy <&>", documents, queries, [{int(row): 1.0} for row in answers], names[:80], names
    )


@pytest.fixture(scope="module")
def finished_study() -> study.Study:
    return study.run_study(toy(), SETTINGS)


@pytest.fixture(scope="module")
def lines(finished_study) -> list[summary.SummaryLine]:
    return summary.summarise_study(finished_study)


def test_means_and_gains_are_those_of_the_tested_queries(finished_study, lines):
    column = METRIC_NAMES.index("ndcg@10")
    line = next(one for one in lines if (one.protocol, one.method) == ("random", "nudge-n"))
    tested = [trial.tests["test"] for trial in finished_study.select_trials("random", "nudge-n")]
    values = np.concatenate([found[:, column] for _, found in tested])
    base = np.concatenate([finished_study.baseline[rows, column] for rows, _ in tested])

    assert line.values["ndcg@10"] == pytest.approx(values.mean())
    assert line.gains["ndcg@10"].mean == pytest.approx((values - base).mean())
    assert line.queries == len(set(np.concatenate([rows for rows, _ in tested]).tolist()))
    assert line.better + line.worse <= line.queries


def test_nothing_gains_nothing(lines):
    for line in lines:
        if line.method == "nothing":
            assert all(gain.mean == gain.low == gain.high == 0 for gain in line.gains.values())
            assert (line.better, line.worse, line.p_corrected) == (0, 0, 1.0)


def test_every_comparison_is_corrected_for_all_of_them(lines):
    compared = [line for line in lines if line.method != "nothing"]

    assert summary.count_comparisons(lines) == len(compared) == 2
    lowest = min(compared, key=lambda line: line.gains["ndcg@10"].p)
    assert lowest.p_corrected == pytest.approx(min(1, 2 * lowest.gains["ndcg@10"].p))


def test_progress_is_told_and_may_stop_a_study():
    steps = []
    study.run_study(toy(), replace(SETTINGS, seeds=(0,)), lambda *step: steps.append(step))
    assert steps[0] == ("evaluate", 0, 4)
    assert steps[-1] == ("evaluate", 4, 4)

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        study.run_study(toy(), SETTINGS, stop)


def test_nudge_m_needs_dot_product():
    task = replace(toy(), similarity="cosine")

    with pytest.raises(ConfigError, match="dot product"):
        study.restrict_settings(task, replace(SETTINGS, methods=("nudge-m",)))


def test_a_protocol_that_the_task_is_too_small_for_is_left_out_and_said_so():
    task = toy()
    alike = replace(task, judgements=[{0: 1.0} for _ in task.judgements])

    noted, settings = study.restrict_settings(alike, SETTINGS)

    assert settings.protocols == ("random",)
    assert "grouped was left out: 1 groups" in noted.notes[-1]
    with pytest.raises(InputError, match="grouped was left out"):
        study.restrict_settings(alike, replace(SETTINGS, protocols=("grouped",)))


def test_queries_are_sorted_by_how_often_their_answers_were_judged(finished_study):
    bins = evidence.measure_gain_by_judgements(finished_study)
    tested = sum(one.queries for one in bins)

    assert [one.label for one in bins] == [
        label for label in evidence._bin_labels() if label in {one.label for one in bins}
    ]
    assert tested >= 0.9 * len(
        np.unique(
            np.concatenate(
                [t.tests["test"][0] for t in finished_study.select_trials("random", "nudge-n")]
            )
        )
    )


def test_known_counts_training_queries_per_answer():
    task = replace(
        toy(), judgements=[{0: 1.0}, {0: 2.0, 1: 1.0}, {0: 1.0, 1: 1.0, 2: 0.0}, {5: 1.0}]
    )

    assert evidence.count_training_judgements(
        task, np.array([0, 1]), np.array([2, 3])
    ).tolist() == [1.5, 0.0]
    assert evidence._assign_bins(np.array([0.0, 0.5, 1.0, 1.5, 2.0, 33.0])).tolist() == [
        0,
        1,
        1,
        2,
        2,
        7,
    ]
    assert len(evidence._bin_labels()) == len(evidence.BIN_EDGES) + 2


def test_curves_start_near_nothing_and_name_what_was_chosen(finished_study):
    (curve,) = evidence.measure_gain_by_angle(finished_study)

    assert curve.method == "nudge-n"
    assert len(curve.chosen_angles) == 2
    assert np.all(curve.gain.low <= curve.gain.mean)
    assert np.all(curve.gain.mean <= curve.gain.high)
    assert curve.gain.mean.max() > 0


class Page(HTMLParser):
    """Ids, and whether every element that opens also closes."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.ids += [value for name, value in attrs if name == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(finished_study, lines) -> str:
    pytest.importorskip("matplotlib")
    return report.render_report(
        finished_study,
        lines,
        evidence.measure_gain_by_judgements(finished_study),
        evidence.measure_gain_by_angle(finished_study),
    )


def test_the_page_is_whole_and_its_ids_are_its_own(page):
    parsed = Page()
    parsed.feed(page)

    assert parsed.open == []
    assert len(parsed.ids) == len(set(parsed.ids))
    used = set(re.findall(r"(?:url\(#|href=\"#)([^)\"]+)", page))
    assert used <= set(parsed.ids)


def test_the_page_shows_what_the_table_shows(page, finished_study, lines):
    result = outcome.study_to_dict(finished_study, lines, [], [])

    for _, _, rows in outcome.build_tables(result):
        for row in rows:
            for cell in (row[1], row[2]):
                assert cell in page.replace("\N{MINUS SIGN}", "-")


def test_names_are_escaped(page):
    assert "toy &lt;&amp;&gt;" in page
    assert "toy <&>" not in page


def test_the_same_study_gives_the_same_page(page, finished_study, lines):
    assert page == report.render_report(
        finished_study,
        lines,
        evidence.measure_gain_by_judgements(finished_study),
        evidence.measure_gain_by_angle(finished_study),
    )


def test_the_object_is_json_and_says_how_much_was_compared(finished_study, lines):
    result = json.loads(
        json.dumps(
            outcome.study_to_dict(
                finished_study, lines, evidence.measure_gain_by_judgements(finished_study), []
            ),
            allow_nan=False,
        )
    )

    assert result["comparisons"] == 2
    assert "2 comparisons" in outcome.format_footnote(result)
    assert outcome.format_p_value(1e-9) == "<0.0001"


def test_a_report_that_cannot_be_written_is_refused_before_anything_is_computed(tmp_path):
    pytest.importorskip("matplotlib")
    with pytest.raises(InputError, match="no folder"):
        report.require_writable(tmp_path / "nowhere" / "report.html")
