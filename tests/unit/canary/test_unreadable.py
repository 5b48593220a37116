"""What cannot be read of an experiment keeps nobody from ending it."""

from __future__ import annotations

from time import time

import pytest

from nudge_sync import cycle
from nudge_sync.canary.by_hand import promote, stop
from nudge_sync.canary.review import review
from nudge_sync.canary.start import start
from nudge_sync.errors import DamagedRecord
from nudge_sync.settings.canary import CanarySettings
from nudge_sync.settings.feedback import FeedbackSettings
from nudge_sync.store import checksum
from nudge_sync.store.experiments.candidate import open_candidate
from nudge_sync.store.experiments.running import EXPERIMENT_KEY, read_running_experiment
from tests.support.external_log import EVENT_LOG
from tests.support.sample_collection import SETTINGS as SAMPLE_SETTINGS

CANARY = CanarySettings(share=1.0, holdback_share=0.05)
SETTINGS = SAMPLE_SETTINGS.model_copy(update={"canary": CANARY})
UNREADABLE_LOG = SETTINGS.model_copy(update={"feedback": FeedbackSettings(events=EVENT_LOG)})


def damage_record(sample, *, has_checksum):
    """Change what runs in its record, as a bad disk does; has_checksum: as a later version does."""
    records = sample.target().ledger_records
    record = records.get([EXPERIMENT_KEY])[0]
    record.document["experiment"]["running"]["share"] = "a tenth"
    if has_checksum:
        document = {name: record.document[name] for name in ("generation", "experiment")}
        record = checksum.add_checksum(EXPERIMENT_KEY, document)
    records.put([record])


@pytest.mark.parametrize("has_checksum", [True, False])
def test_a_canary_whose_record_is_damaged_is_stopped(sample, has_checksum):
    start(sample.target(), SETTINGS)
    damage_record(sample, has_checksum=has_checksum)
    for attempt in (lambda: review(sample.target(), SETTINGS), lambda: promote_by_hand(sample)):
        with pytest.raises(DamagedRecord, match=r"'experiment'.*`nudge-sync canary stop`"):
            attempt()
    report = stop(sample.target(), SETTINGS, "anna", "damaged")
    assert (report.step, report.verdict, report.revision) == ("ended", "stopped", 1)
    ending = sample.target().open_ledger().read_entry(1).details.ending
    assert (ending.reason, ending.by) == ("damaged", "anna")
    assert read_running_experiment(sample.target()) is None
    assert open_candidate(sample.target()).records.count() == 0
    assert cycle.apply(sample.target(), SETTINGS).outcome == "applied"


def promote_by_hand(sample):
    return promote(sample.target(), SETTINGS, "anna")


def test_a_holdback_whose_record_is_damaged_is_stopped_and_begins_anew(sample):
    cycle.apply(sample.target(), SETTINGS)
    review(sample.target(), SETTINGS)
    damage_record(sample, has_checksum=False)
    assert stop(sample.target(), SETTINGS, "anna").step == "cleared"
    assert stop(sample.target(), SETTINGS, "anna").step == "none"
    assert review(sample.target(), SETTINGS).step == "held back"


def test_an_experiment_whose_log_cannot_be_read_ends_in_time(sample):
    start(sample.target(), SETTINGS)
    later = time() + 86_400 * (CANARY.max_days + 1)
    report = review(sample.target(), UNREADABLE_LOG, now=later)
    assert (report.step, report.verdict) == ("ended", "inconclusive")
    assert read_running_experiment(sample.target()) is None


def test_an_experiment_whose_log_cannot_be_read_is_paused_and_stopped_by_hand(sample):
    start(sample.target(), SETTINGS)
    report = review(sample.target(), UNREADABLE_LOG)
    assert (report.step, report.status.decision.verdict) == ("none", "paused")
    assert "cannot be read: [feedback.events]" in report.status.decision.reason
    assert stop(sample.target(), UNREADABLE_LOG, "anna").verdict == "stopped"
    cycle.apply(sample.target(), SETTINGS)
    review(sample.target(), SETTINGS)
    report = stop(sample.target(), UNREADABLE_LOG, "anna")
    assert (report.step, report.revision) == ("cleared", 2)
    assert read_running_experiment(sample.target()) is None
