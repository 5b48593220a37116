"""Any mix of what can happen to a collection, compared with a model after each step."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace

import numpy as np
from applications import application
from handmade import handmade
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from model import Bits, Model, Vectors
from ram import folder

from nudge_sync import cycle
from nudge_sync.config import CollectionSettings, WriteSettings
from nudge_sync.connector import Float32
from nudge_sync.errors import DatabaseError, GateRefused, InputError, LeaseHeld, StalePlan
from nudge_sync.planning.plan import Plan
from nudge_sync.store import lease
from nudge_sync.store.ledger import Ledger, find_pending_revisions, find_restorable_revisions
from nudge_sync.store.provenance import classify_points
from nudge_sync.store.target import Target, open_target
from nudge_sync.store.verify import verify
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

POINTS, DIMENSION = 7, 4
SETTINGS = CollectionSettings(write=WriteSettings(batch_size=3, keep_revisions=2, keep_log=2))
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


def unit(seed: int, around: Float32 | None = None) -> Float32:
    """A unit vector, near `around` if that is given."""
    row = np.random.default_rng(seed).normal(size=DIMENSION)
    if around is not None:
        row = around + 0.4 * row / np.linalg.norm(row)
    return np.asarray(row / np.linalg.norm(row), np.float32)


def vector_of(bits: Bits) -> Float32:
    return np.frombuffer(bits, np.float32)


class Machine(RuleBasedStateMachine):
    """A subclass says on which engine."""

    engine: str

    @initialize(seed=SEED)
    def fill(self, seed: int) -> None:
        self.folder = ExitStack()
        self.application = application(self.engine, self.folder.enter_context(folder()))
        self.database = self.application.connect()
        vectors = np.stack([unit(seed + row) for row in range(POINTS)])
        self.application.fill(self.database, vectors, "cosine")
        self.model = Model({row: vectors[row].tobytes() for row in range(POINTS)})
        self.model.before = self.live()

    def live(self) -> Vectors:
        points = self.database.collection("docs").read(range(POINTS))
        return {int(i): row.tobytes() for i, row in zip(points.ids, points.vectors, strict=True)}

    def target(self, faults: Faults | None = None) -> Target:
        database = FaultyDatabase(self.database, replace(faults)) if faults else self.database
        return open_target(database, "docs")

    def ledger(self) -> Ledger:
        return Ledger(self.target().ledger_records, "docs")

    # What the sidecar does

    # A plan from before an unfinished revision is settled rightly leaves out what that changes.
    @precondition(lambda self: not find_pending_revisions(self.ledger().entries()))
    @rule(rows=st.sets(POINT, min_size=1), seed=SEED, fault=FAULT, loses=st.booleans())
    def apply(self, rows: set[int], seed: int, fault: Faults | None, loses: bool) -> None:
        plan = self.plan(sorted(rows & self.model.original.keys()), seed, loses=loses)
        meant = {int(i): row.tobytes() for i, row in zip(plan.ids, plan.vectors, strict=True)}
        self.step(meant, lambda: cycle.apply(self.target(fault), SETTINGS, plan))

    @rule(fault=FAULT)
    def forget_all_feedback(self, fault: Faults | None) -> None:
        """Without any judgement the gate refuses and everything goes back."""
        self.step(dict(self.model.original), lambda: cycle.apply(self.target(fault), SETTINGS))

    @rule(fault=FAULT)
    def resume(self, fault: Faults | None) -> None:
        self.step({}, lambda: resume(self.target(fault), SETTINGS))

    @rule(fault=FAULT, originals=st.booleans())
    def roll_back(self, fault: Faults | None, originals: bool) -> None:
        self.step({}, lambda: roll_back(self.target(fault), SETTINGS, originals=originals))

    @rule(fault=FAULT, chosen=st.integers(0, 10))
    def roll_back_to(self, fault: Faults | None, chosen: int) -> None:
        kept = [
            0,
            *find_restorable_revisions(self.ledger().entries(), SETTINGS.write.keep_revisions),
        ]
        goal = kept[chosen % len(kept)]
        self.step({}, lambda: roll_back(self.target(fault), SETTINGS, to=goal))

    @rule(seed=SEED)
    def second_sidecar(self, seed: int) -> None:
        """While another holds the lease, nothing changes; then its time runs out."""
        with lease.hold_lease(self.target().ledger_records, 60):
            for work in (
                lambda: resume(self.target(), SETTINGS),
                lambda: roll_back(self.target(), SETTINGS, originals=True),
                lambda: cycle.apply(self.target(), SETTINGS),
            ):
                try:
                    work()
                except LeaseHeld:
                    continue
                raise AssertionError("two at once")
        assert self.live() == self.model.before

    # What the application does

    @rule(point=POINT, seed=SEED)
    def embed(self, point: int, seed: int) -> None:
        """Insert a point, or embed it again."""
        self.write(point, unit(seed), fresh=True)

    @precondition(lambda self: self.model.original)
    @rule(chosen=SEED)
    def embed_the_same(self, chosen: int) -> None:
        """The same document by the same model: the original, bit for bit."""
        point = sorted(self.model.original)[chosen % len(self.model.original)]
        self.write(point, vector_of(self.model.original[point]), fresh=False)

    @precondition(lambda self: self.model.origin)
    @rule(chosen=SEED)
    def put_back_what_was_read_long_ago(self, chosen: int) -> None:
        """An application that reads points whole, changes them and writes them whole."""
        point, vector = sorted(self.model.origin)[chosen % len(self.model.origin)]
        if point not in self.model.original:
            return
        origin = self.model.origin[point, vector]
        self.write(point, vector_of(vector), fresh=False)
        found = classify_points(self.target(), [point]).originals[0].tobytes()
        # Once no history tells of it any more, it is a vector like any other.
        assert found in {vector, origin}
        self.model.original[point] = found

    @precondition(lambda self: self.model.original)
    @rule(chosen=SEED)
    def delete(self, chosen: int) -> None:
        point = sorted(self.model.original)[chosen % len(self.model.original)]
        self.application.delete(self.database, [point])
        self.model.delete(point)
        self.model.before = self.live()

    # What has to hold

    @invariant()
    def no_original_is_lost(self) -> None:
        if not hasattr(self, "model"):
            return
        found = classify_points(self.target(), range(POINTS))
        for point, original in zip(found.ids, found.originals, strict=True):
            assert original.tobytes() == self.model.original[int(point)]

    @invariant()
    def verify_agrees(self) -> None:
        if not hasattr(self, "model"):
            return
        found = verify(self.target())
        parts = found.as_written + found.original + found.behind + found.drifted + found.missing
        assert parts == found.points
        assert found.pending == len(find_pending_revisions(self.ledger().entries()))
        if not found.pending and not self.model.touched:
            assert found.is_clean
        if not found.pending:
            assert found.behind <= len(self.model.touched)

    def teardown(self) -> None:
        if not hasattr(self, "model"):
            return
        done = roll_back(self.target(), SETTINGS, originals=True)
        assert self.live() == self.model.original
        assert not done.points or verify(self.target()).pending == 0
        self.database.close()
        self.folder.close()

    # How

    def plan(self, ids: list[int], seed: int, *, loses: bool) -> Plan:
        wanted = {point: unit(seed + point, vector_of(self.model.original[point])) for point in ids}
        return handmade(self.target(), SETTINGS, wanted, loses=loses)

    def step(self, meant: Vectors, work: Callable[[], object]) -> None:
        """Do it, whatever comes of it; then compare."""
        self.model.before = self.live()
        whole = False
        try:
            work()
            whole = True
        except Crash:
            self.database.close()
            self.database = self.application.connect()
        except (GateRefused, StalePlan):
            pass
        except InputError as error:
            assert "is not kept" in str(error)  # noqa: PT017
        except DatabaseError as error:
            assert "no space left" in str(error)  # noqa: PT017
        # A crash leaves the lease behind, and so does a disk too full for giving it back.
        lease.break_lease(self.target().ledger_records)
        live, entries = self.live(), self.ledger().entries()
        self.model.check(live, entries, meant)
        if whole:
            assert not find_pending_revisions(entries)
            assert all(live[point] == vector for point, vector in meant.items())
        self.model.before = live

    def write(self, point: int, vector: Float32, *, fresh: bool) -> None:
        self.application.upsert(self.database, [point], vector[None])
        self.model.embed(point, vector.tobytes(), fresh=fresh)
        self.model.before = self.live()
