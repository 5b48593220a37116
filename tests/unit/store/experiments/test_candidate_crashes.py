"""A process killed at any step of a canary leaves a whole overlay, or one that is cleared."""

import pytest

from nudge_sync.config import WriteSettings
from nudge_sync.store.experiments.candidate import (
    open_candidate,
    scan_candidate,
    stage_candidate,
)
from nudge_sync.store.experiments.running import (
    end_experiment,
    read_running_experiment,
    start_experiment,
)
from nudge_sync.store.lease import break_lease
from nudge_sync.store.target import open_target
from nudge_sync.testing.faults import Crash, Faults, FaultyDatabase
from tests.support.experiments.sample_experiment import turn_vectors
from tests.support.operations.clearing import collect, drop
from tests.support.sample_collection import open_sample_collection

IDS = list(range(300))


def run_canary(target, revision):
    live = target.collection.read(IDS).vectors
    rows = stage_candidate(
        target, revision, IDS, vectors=turn_vectors(live), replaced=live, originals=live
    )
    start_experiment(target, "canary", revision, 0.1, rows=rows)
    end_experiment(target)
    drop(target)


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    with open_sample_collection("memory", tmp_path_factory.mktemp("sample")) as opened:
        yield opened


@pytest.fixture(scope="module")
def steps(sample):
    faults = Faults()
    run_canary(open_target(FaultyDatabase(sample.database, faults), "docs"), 1)
    return len(faults.calls)


@pytest.mark.parametrize("when", ["before", "half", "after"])
def test_a_canary_killed_at_any_step(sample, steps, when):
    before = sample.read_vectors().tobytes()
    assert steps >= 5
    for at in range(1, steps + 1):
        sample.database.store.records.clear()
        faults = Faults(at, when)
        with pytest.raises(Crash):
            run_canary(open_target(FaultyDatabase(sample.database, faults), "docs"), 1)
        target = sample.target()
        break_lease(target)
        running = read_running_experiment(target)
        if running is None:
            collect(target, WriteSettings())
            assert open_candidate(target).records.count() == 0, faults.calls[-1]
        else:
            found = [
                item
                for records in scan_candidate(target, running.revision, running.rows)
                for item in records
            ]
            assert len(found) == len(IDS), faults.calls[-1]
            end_experiment(target)
        run_canary(target, 2)
        assert open_candidate(target).records.count() == 0
        assert sample.read_vectors().tobytes() == before
