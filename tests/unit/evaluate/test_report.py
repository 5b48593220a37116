"""What the page of a study shows, and that it is whole."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest

from nudge_sync.errors import InputError
from nudge_sync.evaluate import evidence, outcome, report
from nudge_sync.evaluate.study import run_study
from nudge_sync.evaluate.summary import summarise_study
from nudge_sync.evaluate.task import EvaluationTask, scale_to_unit
from tests.support.evaluation_study import STUDY_SETTINGS


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


@pytest.mark.parametrize(("p_corrected", "is_bold"), [(0.0559, False), (0.05, True), (1e-5, True)])
def test_bold_and_lead_go_by_the_corrected_p(finished_study, lines, p_corrected, is_bold):
    """Whatever the interval of one comparison alone says."""
    moved = [replace(line, p_corrected=p_corrected) for line in lines if line.method != "nothing"]
    unmoved = [line for line in lines if line.method == "nothing"]

    page = report.render_report(finished_study, unmoved + moved, [], [])

    assert page.count('<tr class="sure">') == (len(moved) if is_bold else 0)
    assert ("not shown to differ" in page) is not is_bold


def test_a_report_that_cannot_be_written_is_refused_before_anything_is_computed(tmp_path):
    pytest.importorskip("matplotlib")
    with pytest.raises(InputError, match="no folder"):
        report.require_writable(tmp_path / "nowhere" / "report.html")


def test_what_a_seed_chose_stands_beside_its_own_number():
    # Too few queries for every condition to have a split by every seed.
    rng = np.random.default_rng(0)
    documents, queries = (scale_to_unit(rng.normal(size=(size, 16))) for size in (80, 60))
    judgements = [{int(rng.integers(80)): 1.0} for _ in queries]
    names = [str(row) for row in range(80)]
    task = EvaluationTask("few", documents, queries, judgements, names, names[:60])
    settings = replace(
        STUDY_SETTINGS, protocols=("leave-cluster-out",), seeds=(3, 1, 4, 0, 5), resamples=100
    )
    study = run_study(task, settings)
    lines = summarise_study(study)
    seeds_by_condition = {
        (trial.condition, trial.method): [
            other.seed
            for other in study.trials
            if (other.condition, other.method) == (trial.condition, trial.method)
        ]
        for trial in study.trials
    }
    assert any(seeds != list(settings.seeds) for seeds in seeds_by_condition.values())

    page = report.render_report(study, lines, [], [])
    rows = re.findall(
        r'<tr><th scope="row">leave-cluster-out: ([^<]*)</th><td class="text">([^<]*)</td>'
        r'<td>([0-9]+)</td><td class="text"><code>(.*?)</code>',
        page,
    )
    shown = [(*row[:2], int(row[2]), json.loads(unescape(row[3]))) for row in rows]
    chosen = [
        (trial.condition, trial.method, trial.seed, trial.parameters) for trial in study.trials
    ]
    assert sorted(shown, key=lambda row: row[:3]) == sorted(chosen, key=lambda row: row[:3])
    for entry in outcome.study_to_dict(study, lines, [], [])["results"]:
        trials = study.select_trials(entry["protocol"], entry["method"], entry["part"])
        assert entry["seeds"] == [trial.seed for trial in trials]
        assert entry["parameters"] == [trial.parameters for trial in trials]
