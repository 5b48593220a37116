"""Every promise of `nudge_sync.connector.Records`, as a test."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Barrier, Thread
from typing import Any

import numpy as np
import pytest

from nudge_sync.connector import Float32, Record, Records
from nudge_sync.errors import InputError
from nudge_sync.testing.engine import DIMENSION, Engine, unit_rows
from nudge_sync.testing.records.copies import ReplicationConformance
from nudge_sync.testing.records.dimensions import DimensionConformance
from nudge_sync.testing.records.sizes import SizeConformance

NAME = "nudge_kit__nudge_records"
"""The collection of records that the kit makes."""
_INDEXED = ("revision", "kind", "time", "live", "share")
"""Fields that the kit's `where` names."""
_KEYS = (
    "plain",
    "7",
    "-7",
    " ",
    "a\nb",
    "nul\0inside",
    "tab\tquote'quote\"back\\slash`",
    "../../etc/passwd",
    'x" or "1" == "1',
    "grüße 漢字 🜚 \u202e",
    "%_*?[]{}$",
    "k" * 65_536,
    "k" * 65_535 + "l",
)
"""Keys, and texts in documents, that a careless connector would cut, fold or break at."""
_DOCUMENTS: tuple[dict[str, Any], ...] = (
    {},
    {"none": None, "yes": True, "no": False, "empty": "", "list": [], "table": {}},
    {"large": 2**53 + 1, "larger": 2**63 - 1, "beyond": 2**70, "negative": -(2**63)},
    {"third": 1 / 3, "tenth": 0.1, "tiny": 5e-324, "huge": 1.7976931348623157e308, "one": 1.0},
    {"nested": {"a": [{"b": [1, [2, [3, None]]]}], "c.d": {"é": "漢字 🜚"}}},
    {"a.b": 1, "": 2, 'quo"te': 3, "new\nline": 4, "nul\0": "in\0side", "[0]": 5},
    {"long": "x" * 50_000},
)
"""Documents that a careless connector would round, flatten or refuse."""


class RecordsConformance(ReplicationConformance, SizeConformance, DimensionConformance):
    """Subclass it in a test module, and give it an `engine` fixture."""

    @pytest.fixture
    def engine(self) -> Engine:
        """Return the database under test."""
        raise NotImplementedError

    @pytest.fixture
    def records(self, engine: Engine) -> Iterator[Records]:
        """Yield records with vectors, nothing stored yet."""
        records = engine.database.records(NAME, DIMENSION, _INDEXED)
        records.drop()
        yield records
        engine.database.records(NAME, DIMENSION, _INDEXED).drop()

    # Nothing there

    def test_reading_finds_and_creates_nothing(self, records: Records) -> None:
        assert records.get(["a"]) == []
        assert list(records.scan()) == []
        assert records.count() == 0
        records.delete(["a"])
        records.drop()
        assert records.swap(Record("a", {"generation": 2}), expected=1) is False
        assert records.count() == 0

    def test_empty_calls(self, records: Records) -> None:
        for _ in range(2):
            records.put([])
            records.delete([])
            assert records.get([]) == []
            records.put([Record("a", {})])

    # Put and get

    def test_vectors_keep_their_bits(self, records: Records) -> None:
        rows = np.zeros((5, DIMENSION), dtype=np.float32)
        rows[0] = unit_rows(1, seed=0)[0]
        rows[1, :5] = [1e-45, -1e-45, -0.0, 1.1754942e-38, -3e-39]
        rows[2, :4] = [3.4028235e38, -3.4028235e38, 1e-38, 1 / 3]
        rows[4] = np.random.default_rng(1).standard_normal(DIMENSION) * 1e6
        records.put([Record(f"k{row}", {}, rows[row]) for row in range(5)])
        stored = records.get([f"k{row}" for row in range(5)])
        assert [_to_bytes(item.vector) for item in stored] == [_to_bytes(row) for row in rows]

    def test_documents_come_back(self, records: Records) -> None:
        records.put([Record(f"d{row}", each) for row, each in enumerate(_DOCUMENTS)])
        stored = records.get([f"d{row}" for row in range(len(_DOCUMENTS))])
        assert [item.document for item in stored] == list(_DOCUMENTS)
        assert [repr(item.document) for item in stored] == [repr(each) for each in _DOCUMENTS]

    def test_keys_are_any_strings(self, records: Records) -> None:
        records.put([Record(key, {"row": row}) for row, key in enumerate(_KEYS)])
        stored = records.get(_KEYS)
        assert [(item.key, item.document["row"]) for item in stored] == [
            (key, row) for row, key in enumerate(_KEYS)
        ]
        scanned_keys = {item.key for batch in records.scan() for item in batch}
        assert scanned_keys == set(_KEYS)
        for key in _KEYS:
            records.delete([key])
            assert records.get([key]) == []
        assert records.count() == 0

    def test_order_missing_and_repeated_keys(self, records: Records) -> None:
        records.put([Record(key, {}) for key in "abc"])
        stored = records.get(["c", "x", "a", "c"])
        assert [item.key for item in stored] == ["c", "a", "c"]

    def test_put_replaces_everything(self, records: Records) -> None:
        records.put([Record("a", {"old": 1, "kind": "x"}, unit_rows(1, 2)[0])])
        records.put([Record("a", {"new": 2})])
        (stored,) = records.get(["a"])
        assert stored.document == {"new": 2}
        assert stored.vector is None
        assert records.count() == 1
        assert records.count({"kind": "x"}) == 0

    def test_a_key_twice_in_one_put(self, records: Records) -> None:
        records.put([Record("a", {"n": 1}), Record("b", {}), Record("a", {"n": 2})])
        assert records.get(["a"])[0].document == {"n": 2}
        assert records.count() == 2

    def test_vectors_only_where_asked_for(self, records: Records) -> None:
        vector = unit_rows(1, 3)[0]
        records.put([Record("with", {}, vector), Record("without", {})])
        assert [_to_bytes(item.vector) for item in records.get(["with", "without"])] == [
            _to_bytes(vector),
            None,
        ]
        assert records.get(["with"], vectors=False)[0].vector is None
        assert all(item.vector is None for batch in records.scan(vectors=False) for item in batch)

    def test_no_vectors_at_all(self, engine: Engine) -> None:
        records = engine.database.records(NAME + "_plain", 0, ("kind",))
        try:
            records.put([Record("a", {"kind": "x"}), Record("b", {"kind": "y"})])
            assert [item.vector for item in records.get(["a", "b"])] == [None, None]
            assert records.count({"kind": "y"}) == 1
        finally:
            records.drop()

    def test_many(self, records: Records) -> None:
        rows = unit_rows(2500, seed=4)
        keys = [f"key {row}" for row in range(2500)]
        records.put([Record(key, {"revision": row}, rows[row]) for row, key in enumerate(keys)])
        assert records.count() == 2500
        stored = records.get(keys)
        assert [item.key for item in stored] == keys
        assert np.array_equal(np.array([item.vector for item in stored]), rows)
        batches = list(records.scan(batch_size=400))
        assert sorted(item.key for batch in batches for item in batch) == sorted(keys)
        records.delete(keys[:2000])
        assert records.count() == 500

    def test_arrays_stay_as_they_were(self, records: Records) -> None:
        vector = unit_rows(1, 5)[0]
        vector.flags.writeable = False
        document = {"kind": "x", "nested": {"a": [1]}}
        records.put([Record("a", document, vector)])
        records.get(["a"])[0].document["nested"]["a"].append(2)
        assert document == {"kind": "x", "nested": {"a": [1]}}
        assert records.get(["a"])[0].document == document

    def test_records_that_are_refused(self, records: Records) -> None:
        infinite = unit_rows(1, 8)[0]
        infinite[3] = np.inf
        for bad in (
            Record("", {}),
            Record("a", {"share": float("nan")}),
            Record("a", {"kind": {1, 2}}),
            Record("a", {}, unit_rows(1, 9, DIMENSION - 1)[0]),
            Record("a", {}, infinite),
        ):
            with pytest.raises(InputError):
                records.put([Record("b", {}), bad])
            with pytest.raises(InputError):
                records.swap(bad, expected=None)
        assert records.count() == 0

    # Where

    def test_where(self, records: Records) -> None:
        _put_ten_records(records)
        assert _find_keys(records, {"kind": "even"}) == ["0", "2", "4", "6", "8"]
        assert _find_keys(records, {"revision": 3}) == ["3"]
        assert _find_keys(records, {"live": True}) == ["0", "3", "6", "9"]
        assert _find_keys(records, {"live": False}) == ["1", "2", "4", "5", "7", "8"]
        assert _find_keys(records, {"share": 0.75}) == ["3"]
        assert _find_keys(records, {"kind": "even", "live": True}) == ["0", "6"]
        assert (
            _find_keys(records, {}) == _find_keys(records, None) == [str(row) for row in range(10)]
        )

    def test_ranges(self, records: Records) -> None:
        _put_ten_records(records)
        assert _find_keys(records, {"revision": (3, 6)}) == ["3", "4", "5"]
        assert _find_keys(records, {"share": (0.5, 1.0)}) == ["2", "3"]
        assert _find_keys(records, {"time": (1.7e9 + 7, 1.7e9 + 99)}) == ["7", "8", "9"]
        assert _find_keys(records, {"revision": (8, float("inf"))}) == ["8", "9"]
        assert _find_keys(records, {"revision": (5, 5)}) == []
        assert _find_keys(records, {"kind": "even", "revision": (3, 7)}) == ["4", "6"]

    def test_where_nothing_matches(self, records: Records) -> None:
        _put_ten_records(records)
        for value in ("eve", "EVEN", "even ", 'even" or "1" == "1', "ev%", "", "\0"):
            assert _find_keys(records, {"kind": value}) == []
        assert _find_keys(records, {"revision": "3"}) == []
        assert _find_keys(records, {"kind": 3}) == []
        assert _find_keys(records, {"share": 3.5, "kind": "even"}) == []

    def test_where_strings_of_all_sorts(self, records: Records) -> None:
        values = [*_KEYS[:-2], "y" * 1000, "y" * 1001, "", "true", "1", "null"]
        records.put([Record(str(row), {"kind": value}) for row, value in enumerate(values)])
        for row, value in enumerate(values):
            assert _find_keys(records, {"kind": value}) == [str(row)]

    def test_where_numbers_of_all_sizes(self, records: Records) -> None:
        values = [0, 0.1, 2**30 - 1, 2**30, 1.7e9 + 0.25, 1.7e12 + 1]
        records.put([Record(str(row), {"time": value}) for row, value in enumerate(values)])
        records.put([Record("yes", {"time": True}), Record("text", {"time": "0.5"})])
        for row, value in enumerate(values):
            assert _find_keys(records, {"time": value}) == [str(row)]
        assert _find_keys(records, {"time": float(2**30)}) == ["3"]
        assert _find_keys(records, {"time": 1.7e9 + 0.5}) == []
        assert _find_keys(records, {"time": 1.7e9 + 0.25, "kind": "even"}) == []

    def test_where_follows_changes(self, records: Records) -> None:
        _put_ten_records(records)
        records.put([Record("0", {"kind": "odd"})])
        records.delete(["2"])
        assert _find_keys(records, {"kind": "even"}) == ["4", "6", "8"]

    # Swap

    def test_swap(self, records: Records) -> None:
        assert records.swap(Record("lease", {"generation": 1, "by": "a"}), expected=None)
        assert not records.swap(Record("lease", {"generation": 1, "by": "b"}), expected=None)
        assert records.get(["lease"])[0].document["by"] == "a"
        assert not records.swap(Record("lease", {"generation": 3, "by": "b"}), expected=2)
        assert records.get(["lease"])[0].document == {"generation": 1, "by": "a"}
        assert records.swap(Record("lease", {"generation": 2, "by": "b"}), expected=1)
        assert records.get(["lease"])[0].document == {"generation": 2, "by": "b"}
        assert records.count() == 1

    def test_swap_of_a_record_without_generation(self, records: Records) -> None:
        records.put([Record("lease", {"by": "a"})])
        assert not records.swap(Record("lease", {"generation": 1, "by": "b"}), expected=None)
        assert not records.swap(Record("lease", {"generation": 1, "by": "b"}), expected=0)
        assert records.get(["lease"])[0].document == {"by": "a"}

    def test_swap_keeps_the_vector(self, records: Records) -> None:
        vector = unit_rows(1, 6)[0]
        assert records.swap(Record("a", {"generation": 1}, vector), expected=None)
        assert _to_bytes(records.get(["a"])[0].vector) == _to_bytes(vector)

    def test_swap_is_one_step(self, engine: Engine, records: Records) -> None:
        if not engine.database.describe().atomic_swap:
            pytest.skip("this database has no atomic swap, and says so")
        for generation in range(1, 8):
            winners = _race_swaps(records, generation)
            assert len(winners) == 1
            (lease,) = records.get(["lease"])
            assert lease.document == {"generation": generation, "by": winners[0]}

    # Durability

    def test_records_outlive_the_connection(self, engine: Engine, records: Records) -> None:
        vector = unit_rows(1, 7)[0]
        records.put([Record("a", {"kind": "x"}, vector)])
        records.swap(Record("lease", {"generation": 1}), expected=None)
        engine.database = engine.reopen()
        reopened = engine.database.records(NAME, DIMENSION, _INDEXED)
        stored = reopened.get(["a", "lease"])
        assert [item.document for item in stored] == [{"kind": "x"}, {"generation": 1}]
        assert _to_bytes(stored[0].vector) == _to_bytes(vector)
        assert _find_keys(reopened, {"kind": "x"}) == ["a"]

    def test_drop(self, engine: Engine, records: Records) -> None:
        _put_ten_records(records)
        other_handle = engine.database.records(NAME, DIMENSION, _INDEXED)
        records.drop()
        for handle in (records, other_handle):
            assert handle.count() == 0
            assert handle.get(["1"]) == []
        other_handle.put([Record("new", {})])
        assert _find_keys(records, None) == ["new"]


def _to_bytes(vector: Float32 | None) -> bytes | None:
    return None if vector is None else np.asarray(vector, dtype=np.float32).tobytes()


def _put_ten_records(records: Records) -> None:
    records.put(
        [
            Record(
                str(row),
                {
                    "kind": "odd" if row % 2 else "even",
                    "revision": row,
                    "live": row % 3 == 0,
                    "share": row / 4,
                    "time": 1.7e9 + row,
                },
            )
            for row in range(10)
        ]
    )


def _find_keys(records: Records, where: Any) -> list[str]:
    keys = sorted(item.key for batch in records.scan(where, vectors=False) for item in batch)
    assert records.count(where) == len(keys)
    return keys


def _race_swaps(records: Records, generation: int) -> list[int]:
    """Return which of four threads won the swap to `generation`."""
    expected = generation - 1 or None
    barrier, winners = Barrier(4), []

    def swap(number: int) -> None:
        lease = Record("lease", {"generation": generation, "by": number})
        barrier.wait()
        if records.swap(lease, expected):
            winners.append(number)

    threads = [Thread(target=swap, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return winners
