"""The records of one period as columns: what the log needs of them, whatever the settings are."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain, repeat
from math import nan
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nudge_sync.base.arrays import Float32, Float64, Int32, Int64
from nudge_sync.connector import PointId, Record
from nudge_sync.feedback.log.id_encoding import pack_usual_ids
from nudge_sync.feedback.log.strings import PackedStrings
from nudge_sync.feedback.log.validation import EventBatch, RecordValidator, SearchBatch
from nudge_sync.feedback.schema.records import SPACE_FIELD

_NO_SPACE = -1
_MAX_SPACE = 2**62


@dataclass(frozen=True, slots=True)
class EventBlock:
    """All events of a period. Each value is a row of the list of distinct ones.

    Point ids are an array where all are integers from 0 to 2^62, which most applications have.
    """

    LISTS: ClassVar[dict[str, str]] = {
        "query": "query_ids",
        "action": "action_names",
        "point": "point_ids",
        "session": "session_ids",
        "client": "client_ids",
    }
    """Column -> the list that its rows are of."""
    query_ids: PackedStrings
    action_names: list[str]
    point_ids: list[PointId] | Int64
    session_ids: PackedStrings
    client_ids: PackedStrings
    query: Int32
    action: Int32
    point: Int32
    session: Int32
    client: Int32
    rank: Int32
    """(n,): 0 where the event names none."""
    grade: Float64
    """(n,): NaN where the event has none."""
    time: Float64
    unreadable_records: int

    def __len__(self) -> int:
        """How many records it stands for."""
        return len(self.time) + self.unreadable_records


@dataclass(frozen=True, slots=True)
class SearchBlock:
    """All searches of a period, without their vectors, which are looked up by their digests."""

    LISTS: ClassVar[dict[str, str]] = {
        "digest": "digests",
        "shown": "point_ids",
        "session": "session_ids",
        "client": "client_ids",
    }
    """Column -> the list that its rows are of."""
    query_ids: PackedStrings
    digests: list[str]
    point_ids: list[PointId] | Int64
    session_ids: PackedStrings
    client_ids: PackedStrings
    digest: Int32
    shown: Int32
    """(m,): what the searches showed, end to end."""
    shown_count: Int32
    """(n,): how many of them each search showed."""
    session: Int32
    client: Int32
    time: Float64
    space: Int64
    """(n,): the embedding space that the vector was embedded for again, or -1."""
    propensities: Float32
    """(m,): NaN where a search logged none; (0,) where none did."""

    def __len__(self) -> int:
        """How many records it stands for."""
        return len(self.time)

    def find_former(self, number: int, since: int) -> NDArray[np.bool_]:
        """Return which searches are of a former embedding space, (n,).

        number, since: of the present one; see `EmbeddingSpace`.
        """
        is_former: NDArray[np.bool_] = (self.space < number) & (self.time * 1000 < since)
        return is_former

    def select(self, keep: NDArray[np.bool_]) -> SearchBlock:
        """Return the searches of a mask, (n,)."""
        if keep.all():
            return self
        is_shown = np.repeat(keep, self.shown_count)
        return SearchBlock(
            self.query_ids.take(keep),
            self.digests,
            self.point_ids,
            self.session_ids,
            self.client_ids,
            self.digest[keep],
            self.shown[is_shown],
            self.shown_count[keep],
            self.session[keep],
            self.client[keep],
            self.time[keep],
            self.space[keep],
            self.propensities[is_shown] if len(self.propensities) else self.propensities,
        )


class _Column:
    """Values as rows of the list of distinct ones, in the order in which they are first met."""

    def __init__(self) -> None:
        self._row_by_value: dict[Any, int] = {}
        self._rows = array("i")

    def extend(self, values: Iterable[Any]) -> None:
        rows = self._row_by_value
        self._rows.extend([rows.setdefault(value, len(rows)) for value in values])

    @property
    def values(self) -> list[Any]:
        return list(self._row_by_value)

    def pack_names(self) -> PackedStrings:
        return PackedStrings.pack(self.values)

    def pack_ids(self) -> list[PointId] | Int64:
        ids = self.values
        usual = pack_usual_ids(ids)
        return ids if usual is None else usual

    @property
    def rows(self) -> Int32:
        return np.array(self._rows, np.int32)


class EventBlockBuilder:
    """Makes a block of the batches of a period's events."""

    def __init__(self) -> None:
        self._validator = RecordValidator()
        self._columns = {name: _Column() for name in EventBlock.LISTS}
        self._rank, self._grade, self._time = array("i"), array("d"), array("d")

    def add(self, records: list[Record]) -> None:
        """Take a batch of records; those that are no events are counted."""
        batch: EventBatch = self._validator.validate_events(records)
        for name, values in (
            ("query", batch.query_id),
            ("action", batch.action_name),
            ("point", batch.object_id),
            ("session", batch.session_id),
            ("client", batch.client_id),
        ):
            self._columns[name].extend(values)
        self._rank.extend([position or 0 for position in batch.position])
        self._grade.extend([nan if grade is None else grade for grade in batch.grade])
        self._time.extend(batch.timestamp)

    def build(self) -> EventBlock:
        """Return the block."""
        columns = self._columns
        return EventBlock(
            query_ids=columns["query"].pack_names(),
            action_names=columns["action"].values,
            point_ids=columns["point"].pack_ids(),
            session_ids=columns["session"].pack_names(),
            client_ids=columns["client"].pack_names(),
            query=columns["query"].rows,
            action=columns["action"].rows,
            point=columns["point"].rows,
            session=columns["session"].rows,
            client=columns["client"].rows,
            rank=np.array(self._rank, np.int32),
            grade=np.array(self._grade, np.float64),
            time=np.array(self._time, np.float64),
            unreadable_records=self._validator.unreadable_records,
        )


class SearchBlockBuilder:
    """Makes a block of the batches of a period's searches."""

    def __init__(self) -> None:
        self._validator = RecordValidator()
        self._columns = {name: _Column() for name in SearchBlock.LISTS}
        self._query_ids: list[str] = []
        self._space, self._shown_count = array("q"), array("i")
        self._time, self._propensities = array("d"), array("f")
        self._has_propensities = False
        self._is_complete = True

    def add(self, records: list[Record]) -> None:
        """Take a batch of records."""
        batch: SearchBatch = self._validator.validate_searches(records)
        # Which of the unreadable records are former searches is for the reader of records to say,
        # and a search without a digest is recognised by its vector.
        self._is_complete &= len(batch.records) == len(records) and None not in batch.digest
        self._query_ids.extend(record.key for record in batch.records)
        shown_lists = [shown or () for shown in batch.shown]
        self._columns["digest"].extend(batch.digest)
        self._columns["shown"].extend(chain.from_iterable(shown_lists))
        self._columns["session"].extend(batch.session_id)
        self._columns["client"].extend(batch.client_id)
        self._shown_count.extend(map(len, shown_lists))
        self._time.extend(batch.timestamp)
        self._space.extend(_read_space(record) for record in batch.records)
        for logged, shown in zip(batch.propensities, shown_lists, strict=True):
            self._has_propensities |= bool(logged)
            self._propensities.extend(logged or repeat(nan, len(shown)))

    def build(self) -> SearchBlock | None:
        """Return the block; None where the records hold what only they can say."""
        if not self._is_complete:
            return None
        return SearchBlock(
            query_ids=PackedStrings.pack(self._query_ids),
            digests=self._columns["digest"].values,
            point_ids=self._columns["shown"].pack_ids(),
            session_ids=self._columns["session"].pack_names(),
            client_ids=self._columns["client"].pack_names(),
            digest=self._columns["digest"].rows,
            shown=self._columns["shown"].rows,
            shown_count=np.array(self._shown_count, np.int32),
            session=self._columns["session"].rows,
            client=self._columns["client"].rows,
            time=np.array(self._time, np.float64),
            space=np.array(self._space, np.int64),
            propensities=np.array(self._propensities if self._has_propensities else (), np.float32),
        )


def _read_space(record: Record) -> int:
    number = record.document.get(SPACE_FIELD)
    # As FormerSearches reads it; any number beyond the largest is as good as the largest.
    return max(_NO_SPACE, min(number, _MAX_SPACE)) if isinstance(number, int) else _NO_SPACE
