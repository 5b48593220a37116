"""Any mix of what can happen to a collection, compared with a model after each step."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from nudge_sync import cycle
from nudge_sync.config import CollectionSettings, WriteSettings
from nudge_sync.connector import Float32
from nudge_sync.errors import DatabaseError, InputError, LeaseHeld, OnHold, StalePlan
from nudge_sync.planning.plan import Plan
from nudge_sync.store import lease
from nudge_sync.store.hold import HoldRequest, place_hold, read_hold, release_hold
from nudge_sync.store.ledger import (
    Ledger,
    Revision,
    find_pending_revisions,
    find_restorable_revisions,
)
from nudge_sync.store.provenance import classify_points
from nudge_sync.store.target import Target, open_target
from nudge_sync.store.upkeep.verify import verify
from nudge_sync.testing.faults import (
    WRITES,
    Crash,
    Faults,
    FaultyDatabase,
    crash,
    disk_full,
    time_out,
)
from nudge_sync.writing.resume import resume
from nudge_sync.writing.rollback import roll_back
from tests.support.applications import create_application
from tests.support.collection_model import CollectionModel, VectorBytes, Vectors
from tests.support.passing_plan import make_passing_plan
from tests.support.ram_disk import ram_folder

POINTS, DIMENSION = 7, 4
SETTINGS = CollectionSettings(write=WriteSettings(batch_size=3, keep_revisions=2, keep_log=2))
HOLD = HoldRequest("anna@web1", "worse")
POINT = st.integers(0, POINTS - 1)
SEED = st.integers(0, 2**31)
FAULT = st.one_of(
    st.none(),
    st.builds(
        Faults,
        at=st.integers(1, 30),
        when=st.sampled_from(["before", "after", "half"]),
        strike=st.sampled_from([crash, crash, crash, time_out, disk_full]),
    ),
    st.builds(
        Faults, at=st.integers(1, 60), strike=st.just(crash), only=st.just(WRITES | {"read", "get"})
    ),
)


def make_unit_vector(seed: int, around: Float32 | None = None) -> Float32:
    """Return a unit vector, near `around` if that is given."""
    row = np.random.default_rng(seed).normal(size=DIMENSION)
    if around is not None:
        row = around + 0.4 * row / np.linalg.norm(row)
    return np.asarray(row / np.linalg.norm(row), np.float32)


def decode_vector(bits: VectorBytes) -> Float32:
    return np.frombuffer(bits, np.float32)


class CollectionStateMachine(RuleBasedStateMachine):
    """Steps of the sidecar and the application on one small collection.

    A subclass says on which engine.
    """

    engine: str

    @initialize(seed=SEED)
    def fill(self, seed: int) -> None:
        self.exit_stack = ExitStack()
        self.application = create_application(
            self.engine, self.exit_stack.enter_context(ram_folder())
        )
        self.database = self.application.connect()
        vectors = np.stack([make_unit_vector(seed + row) for row in range(POINTS)])
        self.application.fill(self.database, vectors, "cosine")
        self.model = CollectionModel({row: vectors[row].tobytes() for row in range(POINTS)})
        self.model.live_before = self.read_vectors()

    def read_vectors(self) -> Vectors:
        points = self.database.collection("docs").read(range(POINTS))
        return {int(i): row.tobytes() for i, row in zip(points.ids, points.vectors, strict=True)}

    def target(self, faults: Faults | None = None) -> Target:
        database = FaultyDatabase(self.database, replace(faults)) if faults else self.database
        return open_target(database, "docs")

    def ledger(self) -> Ledger:
        return self.target().open_ledger()

    # What the sidecar does

    # A plan from before an unfinished revision is finished does not hold what that changes.
    @precondition(lambda self: not find_pending_revisions(self.ledger().entries()))
    @rule(rows=st.sets(POINT, min_size=1), seed=SEED, fault=FAULT, worsens=st.booleans())
    def apply(self, rows: set[int], seed: int, fault: Faults | None, worsens: bool) -> None:
        plan = self.make_plan(sorted(rows & self.model.originals.keys()), seed, worsens=worsens)
        intended = {
            int(i): row.tobytes() for i, row in zip(plan.rows.ids, plan.rows.vectors, strict=True)
        }
        self.run_and_compare(intended, lambda: cycle.apply(self.target(fault), SETTINGS, plan))

    @rule(fault=FAULT)
    def forget_all_feedback(self, fault: Faults | None) -> None:
        """Run a cycle without any judgement: the gate refuses and everything goes back."""
        self.run_and_compare(
            dict(self.model.originals), lambda: cycle.apply(self.target(fault), SETTINGS)
        )

    @rule(fault=FAULT)
    def resume(self, fault: Faults | None) -> None:
        self.run_and_compare({}, lambda: resume(self.target(fault), SETTINGS))

    @rule(fault=FAULT, originals=st.booleans(), hold=st.sampled_from([None, HOLD]))
    def roll_back(self, fault: Faults | None, originals: bool, hold: HoldRequest | None) -> None:
        self.run_and_compare(
            {}, lambda: roll_back(self.target(fault), SETTINGS, originals=originals, hold=hold)
        )

    @rule(fault=FAULT)
    def hold(self, fault: Faults | None) -> None:
        """Put the collection on hold: what is unfinished stays unfinished."""
        self.run_and_compare({}, lambda: place_hold(self.target(fault), HOLD), finishes=False)

    @rule()
    def release(self) -> None:
        release_hold(self.target())
        assert read_hold(self.target()) is None

    @rule(fault=FAULT, chosen=st.integers(0, 10))
    def roll_back_to_revision(self, fault: Faults | None, chosen: int) -> None:
        revisions = [
            0,
            *find_restorable_revisions(self.ledger().entries(), SETTINGS.write.keep_revisions),
        ]
        revision = revisions[chosen % len(revisions)]
        self.run_and_compare({}, lambda: roll_back(self.target(fault), SETTINGS, to=revision))

    @rule(seed=SEED)
    def run_second_sidecar(self, seed: int) -> None:
        """Try every change while another process holds the lease: nothing changes."""
        with lease.hold_lease(self.target(), 60):
            for change in (
                lambda: resume(self.target(), SETTINGS),
                lambda: roll_back(self.target(), SETTINGS, originals=True),
                lambda: cycle.apply(self.target(), SETTINGS),
            ):
                try:
                    change()
                except LeaseHeld:
                    continue
                raise AssertionError("two at once")
        assert self.read_vectors() == self.model.live_before

    # What the application does

    @rule(point=POINT, seed=SEED)
    def write_new_vector(self, point: int, seed: int) -> None:
        """Insert a point, or embed it again."""
        self.write_vector(point, make_unit_vector(seed), is_new=True)

    @precondition(lambda self: self.model.originals)
    @rule(chosen=SEED)
    def write_original_again(self, chosen: int) -> None:
        """Embed a document again by the same model: the original, bit for bit."""
        point = sorted(self.model.originals)[chosen % len(self.model.originals)]
        self.write_vector(point, decode_vector(self.model.originals[point]), is_new=False)

    @precondition(lambda self: self.model.nudged_to_original)
    @rule(chosen=SEED)
    def write_stale_vector(self, chosen: int) -> None:
        """Write back a vector that was read earlier, as an application that writes points whole."""
        point, vector = sorted(self.model.nudged_to_original)[
            chosen % len(self.model.nudged_to_original)
        ]
        if point not in self.model.originals:
            return
        original = self.model.nudged_to_original[point, vector]
        self.write_vector(point, decode_vector(vector), is_new=False)
        recognised = classify_points(self.target(), [point]).originals[0].tobytes()
        # Once no history holds it any more, it is a vector like any other.
        assert recognised in {vector, original}
        self.model.originals[point] = recognised

    @precondition(lambda self: self.model.originals)
    @rule(chosen=SEED)
    def delete(self, chosen: int) -> None:
        point = sorted(self.model.originals)[chosen % len(self.model.originals)]
        self.application.delete(self.database, [point])
        self.model.delete(point)
        self.model.live_before = self.read_vectors()

    # What has to hold

    @invariant()
    def no_original_is_lost(self) -> None:
        if not hasattr(self, "model"):
            return
        provenance = classify_points(self.target(), range(POINTS))
        for point, original in zip(provenance.ids, provenance.originals, strict=True):
            assert original.tobytes() == self.model.originals[int(point)]

    @invariant()
    def verify_agrees(self) -> None:
        if not hasattr(self, "model"):
            return
        verification = verify(self.target())
        counted_points = (
            verification.as_written
            + verification.original
            + verification.behind
            + verification.drifted
            + verification.missing
        )
        assert counted_points == verification.points
        assert verification.pending == len(find_pending_revisions(self.ledger().entries()))
        if not verification.pending and not self.model.rewritten_points:
            assert verification.is_clean
        if not verification.pending:
            assert verification.behind <= len(self.model.rewritten_points)

    def teardown(self) -> None:
        if not hasattr(self, "model"):
            return
        rollback = roll_back(self.target(), SETTINGS, originals=True)
        assert self.read_vectors() == self.model.originals
        assert not rollback.points or verify(self.target()).pending == 0
        self.database.close()
        self.exit_stack.close()

    # How

    def make_plan(self, ids: list[int], seed: int, *, worsens: bool) -> Plan:
        new_vectors = {
            point: make_unit_vector(seed + point, decode_vector(self.model.originals[point]))
            for point in ids
        }
        return make_passing_plan(self.target(), SETTINGS, new_vectors, worsens=worsens)

    def run_and_compare(
        self, intended: Vectors, change: Callable[[], object], *, finishes: bool = True
    ) -> None:
        """Run a change, whatever comes of it, and compare the collection with the model.

        `finishes`: whether the change, once through, leaves no revision unfinished.
        """
        self.model.live_before = self.read_vectors()
        is_complete = False
        entries_before = self.ledger().entries()
        try:
            result = change()
            is_complete = getattr(result, "outcome", "applied") in {"applied", "unchanged"}
        except Crash:
            self.database.close()
            self.database = self.application.connect()
        except StalePlan:
            pass
        except OnHold:
            is_rollback = self.finishes_rollback(entries_before)
            assert is_rollback or self.read_vectors() == self.model.live_before
        except InputError as error:
            assert "is not kept" in str(error)  # noqa: PT017
        except DatabaseError as error:
            assert "no space left" in str(error)  # noqa: PT017
        # A crash leaves the lease behind, and so does a disk too full for giving it back.
        lease.break_lease(self.target())
        live_vectors, entries = self.read_vectors(), self.ledger().entries()
        self.model.check(live_vectors, entries, intended)
        if is_complete and finishes:
            assert not find_pending_revisions(entries)
            assert all(live_vectors[point] == vector for point, vector in intended.items())
        self.model.live_before = live_vectors

    def finishes_rollback(self, entries: list[Revision]) -> bool:
        """Return whether a cycle on hold finds a rollback that it finishes."""
        started = [entry for entry in find_pending_revisions(entries) if entry.state != "planned"]
        return bool(started) and started[0].kind == "rollback"

    def write_vector(self, point: int, vector: Float32, *, is_new: bool) -> None:
        self.application.upsert(self.database, [point], vector[None])
        self.model.write(point, vector.tobytes(), is_new=is_new)
        self.model.live_before = self.read_vectors()
