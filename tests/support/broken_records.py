"""Records that each break one promise; the kit has to catch every one."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np

from nudge_sync.connector import Record
from nudge_sync.errors import UnsupportedCollection
from nudge_sync.testing.engine import DIMENSION
from nudge_sync.testing.memory import MemoryDatabase, MemoryRecords, MemoryStore


class LosesBits(MemoryRecords):
    def _stored(self, record):
        text, vector = super()._stored(record)
        if vector is None:
            return text, None
        with np.errstate(over="ignore"):
            return text, vector.astype(np.float16).astype(np.float32)


class FlushesDenormals(MemoryRecords):
    def _stored(self, record):
        text, vector = super()._stored(record)
        if vector is not None:
            vector[np.abs(vector) < np.finfo(np.float32).tiny] = 0
        return text, vector


class RoundsIntegers(MemoryRecords):
    def get(self, keys, *, vectors=True):
        return [
            replace(item, document={k: _round_through_float(v) for k, v in item.document.items()})
            for item in super().get(keys, vectors=vectors)
        ]


def _round_through_float(value):
    return int(float(value)) if type(value) is int else value


class MergesDocuments(MemoryRecords):
    def put(self, records):
        for item in records:
            old = super().get([item.key])
            merged = {**old[0].document, **item.document} if old else item.document
            super().put([replace(item, document=merged)])


class KeepsOldVectors(MemoryRecords):
    def put(self, records):
        for item in records:
            old = super().get([item.key])
            vector = item.vector if item.vector is not None or not old else old[0].vector
            super().put([replace(item, vector=vector)])


class CutsKeys(MemoryRecords):
    def put(self, records):
        super().put([replace(item, key=item.key[:255]) for item in records])

    def get(self, keys, *, vectors=True):
        return super().get([key[:255] for key in keys], vectors=vectors)


class EndsKeysAtNul(MemoryRecords):
    def put(self, records):
        super().put([replace(item, key=item.key.split("\0")[0]) for item in records])


class GetsInItsOwnOrder(MemoryRecords):
    def get(self, keys, *, vectors=True):
        return super().get(sorted(keys), vectors=vectors)


class AlwaysBringsVectors(MemoryRecords):
    def get(self, keys, *, vectors=True):
        return super().get(keys, vectors=True)


class DeletesNothing(MemoryRecords):
    def delete(self, keys):
        pass


class DropsNothing(MemoryRecords):
    def drop(self):
        if len(self._records()) < 10:
            super().drop()


class IgnoresWhere(MemoryRecords):
    def scan(self, where=None, *, vectors=True, batch_size=1000):
        return super().scan(None, vectors=vectors, batch_size=batch_size)


class MatchesInPart(MemoryRecords):
    def scan(self, where=None, *, vectors=True, batch_size=1000):
        texts = {k: v for k, v in (where or {}).items() if isinstance(v, str)}
        rest = {k: v for k, v in (where or {}).items() if k not in texts}
        for batch in super().scan(rest, vectors=vectors, batch_size=batch_size):
            yield [
                item
                for item in batch
                if all(text in str(item.document.get(k)) for k, text in texts.items())
            ]


class IncludesTheUpperBound(MemoryRecords):
    def scan(self, where=None, *, vectors=True, batch_size=1000):
        wider = {
            k: (v[0], np.nextafter(v[1], np.inf)) if isinstance(v, tuple) else v
            for k, v in (where or {}).items()
        }
        return super().scan(wider, vectors=vectors, batch_size=batch_size)


class CountsEverything(MemoryRecords):
    def count(self, where=None):
        return len(self._records())


class ScansOneBatch(MemoryRecords):
    def scan(self, where=None, *, vectors=True, batch_size=1000):
        yield from list(super().scan(where, vectors=vectors, batch_size=batch_size))[:1]


class TakesEmptyKeys(MemoryRecords):
    def put(self, records):
        super().put([replace(item, key=item.key or "empty") for item in records])


class SwapsOverWhatHasNoGeneration(MemoryRecords):
    def swap(self, record, expected):
        stored = self.get([record.key], vectors=False)
        if expected is None and stored and "generation" not in stored[0].document:
            self.delete([record.key])
        return super().swap(record, expected)


class SwapsAnyway(MemoryRecords):
    def swap(self, record, expected):
        self.put([record])
        return True


class SwapsOverWhatIsThere(MemoryRecords):
    def swap(self, record, expected):
        if expected is None:
            self.put([record])
            return True
        return super().swap(record, expected)


class SwapsAndCallsItRefused(MemoryRecords):
    def swap(self, record, expected):
        swapped = super().swap(record, expected)
        if not swapped and expected is not None and self.count():
            self.put([record])
        return swapped


class SwapsInTwoSteps(MemoryRecords):
    _both_compared = threading.Barrier(2)

    def swap(self, record, expected):
        stored = self.get([record.key], vectors=False)
        if (stored[0].document["generation"] if stored else None) != expected:
            return False
        if threading.current_thread() is not threading.main_thread():
            try:
                self._both_compared.wait(timeout=0.2)
            except threading.BrokenBarrierError:
                self._both_compared.reset()
        self.put([record])
        return True


class SharesDocuments(MemoryRecords):
    kept: dict[str, Record]

    def put(self, records):
        super().put(records)
        self.kept = {item.key: item for item in records}

    def get(self, keys, *, vectors=True):
        records = super().get(keys, vectors=vectors)
        return [getattr(self, "kept", {}).get(item.key, item) for item in records]


class RefusesOtherDimensions(MemoryRecords):
    def put(self, records):
        if self._store.dimensions.get(self._name, self._dimension) != self._dimension:
            raise UnsupportedCollection("drop it")
        super().put(records)


class RefusesToReadOtherDimensions(MemoryRecords):
    def get(self, keys, *, vectors=True):
        if self._store.dimensions.get(self._name, self._dimension) != self._dimension:
            raise UnsupportedCollection("drop it")
        return super().get(keys, vectors=vectors)


class CutsVectors(MemoryRecords):
    def get(self, keys, *, vectors=True):
        return [
            item if item.vector is None else replace(item, vector=item.vector[: self._dimension])
            for item in super().get(keys, vectors=vectors)
        ]


class LosesOtherDimensions(MemoryRecords):
    def _fit(self, text, vector):
        text, fitting = super()._fit(text, vector)
        return text.partition("\n")[0], fitting


class BringsVectorsOfOtherDimensionsUnasked(MemoryRecords):
    def scan(self, where=None, *, vectors=True, batch_size=1000):
        is_other = self._store.dimensions.get(self._name, self._dimension) != self._dimension
        yield from super().scan(where, vectors=vectors or is_other, batch_size=batch_size)


class NeverSwapsOtherDimensions(MemoryRecords):
    def swap(self, record, expected):
        dimension = self._store.dimensions.get(self._name, self._dimension)
        if record.vector is not None and len(record.vector) != dimension:
            return False
        return super().swap(record, expected)


class RemembersADroppedDimension(MemoryRecords):
    def _fit(self, text, vector):
        text, fitting = super()._fit(text, vector)
        return text, None if fitting is None else fitting[:DIMENSION]


def make_records_database(records_class):
    """Return a database class whose records are of this class."""

    class Broken(MemoryDatabase):
        def records(self, name, dimension=0, indexed=()):
            return records_class(self.store, name, dimension)

    return Broken


class ForgetsOnClose(MemoryDatabase):
    """Keeps what was put until it is closed."""

    def __init__(self, store=None):
        super().__init__(store)
        self.own_store = MemoryStore()

    def records(self, name, dimension=0, indexed=()):
        return MemoryRecords(self.own_store, name, dimension)


# Each with the test of the kit that is about the promise it breaks.
BROKEN_RECORDS = {
    LosesBits: "test_vectors_keep_their_bits",
    FlushesDenormals: "test_vectors_keep_their_bits",
    RoundsIntegers: "test_documents_come_back",
    MergesDocuments: "test_put_replaces_everything",
    KeepsOldVectors: "test_put_replaces_everything",
    CutsKeys: "test_keys_are_any_strings",
    EndsKeysAtNul: "test_keys_are_any_strings",
    GetsInItsOwnOrder: "test_order_missing_and_repeated_keys",
    AlwaysBringsVectors: "test_vectors_only_where_asked_for",
    DeletesNothing: "test_keys_are_any_strings",
    DropsNothing: "test_drop",
    IgnoresWhere: "test_where",
    MatchesInPart: "test_where_nothing_matches",
    IncludesTheUpperBound: "test_ranges",
    CountsEverything: "test_where",
    ScansOneBatch: "test_many",
    TakesEmptyKeys: "test_records_that_are_refused",
    SwapsOverWhatHasNoGeneration: "test_swap_of_a_record_without_generation",
    SwapsAnyway: "test_swap",
    SwapsOverWhatIsThere: "test_swap",
    SwapsAndCallsItRefused: "test_swap",
    SwapsInTwoSteps: "test_swap_is_one_step",
    SharesDocuments: "test_arrays_stay_as_they_were",
}
BROKEN_DIMENSIONS = {
    RefusesOtherDimensions: "test_vectors_are_read_as_they_were_stored",
    RefusesToReadOtherDimensions: "test_vectors_are_read_as_they_were_stored",
    CutsVectors: "test_vectors_are_read_as_they_were_stored",
    LosesOtherDimensions: "test_a_record_is_replaced_by_one_of_another_dimension",
    BringsVectorsOfOtherDimensionsUnasked: "test_records_are_counted_and_found",
    NeverSwapsOtherDimensions: "test_a_swap_stores_another_dimension",
    RemembersADroppedDimension: "test_a_collection_that_was_made_anew_has_the_new_dimension",
}
