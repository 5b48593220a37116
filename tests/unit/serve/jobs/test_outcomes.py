"""Every way in which a cycle or a drill ends has its label and its log line."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest

from nudge_sync.cycle import CycleReport
from nudge_sync.errors import (
    AwaitsCanary,
    DamagedRecord,
    Interrupted,
    LeaseHeld,
    ModelChanged,
    NudgeSyncError,
    OnHold,
    Unauthorised,
    Unreachable,
)
from nudge_sync.planning.gate import Gate
from nudge_sync.planning.held_out import LiveCheck
from nudge_sync.serve.jobs.outcomes import (
    LogLine,
    describe_drill,
    describe_drill_error,
    describe_error,
    describe_report,
    describe_review_error,
)
from nudge_sync.store.upkeep.restore_drill import DrillReport
from tests.support.fake_plan import make_fake_plan

REFUSAL = Gate(passed=False, reasons=["too few queries", "no gain"])
LOSS = LiveCheck({"ndcg@10": 0.5}, {"ndcg@10": 0.4}, is_loss=True, reason="ndcg@10 fell")
GAIN = LiveCheck({"ndcg@10": 0.4}, {"ndcg@10": 0.5}, is_loss=False)


@pytest.mark.parametrize(
    ("report", "label", "message", "reason"),
    [
        (CycleReport(make_fake_plan(), 3, 3, live_check=GAIN), "applied", "cycle applied", None),
        (CycleReport(make_fake_plan(), None), "unchanged", "cycle unchanged", None),
        (
            CycleReport(make_fake_plan(), None, candidate=4),
            "canary",
            "canary started, nothing written",
            None,
        ),
        (
            CycleReport(replace(make_fake_plan(), gate=REFUSAL), None),
            "refused",
            "refused by the gate",
            "too few queries; no gain",
        ),
        (
            CycleReport(replace(make_fake_plan(), gate=REFUSAL), 3, 3),
            "refused",
            "refused by the gate",
            "too few queries; no gain",
        ),
        (
            CycleReport(make_fake_plan(), 3, 3, live_check=LOSS),
            "refused",
            "refused by the gate",
            "ndcg@10 fell; rolled back",
        ),
    ],
    ids=[
        "applied",
        "unchanged",
        "candidate",
        "refused",
        "points went back",
        "rolled back",
    ],
)
def test_a_cycle_that_ran_to_its_end(report, label, message, reason):
    outcome, line = describe_report(report)
    assert (outcome, line.level, line.message) == (label, logging.INFO, message)
    assert line.details.get("reason") == reason


def test_the_line_of_a_cycle_has_its_figures_and_no_list_of_points():
    report = CycleReport(make_fake_plan(), 3, 2, drifted=[1], missing=[2], live_check=GAIN)
    _, line = describe_report(report)
    counts = {"revision": 3, "judged": 3, "moved": 3, "written": 2, "drifted": 3, "missing": 1}
    assert counts.items() <= line.details.items()
    assert line.details["before"].keys() == line.details["after"].keys()
    assert not any(isinstance(value, list) for value in line.details.values())


@pytest.mark.parametrize(
    ("error", "label", "line"),
    [
        (
            Interrupted(),
            "interrupted",
            LogLine(logging.INFO, "cycle interrupted; the next one resumes it"),
        ),
        (
            LeaseHeld("process 1 holds it"),
            "busy",
            LogLine(logging.INFO, "left to another process", {"reason": "process 1 holds it"}),
        ),
        (
            OnHold("by anna"),
            "on hold",
            LogLine(logging.WARNING, "on hold, nothing written", {"reason": "by anna"}),
        ),
        (
            AwaitsCanary("of revision 3"),
            "canary",
            LogLine(logging.INFO, "left to the canary", {"reason": "of revision 3"}),
        ),
        (
            ModelChanged("64 of 64"),
            "model changed",
            LogLine(
                logging.WARNING,
                "another embedding model, nothing written",
                {"reason": "64 of 64"},
            ),
        ),
        (
            Unreachable("no answer"),
            "unreachable",
            LogLine(logging.WARNING, "not now", {"error": "Unreachable", "reason": "no answer"}),
        ),
        (
            Unauthorised("no key"),
            "failed",
            LogLine(logging.ERROR, "cycle failed", {"error": "Unauthorised", "reason": "no key"}),
        ),
        (
            DamagedRecord("1:3"),
            "failed",
            LogLine(logging.ERROR, "cycle failed", {"error": "DamagedRecord", "reason": "1:3"}),
        ),
        (
            KeyError("https://user:secret@db"),
            "failed",
            LogLine(logging.ERROR, "cycle failed unexpectedly", {"error": "KeyError"}),
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_a_cycle_that_an_error_ended(error, label, line):
    assert describe_error(error) == (label, line)


@pytest.mark.parametrize(
    ("error", "level", "message"),
    [
        (LeaseHeld("process 1"), logging.INFO, "review put off"),
        (OnHold("by anna"), logging.INFO, "review put off"),
        (Unreachable("no answer"), logging.INFO, "review put off"),
        (DamagedRecord("1:3"), logging.ERROR, "review failed"),
        (KeyError("https://user:secret@db"), logging.ERROR, "review failed unexpectedly"),
    ],
)
def test_a_review_that_an_error_ended(error, level, message):
    line = describe_review_error(error)
    assert (line.level, line.message) == (level, message)
    assert "secret" not in str(line.details)


def test_a_drill_that_ran_to_its_end():
    whole = DrillReport(originals=2, identical=2)
    outcome, line = describe_drill(whole)
    assert (outcome, line) == (
        "restored",
        LogLine(logging.INFO, "drill ended", whole.summary()),
    )
    outcome, line = describe_drill(replace(whole, damaged=["docs__nudge_originals 1:3"]))
    assert (outcome, line.level, line.details["ok"]) == ("damaged", logging.ERROR, False)


@pytest.mark.parametrize(
    ("error", "label", "level"),
    [
        (Unreachable("no answer"), "unreachable", logging.WARNING),
        (NudgeSyncError("no room"), "failed", logging.ERROR),
    ],
)
def test_a_drill_that_an_error_ended(error, label, level):
    assert describe_drill_error(error) == (
        label,
        LogLine(level, "drill failed", {"reason": str(error)}),
    )


def test_a_drill_that_a_bug_ended_does_not_repeat_a_clients_message():
    line = LogLine(logging.ERROR, "drill failed unexpectedly", {"error": "KeyError"})
    assert describe_drill_error(KeyError("https://user:secret@db")) == ("failed", line)


def test_a_line_is_logged_about_its_collection(caplog):
    caplog.set_level(logging.INFO, "nudge_sync")
    LogLine(logging.WARNING, "not now", {"reason": "no answer"}).write("docs")
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (logging.WARNING, "not now")
    assert record.details == {"collection": "docs", "reason": "no answer"}
