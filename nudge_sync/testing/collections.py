"""Every promise of `nudge_sync.connector.Collection`, as a test."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from nudge_sync.connector import Float32, Health, Metric, PointId, Points, WriteReport
from nudge_sync.errors import CollectionNotFound, InputError, UnsupportedCollection
from nudge_sync.testing.engine import DIMENSION, POINTS, Case, Engine, prepared, unit_rows

CASES: tuple[tuple[Metric, bool], ...] = (("cosine", True), ("dot", True), ("euclid", False))
"""Each metric, and whether ids are integers."""


class CollectionConformance:
    """Subclass it in a test module, and give it an `engine` fixture."""

    @pytest.fixture
    def engine(self) -> Engine:
        """Return the database under test."""
        raise NotImplementedError

    @pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{'int' if case[1] else 'str'}")
    def case(self, request: pytest.FixtureRequest, engine: Engine) -> Case:
        """Return a filled collection, for each metric and kind of id."""
        metric, integer_ids = request.param
        if metric not in engine.metrics:
            pytest.skip(f"no {metric} here")
        return prepared(engine, metric, integer_ids=integer_ids)

    # What it is

    def test_facts(self, case: Case) -> None:
        facts = case.facts
        assert (facts.name, facts.collection) == (case.name, case.name)
        assert (facts.dimension, facts.metric, facts.precision) == (
            DIMENSION,
            case.metric,
            "float32",
        )
        assert facts.integer_ids == isinstance(case.ids[0], int)
        assert not facts.problems

    def test_no_such_collection(self, engine: Engine) -> None:
        with pytest.raises(CollectionNotFound, match="nudge_kit_nowhere"):
            engine.database.collection("nudge_kit_nowhere")

    def test_collection_dropped_meanwhile(self, case: Case) -> None:
        case.engine.backdoor.drop(case.name)
        with pytest.raises(CollectionNotFound):
            case.collection.describe()

    def test_no_such_vector(self, case: Case) -> None:
        with pytest.raises(UnsupportedCollection, match="nosuchvector"):
            case.engine.database.collection(case.name, "nosuchvector")

    def test_vector_by_its_name(self, case: Case) -> None:
        named = case.engine.database.collection(case.name, case.facts.vector)
        assert case.same(named.read(case.ids).vectors, case.vectors)

    def test_alias(self, case: Case) -> None:
        if case.engine.alias is None:
            pytest.skip("no aliases here")
        case.engine.alias("nudge_kit_alias", case.name)
        collection = case.engine.database.collection("nudge_kit_alias", case.engine.vector)
        facts = collection.describe()
        assert (facts.name, facts.collection) == ("nudge_kit_alias", case.name)
        assert case.same(collection.read(case.ids).vectors, case.vectors)

    def test_health(self, case: Case) -> None:
        assert isinstance(case.collection.health(), Health)

    # Reading

    def test_read_in_the_order_asked(self, case: Case) -> None:
        order = np.random.default_rng(1).permutation(POINTS)
        ids = [case.ids[row] for row in order]
        points = case.collection.read(ids)
        assert points.ids == ids
        assert [type(i) for i in points.ids] == [type(i) for i in ids]
        assert case.same(points.vectors, case.vectors[order])

    def test_read_leaves_out_missing(self, case: Case) -> None:
        asked = [case.ids[3], _make_absent_id(case), case.ids[1], _make_absent_id(case)]
        points = case.collection.read(asked)
        assert points.ids == [case.ids[3], case.ids[1]]
        assert case.same(points.vectors, case.vectors[[3, 1]])

    def test_read_repeats_what_is_asked_twice(self, case: Case) -> None:
        points = case.collection.read([case.ids[2], case.ids[0], case.ids[2]])
        assert points.ids == [case.ids[2], case.ids[0], case.ids[2]]
        assert case.same(points.vectors, case.vectors[[2, 0, 2]])

    def test_read_nothing(self, case: Case) -> None:
        for ids in ([], [_make_absent_id(case)]):
            points = case.collection.read(ids)
            assert points.ids == []
            assert points.vectors.shape == (0, DIMENSION)
            assert points.vectors.dtype == np.float32

    def test_read_ids_that_cannot_be(self, case: Case) -> None:
        foreign_ids = list(case.engine.foreign_ids) if case.facts.integer_ids else []
        points = case.collection.read([*foreign_ids, case.ids[0], *foreign_ids])
        assert points.ids == [case.ids[0]]

    def test_read_any_number_of_ids(self, case: Case) -> None:
        absent_ids = _make_absent_ids(case, 5000)
        points = case.collection.read([*case.ids[:30], *absent_ids, *case.ids[30:]])
        assert points.ids == case.ids
        assert case.same(points.vectors, case.vectors)

    def test_read_sees_the_application(self, case: Case) -> None:
        case.engine.backdoor.upsert(case.name, case.ids[:5], unit_rows(5, seed=2))
        case.engine.backdoor.delete(case.name, [case.ids[5]])
        points = case.collection.read(case.ids[:6])
        assert points.ids == case.ids[:5]
        assert case.same(points.vectors, case.stored(case.ids[:5]))

    def test_scan_meets_every_point_once(self, case: Case) -> None:
        for batch_size in (1, 7, 1000):
            batches = list(case.collection.scan(batch_size))
            ids = [point_id for batch in batches for point_id in batch.ids]
            assert sorted(map(str, ids)) == sorted(map(str, case.ids))
            vectors = np.concatenate([batch.vectors for batch in batches])
            assert case.same(vectors, case.vectors[[case.ids.index(i) for i in ids]])

    def test_scan_of_nothing(self, case: Case) -> None:
        case.engine.backdoor.delete(case.name, case.ids)
        assert sum(len(batch) for batch in case.collection.scan()) == 0

    # Searching

    def test_exact_search_is_brute_force(self, case: Case) -> None:
        queries = unit_rows(9, seed=3)
        hits = case.collection.search(queries, 10, exact=True)
        expected_scores = _scores(case, queries)
        assert len(hits.ids) == len(hits.scores) == len(queries)
        for row, (ids, scores) in enumerate(zip(hits.ids, hits.scores, strict=True)):
            best = np.argsort(-expected_scores[row])[:10]
            assert ids == [case.ids[each] for each in best]
            np.testing.assert_allclose(scores, expected_scores[row][best], atol=1e-4)

    def test_scores_fall(self, case: Case) -> None:
        for scores in case.collection.search(unit_rows(4, seed=4), 20).scores:
            assert all(first >= second for first, second in pairwise(scores))

    def test_search_for_more_than_there_is(self, case: Case) -> None:
        hits = case.collection.search(unit_rows(1, seed=5), 3 * POINTS, exact=True)
        assert sorted(map(str, hits.ids[0])) == sorted(map(str, case.ids))

    def test_search_many_queries_and_none(self, case: Case) -> None:
        hits = case.collection.search(np.repeat(unit_rows(2, seed=6), 150, axis=0), 3)
        assert len(hits.ids) == 300
        assert hits.ids[0] == hits.ids[149]
        assert hits.ids[150] == hits.ids[299]
        no_queries = np.empty((0, DIMENSION), dtype=np.float32)
        assert case.collection.search(no_queries, 3).ids == []

    def test_search_for_no_points(self, case: Case) -> None:
        for k in (0, -1):
            hits = case.collection.search(unit_rows(2, seed=24), k)
            assert hits.ids == [[], []]
            assert [len(scores) for scores in hits.scores] == [0, 0]

    def test_queries_that_are_not_finite_are_refused(self, case: Case) -> None:
        for bad in (np.nan, np.inf, -np.inf):
            queries = unit_rows(3, seed=25)
            queries[1, 4] = bad
            for exact in (False, True):
                with pytest.raises(InputError):
                    case.collection.search(queries, 3, exact=exact)

    def test_queries_of_another_shape_are_refused(self, case: Case) -> None:
        longer = unit_rows(3, seed=26, dimension=DIMENSION + 1)
        for queries in (longer, longer[:, : DIMENSION - 1], longer[0, :DIMENSION]):
            for exact in (False, True):
                with pytest.raises(InputError):
                    case.collection.search(queries, 3, exact=exact)

    def test_search_sees_what_was_written(self, case: Case) -> None:
        new = unit_rows(1, seed=7)
        case.collection.write(Points(case.ids[:1], new), case.vectors[:1])
        assert case.collection.search(new, 1, exact=True).ids == [[case.ids[0]]]

    # Writing

    def test_write_replaces_vectors_alone(self, case: Case) -> None:
        ids, new = case.ids[:20], unit_rows(20, seed=8)
        before = case.engine.backdoor.rest(case.name, case.ids)
        report = case.collection.write(Points(ids, new), case.vectors[:20])
        assert report == WriteReport(written=ids)
        assert case.same(case.stored(ids), new)
        assert case.same(case.collection.read(ids).vectors, new)
        assert case.same(case.stored(case.ids[20:]), case.vectors[20:])
        assert case.engine.backdoor.rest(case.name, case.ids) == before
        assert case.engine.backdoor.count(case.name) == POINTS

    def test_write_again(self, case: Case) -> None:
        ids, new = case.ids[:5], unit_rows(5, seed=9)
        for _ in range(3):
            report = case.collection.write(Points(ids, new), case.vectors[:5])
            assert sorted(map(str, report.written)) == sorted(map(str, ids))
            assert case.same(case.stored(ids), new)

    def test_write_and_back(self, case: Case) -> None:
        new = unit_rows(POINTS, seed=10)
        case.collection.write(Points(case.ids, new), case.vectors)
        live = case.collection.read(case.ids).vectors
        case.collection.write(Points(case.ids, case.vectors), live)
        assert case.same(case.stored(case.ids), case.vectors)

    def test_write_leaves_drifted_rows(self, case: Case) -> None:
        case.engine.backdoor.upsert(case.name, case.ids[:2], unit_rows(2, seed=11))
        application_vectors = case.stored(case.ids[:2])
        report = case.collection.write(Points(case.ids[:4], unit_rows(4, 12)), case.vectors[:4])
        assert sorted(map(str, report.drifted)) == sorted(map(str, case.ids[:2]))
        assert sorted(map(str, report.written)) == sorted(map(str, case.ids[2:4]))
        assert case.same(case.stored(case.ids[:2]), application_vectors)

    def test_one_bit_is_drift(self, case: Case) -> None:
        if case.facts.rescales:
            pytest.skip("this collection changes bits by itself")
        expected = case.vectors[:2].copy()
        expected[0, 0] = np.nextafter(expected[0, 0], np.float32(2))
        report = case.collection.write(Points(case.ids[:2], unit_rows(2, 13)), expected)
        assert report == WriteReport(written=[case.ids[1]], drifted=[case.ids[0]])
        assert case.same(case.stored(case.ids[:1]), case.vectors[:1])

    def test_write_creates_nothing(self, case: Case) -> None:
        absent_id = _make_absent_id(case)
        ids = [absent_id, case.ids[0]]
        expected = np.concatenate([unit_rows(1, 14), case.vectors[:1]])
        report = case.collection.write(Points(ids, unit_rows(2, 15)), expected)
        assert report == WriteReport(written=[case.ids[0]], missing=[absent_id])
        assert case.engine.backdoor.count(case.name) == POINTS
        assert absent_id not in case.engine.backdoor.read(case.name, [absent_id])

    def test_write_to_ids_that_cannot_be(self, case: Case) -> None:
        foreign_ids = list(case.engine.foreign_ids) if case.facts.integer_ids else []
        rows = unit_rows(len(foreign_ids), 16)
        report = case.collection.write(Points(foreign_ids, rows), rows)
        assert report.missing == foreign_ids
        assert not report.written
        assert case.engine.backdoor.count(case.name) == POINTS

    def test_write_nothing(self, case: Case) -> None:
        no_rows = np.empty((0, DIMENSION), dtype=np.float32)
        assert case.collection.write(Points([], no_rows), no_rows) == WriteReport()

    def test_nothing_is_written_of_what_is_not_finite(self, case: Case) -> None:
        for bad in (np.nan, np.inf, -np.inf):
            new = unit_rows(10, seed=17)
            new[9, 5] = bad
            with pytest.raises(InputError):
                case.collection.write(Points(case.ids[:10], new), case.vectors[:10])
            assert case.same(case.stored(case.ids), case.vectors)

    def test_arrays_stay_as_they_were(self, case: Case) -> None:
        new, expected = unit_rows(4, seed=18), case.vectors[:4].copy()
        copies = new.copy(), expected.copy()
        for rows in (new, expected):
            rows.flags.writeable = False
        case.collection.write(Points(case.ids[:4], new), expected)
        case.collection.search(new, 3)
        assert np.array_equal(new, copies[0])
        assert np.array_equal(expected, copies[1])

    def test_write_arrays_that_are_not_contiguous(self, case: Case) -> None:
        new = np.asfortranarray(unit_rows(6, seed=19))
        expected = np.repeat(case.vectors[:6], 2, axis=0)[::2]
        case.collection.write(Points(case.ids[:6], new), expected)
        assert case.same(case.stored(case.ids[:6]), np.ascontiguousarray(new))

    def test_write_any_number_of_rows(self, case: Case) -> None:
        absent_ids = _make_absent_ids(case, 2500)
        ids = [*absent_ids[:1200], *case.ids, *absent_ids[1200:]]
        rows = np.concatenate([unit_rows(1200, 20), case.vectors, unit_rows(1300, 21)])
        new = unit_rows(len(ids), seed=22)
        report = case.collection.write(Points(ids, new), rows)
        assert sorted(map(str, report.written)) == sorted(map(str, case.ids))
        assert len(report.missing) == len(absent_ids)
        assert case.same(case.stored(case.ids), new[1200 : 1200 + POINTS])

    def test_writes_that_are_under_way_at_once(self, case: Case) -> None:
        limit = case.facts.parallel_calls
        new = unit_rows(POINTS, seed=24)
        parts = np.array_split(np.arange(POINTS), 2 * limit)

        def write(rows: NDArray[np.intp]) -> WriteReport:
            ids = [case.ids[row] for row in rows]
            return case.collection.write(Points(ids, new[rows]), case.vectors[rows])

        with ThreadPoolExecutor(limit) as pool:
            reports = list(pool.map(write, parts))
        for rows, report in zip(parts, reports, strict=True):
            assert set(report.written) == {case.ids[row] for row in rows}
        assert case.same(case.stored(case.ids), new)

    def test_any_length_where_the_metric_allows(self, case: Case) -> None:
        if case.metric == "cosine":
            pytest.skip("a cosine collection may rescale")
        new = np.zeros((2, DIMENSION), dtype=np.float32)
        new[0, :4] = [1e-45, -1e-40, 3e18, -0.0]
        new[1, :3] = [-7.25, 1e10, 2**-126]
        report = case.collection.write(Points(case.ids[:2], new), case.vectors[:2])
        assert report.written == case.ids[:2]
        assert case.same(case.stored(case.ids[:2]), new)

    def test_what_was_written_outlives_the_connection(self, case: Case) -> None:
        new = unit_rows(3, seed=23)
        case.collection.write(Points(case.ids[:3], new), case.vectors[:3])
        case.engine.database = case.engine.reopen()
        reopened = case.engine.database.collection(case.name, case.engine.vector)
        assert case.same(reopened.read(case.ids[:3]).vectors, new)

    def test_close_twice(self, engine: Engine) -> None:
        engine.database = engine.reopen()
        engine.database.close()
        engine.database.close()


def _make_absent_id(case: Case) -> PointId:
    return _make_absent_ids(case, 1)[0]


def _make_absent_ids(case: Case, count: int) -> list[PointId]:
    if case.facts.integer_ids:
        return list(range(10**6, 10**6 + count))
    return case.engine.string_ids(POINTS + count)[POINTS:]


def _scores(case: Case, queries: Float32) -> Float32:
    if case.metric == "euclid":
        negated_distances: Float32 = -np.linalg.norm(queries[:, None] - case.vectors[None], axis=2)
        return negated_distances
    dots: Float32 = queries @ case.vectors.T
    return dots
