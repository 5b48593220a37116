"""Compare, update, read back: what every Qdrant engine's writes have in common."""

from __future__ import annotations

import numpy as np
import pytest

from nudge_sync.connector import Points
from nudge_sync.errors import WriteNotVerified
from nudge_sync_qdrant_common import guarded_write


class FakeEngine:
    """Points as an engine would hold them; `before` runs between compare and write."""

    def __init__(self, vectors):
        self.vectors = dict(enumerate(vectors))
        self.before = []
        self.reads = 0

    def read(self, ids):
        self.reads += 1
        present_ids = [i for i in ids if i in self.vectors]
        matrix = np.array([self.vectors[i] for i in present_ids], np.float32)
        return Points(present_ids, matrix.reshape(len(present_ids), 8))

    def update(self, points, expected):
        if self.before:
            self.before.pop(0)(self)
        for point_id, vector in zip(points.ids, points.vectors, strict=True):
            if point_id not in self.vectors:
                return  # As Qdrant does: what came first was written, the rest was not.
            self.vectors[point_id] = vector.copy()

    def write(self, points, expected):
        return guarded_write.compare_and_write(
            points, expected, read=self.read, update=self.update, subject='"docs"'
        )


def make_unit_rows(count, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((count, 8)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_a_plain_write_reads_twice():
    engine, new = FakeEngine(make_unit_rows(4)), make_unit_rows(4, seed=1)
    report = engine.write(Points([0, 1, 2, 3], new), make_unit_rows(4))
    assert report.written == [0, 1, 2, 3]
    assert engine.reads == 2


def test_a_point_that_vanishes_between_compare_and_write():
    engine, new = FakeEngine(make_unit_rows(4)), make_unit_rows(4, seed=1)
    engine.before = [lambda engine: engine.vectors.pop(1)]
    report = engine.write(Points([0, 1, 2, 3], new), make_unit_rows(4))
    assert (sorted(report.written), report.missing) == ([0, 2, 3], [1])
    assert np.array_equal(engine.vectors[3], new[3])


def test_the_application_writes_right_after_us():
    engine, new, theirs = (
        FakeEngine(make_unit_rows(2)),
        make_unit_rows(2, seed=1),
        make_unit_rows(1, seed=2)[0],
    )

    def later(engine):
        plain, engine.update = engine.update, None

        def update(points, expected):
            plain(points, expected)
            engine.vectors[0] = theirs

        engine.update = update

    later(engine)
    report = engine.write(Points([0, 1], new), make_unit_rows(2))
    assert (report.written, report.drifted) == ([1], [0])
    assert np.array_equal(engine.vectors[0], theirs)


@pytest.mark.parametrize("factor", [np.float32(1 + 3e-7), np.float32(2), np.float32(0.25)])
def test_an_engine_that_alters_what_it_stores(factor):
    engine, new = FakeEngine(make_unit_rows(2)), make_unit_rows(2, seed=1)

    def update(points, expected):
        for point_id, vector in zip(points.ids, points.vectors, strict=True):
            engine.vectors[point_id] = vector * factor

    engine.update = update
    with pytest.raises(WriteNotVerified, match='point 0 in "docs"'):
        engine.write(Points([0, 1], new), make_unit_rows(2))


def test_an_engine_that_only_says_it_wrote():
    engine = FakeEngine(make_unit_rows(2))
    engine.update = lambda points, expected: None
    with pytest.raises(WriteNotVerified, match="still hold their old vector"):
        engine.write(Points([0, 1], make_unit_rows(2, seed=1)), make_unit_rows(2))


class MarkingEngine(FakeEngine):
    """Rows are written only where the token that was set is still there."""

    def __init__(self, vectors, new):
        super().__init__(vectors)
        self.new = new
        self.tokens = {}
        self.between = lambda: None

    def set_mark(self, ids, token):
        self.tokens |= dict.fromkeys(ids, token)

    def update_marked(self, ids, token):
        self.between()
        for point_id in ids:
            if self.tokens.get(point_id) == token:
                self.vectors[point_id] = self.new[point_id].copy()

    def remove_mark(self, ids):
        for point_id in ids:
            self.tokens.pop(point_id, None)


def test_a_row_that_lost_its_mark_is_not_written():
    old, new = make_unit_rows(3), make_unit_rows(3, seed=1)
    engine = MarkingEngine(old, new)
    engine.between = lambda: engine.tokens.pop(1)
    points = Points([0, 1, 2], new)
    guarded_write.update_marked(points, old, engine=engine, read=engine.read)
    assert np.array_equal(engine.vectors[0], new[0])
    assert np.array_equal(engine.vectors[1], old[1])
    assert engine.tokens == {}


def test_marks_are_removed_whatever_happens():
    old, new = make_unit_rows(2), make_unit_rows(2, seed=1)
    engine = MarkingEngine(old, new)

    def fail():
        raise TimeoutError

    engine.between = fail
    with pytest.raises(TimeoutError):
        guarded_write.update_marked(Points([0, 1], new), old, engine=engine, read=engine.read)
    assert engine.tokens == {}


def test_batches_are_reported_as_one():
    old, new = make_unit_rows(5), make_unit_rows(5, seed=1)
    engine = FakeEngine(old[:4])
    report = guarded_write.write_batches(Points([0, 1, 2, 3, 4], new), old, 2, engine.write)
    assert (report.written, report.missing) == ([0, 1, 2, 3], [4])
    assert engine.reads == 5
