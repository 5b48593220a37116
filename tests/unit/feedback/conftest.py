"""Records and a collection held in dictionaries, for tests of feedback alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from nudge_sync.connector import CollectionFacts, PointId, Points, Record
from nudge_sync.errors import Unreachable
from nudge_sync.feedback.ingest.importer import Destination
from tests.support.feedback_files import DIMENSION
from tests.support.simulated_clicks import store_click_log


class DictRecords:
    """Records in a dictionary, which count what is put and can be made unreachable."""

    def __init__(self) -> None:
        self.kept: dict[str, Record] = {}
        self.puts = 0
        self.dead = False

    def put(self, records: Sequence[Record]) -> None:
        if self.dead:
            raise Unreachable
        self.puts += 1
        self.kept.update({record.key: record for record in records})

    def get(self, keys: Sequence[str], *, vectors: bool = True) -> list[Record]:
        if self.dead:
            raise Unreachable
        records = [self.kept[key] for key in keys if key in self.kept]
        return [_copy_record(record, vectors) for record in records]

    def scan(
        self,
        where: Mapping[str, Any] | None = None,
        *,
        vectors: bool = True,
        batch_size: int = 1000,
    ) -> Iterator[list[Record]]:
        matching = [record for record in self.kept.values() if _matches(record, where or {})]
        for start in range(0, len(matching), batch_size):
            yield [_copy_record(record, vectors) for record in matching[start : start + batch_size]]

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            self.kept.pop(key, None)

    def count(self, where: Mapping[str, Any] | None = None) -> int:
        return sum(_matches(record, where or {}) for record in self.kept.values())

    def swap(self, record: Record, expected: int | None) -> bool:
        raise NotImplementedError

    def drop(self) -> None:
        self.kept.clear()


def _copy_record(record: Record, keep_vector: bool) -> Record:
    return record if keep_vector else Record(record.key, record.document)


def _matches(record: Record, where: Mapping[str, Any]) -> bool:
    for name, condition in where.items():
        value = record.document.get(name)
        if isinstance(condition, tuple):
            if value is None or not condition[0] <= value < condition[1]:
                return False
        elif value != condition:
            return False
    return True


class FakeCollection:
    """A collection that knows which ids it has."""

    def __init__(self, ids: Sequence[PointId], dimension: int) -> None:
        self.ids = set(ids)
        self.dimension = dimension
        self.reads = 0

    def describe(self) -> CollectionFacts:
        return CollectionFacts(
            name="docs",
            collection="docs",
            vector="",
            dimension=self.dimension,
            metric="cosine",
            integer_ids=all(isinstance(id_, int) for id_ in self.ids),
            points=len(self.ids),
            precision="float32",
            rescales=False,
        )

    def read(self, ids: Sequence[PointId]) -> Points:
        self.reads += 1
        present_ids = [id_ for id_ in ids if id_ in self.ids]
        return Points(present_ids, np.zeros((len(present_ids), self.dimension), np.float32))


@pytest.fixture(scope="session")
def new_records() -> type[DictRecords]:
    return DictRecords


@pytest.fixture(scope="session")
def ids_only() -> type[FakeCollection]:
    return FakeCollection


@pytest.fixture
def click_log(new_records):
    """Records of searches and events: see `store_click_log`."""
    queries, events = new_records(), new_records()
    store_click_log(queries, events)
    return queries, events


@pytest.fixture
def destination(new_records: Any, ids_only: Any) -> Destination:
    """Records in dictionaries, and a collection with the points 0 to 9."""
    return Destination(new_records(), new_records(), ids_only(range(10), DIMENSION))
