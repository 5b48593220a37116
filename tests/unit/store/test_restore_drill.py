"""The restore drill and what `gc` sweeps away, on engines that keep bits."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from nudge_sync import cycle
from nudge_sync.base.signals import StopRequest
from nudge_sync.config import load_config
from nudge_sync.errors import Interrupted
from nudge_sync.serve.daemon import Daemon, build_cycle_trigger, build_drill_trigger
from nudge_sync.store import checksum
from nudge_sync.store.gc import sweep_leftovers
from nudge_sync.store.restore_drill import open_scratch_records, run_drill
from nudge_sync.writing.resume import resume
from nudge_sync.writing.rollback import roll_back
from tests.support.sample_collection import JUDGED_POINTS, SETTINGS, SampleCollection
from tests.support.workspace import make_workspace


def test_a_drill_restores_every_bit_and_leaves_nothing_behind(
    sample_collection: SampleCollection,
) -> None:
    sample_collection.add_judgements()
    cycle.apply(sample_collection.target(), SETTINGS)
    before = sample_collection.read_vectors()
    done = run_drill(sample_collection.target(), sample_size=0)
    assert (done.originals, done.history, done.identical) == (
        JUDGED_POINTS,
        JUDGED_POINTS,
        2 * JUDGED_POINTS,
    )
    assert done.is_restorable
    part = run_drill(sample_collection.target(), sample_size=10, rng=np.random.default_rng(0))
    assert (part.originals, part.history, part.identical) == (10, 10, 20)
    assert open_scratch_records(sample_collection.target()).count() == 0
    assert sample_collection.read_vectors().tobytes() == before.tobytes()


def test_nothing_to_drill(sample_collection: SampleCollection) -> None:
    done = run_drill(sample_collection.target())
    assert (done.originals, done.history, done.identical, done.is_restorable) == (0, 0, 0, True)


@pytest.mark.parametrize("sample_collection", ["memory"], indirect=True)
def test_a_drill_names_what_a_rollback_could_not_use(sample_collection: SampleCollection) -> None:
    sample_collection.add_judgements()
    cycle.apply(sample_collection.target(), SETTINGS)
    originals = sample_collection.database.store.records["docs__nudge_originals"]
    history = sample_collection.database.store.records["docs__nudge_history"]
    bent, gone = "1:3", "1:5"
    text, vector = originals[bent]
    wrong = vector.copy()
    wrong[0] = -wrong[0]
    originals[bent] = (text, wrong)
    del originals[gone]
    history["1:7"] = ('{"id": 7}', history["1:7"][1])
    done = run_drill(sample_collection.target(), sample_size=0)
    assert done.damaged == ["docs__nudge_originals 1:3", "docs__nudge_history 1:7"]
    assert done.baseless == [gone]
    assert not done.is_restorable
    assert done.identical == 2 * JUDGED_POINTS - 3


def _abandon_revision(sample_collection: SampleCollection) -> int:
    """History of a revision that was noted, never written, and abandoned with its notes there."""
    sample_collection.add_judgements()

    def stop(stage: str, done: int, total: int) -> None:
        if stage == "write":
            raise AssertionError
        if stage == "note" and done == total:
            raise Interrupted

    with pytest.raises(Interrupted):
        cycle.apply(sample_collection.target(), SETTINGS, progress=stop)
    target = sample_collection.target()
    ledger = target.open_ledger()
    ledger.set_state(ledger.read_entry(1), "abandoned")
    return target.history.records.count()


def test_gc_sweeps_the_history_of_abandoned_revisions(sample_collection: SampleCollection) -> None:
    noted = _abandon_revision(sample_collection)
    before = sample_collection.read_vectors()
    assert noted == JUDGED_POINTS
    assert sweep_leftovers(sample_collection.target()) == noted
    assert sample_collection.target().history.records.count() == 0
    assert sweep_leftovers(sample_collection.target()) == 0
    assert resume(sample_collection.target(), SETTINGS) is None
    assert roll_back(sample_collection.target(), SETTINGS, originals=True).restored == 0
    assert sample_collection.read_vectors().tobytes() == before.tobytes()


def test_gc_keeps_an_abandoned_note_that_alone_tells_a_live_vector_is_ours(
    sample_collection: SampleCollection,
) -> None:
    noted = _abandon_revision(sample_collection)
    target = sample_collection.target()
    record = target.history.read_records(1, [2], vectors=True)[2]
    assert record.vector is not None
    sample_collection.upsert([2], record.vector[None])
    held = (
        checksum.digest_vectors(sample_collection.read_vectors([2]))[0] == record.document["vector"]
    )
    assert sweep_leftovers(sample_collection.target()) == noted - held


def test_gc_sweeps_what_a_killed_drill_left(sample_collection: SampleCollection) -> None:
    sample_collection.add_judgements()
    cycle.apply(sample_collection.target(), SETTINGS)
    target = sample_collection.target()
    open_scratch_records(target).put(target.shadow.records.get(["1:3", "1:4"]))
    assert run_drill(sample_collection.target()).is_restorable
    assert open_scratch_records(target).count() == 2
    assert sweep_leftovers(sample_collection.target()) == 2
    assert open_scratch_records(target).count() == 0


def test_the_daemon_drills_on_its_own_schedule(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "shop")
    workspace.write_config('[schedule]\nevery = "1d"\ndrill_every = "1s"')
    config = load_config(workspace.config_path)
    schedule = config.collections["docs"].schedule
    assert build_drill_trigger(schedule) is not None
    assert build_drill_trigger(schedule.model_copy(update={"drill_every": None})) is None
    daemon = Daemon(config, StopRequest(), {"docs": ""})
    with daemon.run_schedule({"docs": build_cycle_trigger(schedule)}, run_at_start=False):
        line = b'nudge_sync_drills_total{collection="docs",result="restored"}'
        deadline = time.monotonic() + 60
        while line not in daemon.render_metrics():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert b'collection="docs drill"' not in daemon.render_metrics()
        assert b"nudge_sync_next_run_timestamp_seconds{" in daemon.render_metrics()


def test_verify_drills_when_asked(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "shop")
    workspace.run("feedback", "import", str(workspace.feedback_path))
    workspace.run("apply", "--yes")
    assert "drill" not in workspace.run("verify")
    found = workspace.run("verify", "--drill", "--sample", "7")
    assert found["drill"]["originals"] == found["drill"]["history"] == 7
    assert (found["drill"]["identical"], found["drill"]["ok"], found["clean"]) == (14, True, True)
    assert workspace.run("gc")["removed"] == 0
