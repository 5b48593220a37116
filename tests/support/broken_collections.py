"""Collections that each break one promise; the kit has to catch every one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nudge_sync.connector import Hits, Points, WriteReport
from nudge_sync.errors import InputError
from nudge_sync.testing.memory import MemoryCollection, MemoryDatabase


class IgnoresExpected(MemoryCollection):
    def write(self, points, expected):
        return super().write(points, self.read(points.ids).vectors)


class CreatesMissing(MemoryCollection):
    def write(self, points, expected):
        self._store.upsert(self._name, points.ids, points.vectors)
        return WriteReport(written=list(points.ids))


class DropsPayload(MemoryCollection):
    def write(self, points, expected):
        report = super().write(points, expected)
        for point_id in report.written:
            self._store.find(self._name).payloads[point_id] = {}
        return report


class TouchesOtherVectors(MemoryCollection):
    def write(self, points, expected):
        report = super().write(points, expected)
        other = self._store.find(self._name).tables.get("other")
        for point_id in report.written:
            other.set(point_id, np.zeros(other.dimension, np.float32))
        return report


class ReadsInItsOwnOrder(MemoryCollection):
    def read(self, ids):
        return super().read(sorted(ids, key=str))


class ReadsEachOnce(MemoryCollection):
    def read(self, ids):
        return super().read(list(dict.fromkeys(ids)))


class ReadsZerosForMissing(MemoryCollection):
    def read(self, ids):
        points = super().read(ids)
        vector_by_id = dict(zip(points.ids, points.vectors, strict=True))
        zeros = np.zeros(self._table().dimension, np.float32)
        return Points(
            list(ids), np.array([vector_by_id.get(i, zeros) for i in ids]).reshape(len(ids), -1)
        )


class ReadsAThousand(MemoryCollection):
    def read(self, ids):
        return super().read(ids[:1000])


class ReadsItsCache(MemoryCollection):
    def read(self, ids):
        if not hasattr(self, "_cache"):
            table = self._table()
            self._cache = Points(list(table.ids), table.vectors.copy())
        vector_by_id = dict(zip(self._cache.ids, self._cache.vectors, strict=True))
        present_ids = [i for i in ids if i in vector_by_id]
        empty = np.empty((0, self._table().dimension), np.float32)
        return Points(
            present_ids, np.array([vector_by_id[i] for i in present_ids]) if present_ids else empty
        )

    def describe(self):
        self.read([])
        return super().describe()


class ReadsDouble(MemoryCollection):
    def read(self, ids):
        points = super().read(ids)
        return Points(points.ids, points.vectors.astype(np.float64))


class ReadsTextIds(MemoryCollection):
    def read(self, ids):
        points = super().read(ids)
        return Points([str(i) for i in points.ids], points.vectors)


class WritesNothing(MemoryCollection):
    def write(self, points, expected):
        return WriteReport(written=list(points.ids))


class LosesBits(MemoryCollection):
    def write(self, points, expected):
        half = points.vectors.astype(np.float16).astype(np.float32)
        return super().write(Points(points.ids, half), expected)


class RescalesInSilence(MemoryCollection):
    def write(self, points, expected):
        lengths = np.linalg.norm(points.vectors, axis=1, keepdims=True)
        unit = (points.vectors / np.maximum(lengths, 1e-9)).astype(np.float32)
        return super().write(Points(points.ids, unit), expected)


class TakesNaN(MemoryCollection):
    def _check(self, points, expected):
        return points, expected


class RefusesTooLate(MemoryCollection):
    def _check(self, points, expected):
        return points, expected

    def write(self, points, expected):
        report = super().write(points, expected)
        if not np.isfinite(points.vectors).all():
            raise InputError("a new vector is not finite")
        return report


class WritesIntoItsArguments(MemoryCollection):
    def write(self, points, expected):
        report = super().write(points, expected)
        try:
            points.vectors[:] = 0
        except ValueError:
            expected = expected.copy()
        return report

    def search(self, queries, k, *, exact=False):
        queries /= np.linalg.norm(queries, axis=1, keepdims=True)
        return super().search(queries, k, exact=exact)


class CallsDriftWritten(MemoryCollection):
    def write(self, points, expected):
        report = super().write(points, expected)
        return WriteReport(written=report.written + report.drifted, missing=report.missing)


class ForgetsMissing(MemoryCollection):
    def write(self, points, expected):
        return replace(super().write(points, expected), missing=[])


class ComparesLoosely(MemoryCollection):
    def write(self, points, expected):
        live_vectors = dict(zip(*_pair(self.read(points.ids)), strict=True))
        close = [
            live_vectors[i]
            if i in live_vectors and np.allclose(live_vectors[i], row, atol=1e-6)
            else row
            for i, row in zip(points.ids, expected, strict=True)
        ]
        return super().write(points, np.array(close, np.float32).reshape(expected.shape))


class ForgetsTheLastRow(MemoryCollection):
    def write(self, points, expected):
        ids = points.ids[:1000]
        return super().write(Points(ids, points.vectors[: len(ids)]), expected[: len(ids)])


class RefusesToRepeat(MemoryCollection):
    def write(self, points, expected):
        live_points = self.read(points.ids)
        if len(live_points) == len(points) and (live_points.vectors == points.vectors).all():
            return WriteReport(drifted=list(points.ids))
        return super().write(points, expected)


class ScansInPart(MemoryCollection):
    def scan(self, batch_size=1000):
        yield from list(super().scan(batch_size))[: 60 // batch_size]


class ScansTwice(MemoryCollection):
    def scan(self, batch_size=1000):
        yield from super().scan(batch_size)
        yield next(iter(super().scan(1)))


class MeasuresDistance(MemoryCollection):
    def search(self, queries, k, *, exact=False):
        hits = super().search(queries, k, exact=exact)
        return Hits(hits.ids, [-scores for scores in hits.scores])


class MissesTheBest(MemoryCollection):
    def search(self, queries, k, *, exact=False):
        hits = super().search(queries, k + 1, exact=exact)
        return Hits([ids[1:] for ids in hits.ids], [scores[1:] for scores in hits.scores])


class SearchesAHundred(MemoryCollection):
    def search(self, queries, k, *, exact=False):
        return super().search(queries[:100], k, exact=exact)


class SearchesForOneAtLeast(MemoryCollection):
    def search(self, queries, k, *, exact=False):
        return super().search(queries, max(k, 1), exact=exact)


class SearchesWithNaN(MemoryCollection):
    def search(self, queries, k, *, exact=False):
        return super().search(np.nan_to_num(queries), k, exact=exact)


class CutsQueries(MemoryCollection):
    def search(self, queries, k, *, exact=False):
        rows = np.zeros((len(queries), self._table().dimension), np.float32)
        width = min(queries.shape[-1], rows.shape[1])
        rows[:, :width] = queries[..., :width]
        return super().search(rows, k, exact=exact)


class CallsItDot(MemoryCollection):
    def describe(self):
        return replace(super().describe(), metric="dot")


class KeepsTheAlias(MemoryCollection):
    def describe(self):
        return replace(super().describe(), collection=self._name)


def _pair(points):
    return points.ids, points.vectors


def make_collection_database(collection_class):
    """Return a database class whose collections are of this class."""

    class Broken(MemoryDatabase):
        def collection(self, name, vector=""):
            super().collection(name, vector)
            return collection_class(self.store, name, vector)

    return Broken


class FindsAnyCollection(MemoryDatabase):
    def collection(self, name, vector=""):
        return MemoryCollection(self.store, name, vector)


# Each with the test of the kit that is about the promise it breaks.
BROKEN_COLLECTIONS = {
    IgnoresExpected: "test_write_leaves_drifted_rows",
    CreatesMissing: "test_write_creates_nothing",
    DropsPayload: "test_write_replaces_vectors_alone",
    TouchesOtherVectors: "test_write_replaces_vectors_alone",
    ReadsInItsOwnOrder: "test_read_in_the_order_asked",
    ReadsEachOnce: "test_read_repeats_what_is_asked_twice",
    ReadsZerosForMissing: "test_read_leaves_out_missing",
    ReadsAThousand: "test_read_any_number_of_ids",
    ReadsItsCache: "test_read_sees_the_application",
    ReadsDouble: "test_read_in_the_order_asked",
    ReadsTextIds: "test_read_in_the_order_asked",
    WritesNothing: "test_write_replaces_vectors_alone",
    LosesBits: "test_write_replaces_vectors_alone",
    RescalesInSilence: "test_any_length_where_the_metric_allows",
    TakesNaN: "test_nothing_is_written_of_what_is_not_finite",
    RefusesTooLate: "test_nothing_is_written_of_what_is_not_finite",
    WritesIntoItsArguments: "test_arrays_stay_as_they_were",
    CallsDriftWritten: "test_write_leaves_drifted_rows",
    ForgetsMissing: "test_write_creates_nothing",
    ComparesLoosely: "test_one_bit_is_drift",
    ForgetsTheLastRow: "test_write_any_number_of_rows",
    RefusesToRepeat: "test_write_again",
    ScansInPart: "test_scan_meets_every_point_once",
    ScansTwice: "test_scan_meets_every_point_once",
    MeasuresDistance: "test_exact_search_is_brute_force",
    MissesTheBest: "test_exact_search_is_brute_force",
    SearchesAHundred: "test_search_many_queries_and_none",
    SearchesForOneAtLeast: "test_search_for_no_points",
    SearchesWithNaN: "test_queries_that_are_not_finite_are_refused",
    CutsQueries: "test_queries_of_another_shape_are_refused",
    CallsItDot: "test_facts",
    KeepsTheAlias: "test_alias",
}
