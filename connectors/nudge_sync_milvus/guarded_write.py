from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymilvus.grpc_gen import milvus_pb2

from nudge_sync.connector import Float32, PointId, Points, WriteReport
from nudge_sync.errors import InputError, UnsupportedCollection, WriteNotVerified
from nudge_sync_milvus.client import Wire
from nudge_sync_milvus.columns import alike, key_column, sendable, vector_column, vectors_of
from nudge_sync_milvus.errors import MessageTooLarge
from nudge_sync_milvus.layout import Layout
from nudge_sync_milvus.query import Rows, Table, by_keys

ROWS_AT_ONCE = 2_000
"""Keeps the time between a chunk's compare and its upsert well under a second."""
CHUNKS_AT_ONCE = 2
PARTITIONS_AT_ONCE = 8
ROW_ROOM = 2_048
"""Bytes assumed for what a row holds beside its vectors, until the answer shows its size."""
NAMED_AT_MOST = 5
VANISHED_AT_MOST = 50
"""Rows of a chunk that may be gone after their upsert, if they are more than half of it."""


@dataclass(frozen=True, slots=True)
class Change:
    """What one chunk wants: for each id the vector it should hold, and the one it held, (n, d)."""

    ids: list[PointId]
    new: Float32
    old: Float32
    place: dict[PointId, int] = field(init=False)

    def __post_init__(self) -> None:
        places = {key: row for row, key in enumerate(self.ids)}
        object.__setattr__(self, "place", places)

    def wanted(self, keys: Sequence[PointId]) -> Float32:
        """The new vectors of these ids."""
        return self.new[[self.place[key] for key in keys]]

    def compared(self, rows: Rows, vector: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which of `rows` hold the new vector, and which the old one, bit for bit."""
        order = [self.place[key] for key in rows.keys]
        stored, valid = vectors_of(rows.columns[vector])
        return _same(stored, self.new[order]) & valid, _same(stored, self.old[order]) & valid


class Rewrite:
    """One `Collection.write`: compares, upserts and reads back, chunk by chunk."""

    def __init__(self, wire: Wire, shape: Layout, *, partial: bool, request_bytes: int) -> None:
        self._wire = wire
        self._shape = shape
        self._partial = partial
        self._request_bytes = request_bytes
        self._table = Table(shape.collection, shape.key, shape.integer_keys)
        self._fields = [shape.vector] if partial else ["*"]
        self._beside = [] if partial else [name for name in shape.fields if name != shape.vector]
        self.at_once = max(1, min(ROWS_AT_ONCE, request_bytes // (shape.row_bytes + ROW_ROOM)))

    def chunks(self, changes: Sequence[Change]) -> list[WriteReport]:
        """What became of each chunk."""
        # Milvus Lite is not safe against itself. On a server chunks wait for its clock together.
        with ThreadPoolExecutor(1 if self._wire.lite else CHUNKS_AT_ONCE) as pool:
            return list(pool.map(self.chunk, changes))

    def chunk(self, change: Change) -> WriteReport:
        """What became of these rows. At most `at_once` of them."""
        report = WriteReport()
        homes = self._live(change.ids)
        seen = Counter(key for _, live in homes for key in live.keys)
        report.missing.extend(key for key in change.ids if key not in seen)
        report.drifted.extend(key for key, times in seen.items() if times > 1)
        todo = [(partition, self._due(live, change, report)) for partition, live in homes]
        todo = [(partition, live) for partition, live in todo if len(live)]
        moments = [
            self._upsert(partition, live, change.wanted(live.keys)) for partition, live in todo
        ]
        if todo:
            self._verify([live for _, live in todo], change, max(moments), report)
        for told in (report.written, report.drifted, report.missing):
            told.sort(key=change.place.__getitem__)
        return report

    def _live(self, ids: Sequence[PointId]) -> list[tuple[str, Rows]]:
        """The rows as they are now, each part with the partition it lives in."""

        def rows_in(partition: str) -> list[tuple[str, Rows]]:
            parts = by_keys(
                self._wire, self._table, ids, self._fields, at_once=len(ids), partition=partition
            )
            return [(partition, live) for live in parts if len(live)]

        partitions = self._shape.partitions
        # Each answer waits for the server's clock to tick: together they wait once.
        with ThreadPoolExecutor(min(len(partitions), PARTITIONS_AT_ONCE)) as pool:
            found = [part for parts in pool.map(rows_in, partitions) for part in parts]
        for _, live in found:
            self._check_fields(live)
        return found

    def _check_fields(self, live: Rows) -> None:
        unread = set(self._beside) - set(live.columns)
        if unread:
            raise UnsupportedCollection(
                f'collection "{self._shape.name}": Milvus does not give back '
                f"{', '.join(map(repr, sorted(unread)))}, which an upsert has to carry; "
                "Milvus 2.6.2 and later can write the vector alone"
            )

    def _due(self, live: Rows, change: Change, report: WriteReport) -> Rows:
        """The rows of `live` to be written; the others go to the report."""
        done, due = change.compared(live, self._shape.vector)
        _, valid = vectors_of(live.columns[self._shape.vector])
        twice = set(report.drifted)
        rows = []
        for row, key in enumerate(live.keys):
            if key in twice:
                continue
            if done[row]:
                report.written.append(key)
            elif due[row]:
                rows.append(row)
            else:
                (report.drifted if valid[row] else report.missing).append(key)
        return live.only(rows)

    def _upsert(self, partition: str, live: Rows, vectors: Float32) -> int:
        """The upsert's timestamp. Halved where it is too large for one message."""
        request = self._request(partition, live, vectors)
        if request.ByteSize() <= self._request_bytes or len(live) == 1:
            try:
                answer = self._wire.call("Upsert", request)
            except MessageTooLarge:
                if len(live) == 1:
                    raise
            else:
                self._refuse_partly(answer, live)
                return int(answer.timestamp)
        half = len(live) // 2
        first, second = live.only(range(half)), live.only(range(half, len(live)))
        before = self._upsert(partition, first, vectors[:half])
        return max(before, self._upsert(partition, second, vectors[half:]))

    def _refuse_partly(self, answer: Any, live: Rows) -> None:
        """Raise WriteNotVerified where the server took fewer rows than it was sent, and lost some.

        A Milvus 3.0 on tiered storage did, said success, and had deleted the others (issue 49217).
        """
        if int(answer.upsert_cnt) == len(live):
            return
        moment = int(answer.timestamp)
        parts = by_keys(self._wire, self._table, live.keys, [], at_once=len(live), since=moment)
        gone = set(live.keys).difference(*(part.keys for part in parts))
        if gone:
            what = f"are gone: the server took {int(answer.upsert_cnt)} of {len(live)} rows"
            raise WriteNotVerified(self._complaint(gone, what))

    def _request(self, partition: str, live: Rows, vectors: Float32) -> Any:
        request = milvus_pb2.UpsertRequest(
            collection_name=self._shape.collection,
            partition_name=partition,
            num_rows=len(live),
            schema_timestamp=self._shape.changed,
        )
        if self._partial:
            request.partial_update = True
            request.fields_data.append(key_column(self._shape.key, live.keys))
        for name in self._beside:
            request.fields_data.append(sendable(live.columns[name], len(live)))
        request.fields_data.append(vector_column(self._shape.vector, vectors))
        return request

    def _verify(
        self, sent: Sequence[Rows], change: Change, moment: int, report: WriteReport
    ) -> None:
        keys = [key for live in sent for key in live.keys]
        unchanged: set[PointId] = set()
        found: set[PointId] = set()
        for back in by_keys(
            self._wire, self._table, keys, self._fields, at_once=len(keys), since=moment
        ):
            done, undone = change.compared(back, self._shape.vector)
            found.update(back.keys)
            unchanged.update(key for row, key in enumerate(back.keys) if undone[row])
            written = {key: row for row, key in enumerate(back.keys) if done[row]}
            self._check_beside(sent, back, written)
            report.written.extend(written)
            report.drifted.extend(
                key for key in back.keys if key not in written and key not in unchanged
            )
        gone = [key for key in keys if key not in found]
        if len(gone) >= VANISHED_AT_MOST and 2 * len(gone) > len(keys):
            # Not an application that deletes a document: stop before the next chunk goes too.
            raise WriteNotVerified(self._complaint(gone, "are gone"))
        report.missing.extend(gone)
        if unchanged:
            raise WriteNotVerified(self._complaint(unchanged, "still hold their old vectors"))

    def _check_beside(self, sent: Sequence[Rows], back: Rows, written: dict[PointId, int]) -> None:
        """Raise WriteNotVerified where a field beside the vector is not what was read before."""
        for live in sent:
            before = [row for row, key in enumerate(live.keys) if key in written]
            after = [written[live.keys[row]] for row in before]
            for name in self._beside:
                if not alike(live.columns[name], before, back.columns[name], after):
                    keys = [live.keys[row] for row in before]
                    raise WriteNotVerified(self._complaint(keys, f'differ in field "{name}"'))

    def _complaint(self, keys: Sequence[PointId] | set[PointId], what: str) -> str:
        shown = ", ".join(repr(key)[:80] for key in list(keys)[:NAMED_AT_MOST])
        more = f" and {len(keys) - NAMED_AT_MOST} more" if len(keys) > NAMED_AT_MOST else ""
        return f'collection "{self._shape.name}": after the write, {shown}{more} {what}'


def checked(points: Points, expected: Float32, dimension: int) -> None:
    """Raise InputError for rows that must not be written at all."""
    shape = (len(points.ids), dimension)
    if points.vectors.shape != shape or expected.shape != shape:
        raise InputError(
            f"expected vectors of shape {shape}, got {points.vectors.shape} and {expected.shape}"
        )
    if not np.isfinite(points.vectors).all():
        raise InputError("a vector to be written is not finite; nothing was written")
    if len(set(points.ids)) != len(points.ids):
        raise InputError("an id is there twice; nothing was written")


def _same(left: Float32, right: Float32) -> NDArray[np.bool_]:
    """Which rows are equal bit for bit."""
    ours = np.ascontiguousarray(left, dtype="<f4").view(np.uint32)
    theirs = np.ascontiguousarray(right, dtype="<f4").view(np.uint32)
    return np.asarray((ours == theirs).all(axis=1))
