"""The candidate: complete or not shown, untouched while a canary runs, dropped when none does."""

import numpy as np
import pytest

from nudge_sync.config import WriteSettings
from nudge_sync.errors import DamagedRecord, InputError
from nudge_sync.store.experiments.candidate import (
    open_candidate,
    scan_candidate,
    stage_candidate,
)
from nudge_sync.store.experiments.running import end_experiment, start_experiment
from nudge_sync.store.upkeep import integrity
from tests.support.operations.clearing import collect, drop
from tests.support.sample_collection import open_sample_collection

IDS = list(range(5))


@pytest.fixture(params=["memory", "qdrant-edge"])
def target(request, tmp_path):
    with open_sample_collection(request.param, tmp_path) as opened:
        yield opened.target()


def stage(target, revision=1, ids=IDS):
    live = target.collection.read(ids).vectors
    return stage_candidate(
        target, revision, ids, vectors=live[::-1].copy(), replaced=live, originals=live
    )


def test_what_is_staged_is_read_back_with_its_digests(target):
    rows = stage(target)
    running = start_experiment(target, "canary", 1, 0.1, rows=rows)
    records = [
        record
        for batch in scan_candidate(target, running.revision, running.rows)
        for record in batch
    ]
    vectors = {record.document["id"]: record.vector for record in records}
    live = target.collection.read(IDS).vectors
    np.testing.assert_array_equal([vectors[id_] for id_ in IDS], live[::-1])
    assert target.collection.read(IDS).vectors.tobytes() == live.tobytes()
    assert list(integrity.find_damaged_records(target)) == []


def test_staging_again_replaces_what_an_earlier_one_left(target):
    stage(target, 1, [7, 8, 9])
    running = start_experiment(target, "canary", 2, 0.1, rows=stage(target, 2))
    assert open_candidate(target).records.count() == len(IDS)
    assert sum(map(len, scan_candidate(target, running.revision, running.rows))) == len(IDS)


def test_nothing_is_staged_or_dropped_under_a_running_canary(target):
    start_experiment(target, "canary", 1, 0.1, rows=stage(target))
    with pytest.raises(InputError, match="canary:1"):
        stage(target, 2)
    assert drop(target) == 0
    assert collect(target, WriteSettings()) == 0
    assert open_candidate(target).records.count() == len(IDS)


def test_a_candidate_that_no_canary_names_is_dropped_by_the_next_cycle(target):
    stage(target)
    assert collect(target, WriteSettings()) == len(IDS)
    assert open_candidate(target).records.count() == 0
    assert drop(target) == 0


def test_a_holdback_uses_no_candidate(target):
    stage(target)
    start_experiment(target, "holdback", 1, 0.05)
    assert drop(target) == len(IDS)


def test_a_candidate_that_lost_points_is_not_searched(target):
    running = start_experiment(target, "canary", 1, 0.1, rows=stage(target))
    candidate = open_candidate(target)
    candidate.records.delete([next(iter(candidate.read_keys(1).values()))])
    with pytest.raises(DamagedRecord, match="holds 4 points of revision 1, and 5 were staged"):
        list(scan_candidate(target, running.revision, running.rows))


def test_a_canary_that_ended_leaves_nothing(target):
    start_experiment(target, "canary", 1, 0.1, rows=stage(target))
    end_experiment(target)
    assert drop(target) == len(IDS)
    assert open_candidate(target).records.count() == 0
