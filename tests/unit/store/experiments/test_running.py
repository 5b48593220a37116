"""The record of the running experiment changes by compare-and-set and is checked when read."""

import json
from dataclasses import replace

import pytest

from nudge_sync.errors import DamagedRecord, InputError, LeaseLost
from nudge_sync.store.experiments.running import (
    EXPERIMENT_KEY,
    end_experiment,
    read_running_experiment,
    start_experiment,
)
from tests.support.sample_collection import open_sample_collection


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    with open_sample_collection("memory", tmp_path_factory.mktemp("sample")) as opened:
        yield opened


@pytest.fixture
def target(sample):
    yield sample.target()
    sample.database.store.records.clear()


def test_none_runs_at_first(target):
    assert read_running_experiment(target) is None
    assert end_experiment(target) is None


def test_what_was_started_is_read_back_until_it_ends(target):
    running = start_experiment(target, "canary", 3, 0.1, mode="interleave", unit="client", rows=7)
    assert read_running_experiment(target) == running
    assert running.experiment_id == "canary:3"
    assert (running.live_arm, len(running.key)) == ("control", 32)
    assert start_experiment(target, "canary", 3, 0.1) == running
    assert end_experiment(target) == running
    assert read_running_experiment(target) is None


def test_another_experiment_has_another_key(target):
    first = start_experiment(target, "holdback", 1, 1.0)
    end_experiment(target)
    second = start_experiment(target, "holdback", 1, 1.0)
    assert first.key != second.key
    assert second.live_arm == "treatment"


def test_one_experiment_runs_at_a_time(target):
    start_experiment(target, "holdback", 1, 0.05)
    with pytest.raises(InputError, match="holdback:1 runs"):
        start_experiment(target, "canary", 2, 0.05)


@pytest.mark.parametrize("share", [0, -1, 1.5])
def test_a_share_that_makes_no_sense_is_never_read(target, share):
    start_experiment(target, "holdback", 1, share)
    with pytest.raises(DamagedRecord, match="share"):
        read_running_experiment(target)


def test_a_process_that_changed_it_meanwhile_is_noticed(target, monkeypatch):
    start_experiment(target, "holdback", 1, 0.05)
    records = target.ledger_records
    stale = replace(target, ledger_records=StaleRecords(records))
    with pytest.raises(LeaseLost, match="another process"):
        end_experiment(stale)


class StaleRecords:
    """Records in which another process changes what was just read."""

    def __init__(self, records):
        self._records = records

    def get(self, keys, *, vectors=True):
        found = self._records.get(keys, vectors=vectors)
        for record in found:
            document = {**record.document, "generation": record.document["generation"] + 1}
            self._records.put([replace(record, document=document)])
        return found

    def swap(self, record, expected):
        return self._records.wrapped.swap(record, expected)


@pytest.mark.parametrize("nonsense", [{}, [], "canary", {"running": {"kind": "other"}}, 7])
def test_nonsense_in_the_record_is_named(target, sample, nonsense):
    start_experiment(target, "holdback", 1, 0.05)
    records = sample.database.store.records[target.ledger_name]
    document = json.loads(records[EXPERIMENT_KEY][0])
    records[EXPERIMENT_KEY] = (json.dumps({**document, "experiment": nonsense}), None)
    with pytest.raises(DamagedRecord, match="experiment"):
        read_running_experiment(target)
