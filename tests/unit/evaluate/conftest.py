"""One finished study that several test files read."""

from __future__ import annotations

import pytest

from nudge_sync.evaluate import evidence, report
from nudge_sync.evaluate.study import Study, run_study
from nudge_sync.evaluate.summary import SummaryLine, summarise_study
from tests.support.evaluation_study import STUDY_SETTINGS, make_task


@pytest.fixture(scope="session")
def finished_study() -> Study:
    return run_study(make_task(), STUDY_SETTINGS)


@pytest.fixture(scope="session")
def lines(finished_study) -> list[SummaryLine]:
    return summarise_study(finished_study)


@pytest.fixture(scope="session")
def page(finished_study, lines) -> str:
    """The study as a report with all its plots."""
    pytest.importorskip("matplotlib")
    return report.render_report(
        finished_study,
        lines,
        evidence.measure_gain_by_judgements(finished_study),
        evidence.measure_gain_by_angle(finished_study),
    )
