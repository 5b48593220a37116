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
from nudge_sync_milvus.client import Connection
from nudge_sync_milvus.columns import (
    build_key_column,
    build_vector_column,
    extract_vectors,
    is_same_data,
    to_request_column,
)
from nudge_sync_milvus.errors import MessageTooLarge
from nudge_sync_milvus.layout import Layout
from nudge_sync_milvus.query import CollectionRef, Rows, read_rows

_WRITE_BATCH_ROWS = 2_000
"""Keeps the time between a chunk's compare and its upsert well under a second."""
_PARALLEL_CHUNKS = 2
_PARALLEL_PARTITIONS = 8
_ROW_OVERHEAD_BYTES = 2_048
"""Bytes assumed for what a row holds beside its vectors, until the answer shows its size."""
_MAX_NAMED_KEYS = 5
_MAX_VANISHED_ROWS = 50
"""Rows of a chunk that may be gone after their upsert, if they are more than half of it."""


@dataclass(frozen=True, slots=True)
class WriteChunk:
    """What one chunk wants: for each id the vector it should hold, and the one it held, (n, d)."""

    ids: list[PointId]
    new_vectors: Float32
    expected: Float32
    row_by_id: dict[PointId, int] = field(init=False)

    def __post_init__(self) -> None:
        row_by_id = {key: row for row, key in enumerate(self.ids)}
        object.__setattr__(self, "row_by_id", row_by_id)

    def select_new_vectors(self, ids: Sequence[PointId]) -> Float32:
        """The new vectors of these ids."""
        return self.new_vectors[[self.row_by_id[key] for key in ids]]

    def compare_rows(self, rows: Rows, vector: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Which of `rows` hold the new vector, and which the old one, bit for bit."""
        change_rows = [self.row_by_id[key] for key in rows.keys]
        live, valid = extract_vectors(rows.columns[vector])
        return _is_same_vector(live, self.new_vectors[change_rows]) & valid, _is_same_vector(
            live, self.expected[change_rows]
        ) & valid


class GuardedWrite:
    """One `Collection.write`: compares, upserts and reads back, chunk by chunk."""

    def __init__(
        self, connection: Connection, layout: Layout, *, partial_update: bool, request_bytes: int
    ) -> None:
        self._connection = connection
        self._layout = layout
        self._partial_update = partial_update
        self._request_bytes = request_bytes
        self._ref = CollectionRef(layout.collection, layout.key_field, layout.integer_keys)
        self._fields = [layout.vector] if partial_update else ["*"]
        self._other_fields = (
            [] if partial_update else [name for name in layout.fields if name != layout.vector]
        )
        self.row_limit = max(
            1, min(_WRITE_BATCH_ROWS, request_bytes // (layout.min_row_bytes + _ROW_OVERHEAD_BYTES))
        )

    def write_chunks(self, chunks: Sequence[WriteChunk]) -> list[WriteReport]:
        """What became of each chunk."""
        # Milvus Lite is not safe against itself. On a server chunks wait for its clock together.
        with ThreadPoolExecutor(1 if self._connection.is_lite else _PARALLEL_CHUNKS) as pool:
            return list(pool.map(self.write_chunk, chunks))

    def write_chunk(self, chunk: WriteChunk) -> WriteReport:
        """What became of these rows. At most `at_once` of them."""
        report = WriteReport()
        live_parts = self._read_live(chunk.ids)
        key_counts = Counter(key for _, live in live_parts for key in live.keys)
        report.missing.extend(key for key in chunk.ids if key not in key_counts)
        report.drifted.extend(key for key, times in key_counts.items() if times > 1)
        pending_parts = [
            (partition, self._select_pending(live, chunk, report)) for partition, live in live_parts
        ]
        pending_parts = [(partition, live) for partition, live in pending_parts if len(live)]
        timestamps = [
            self._upsert(partition, live, chunk.select_new_vectors(live.keys))
            for partition, live in pending_parts
        ]
        if pending_parts:
            self._verify([live for _, live in pending_parts], chunk, max(timestamps), report)
        for outcome_ids in (report.written, report.drifted, report.missing):
            outcome_ids.sort(key=chunk.row_by_id.__getitem__)
        return report

    def _read_live(self, ids: Sequence[PointId]) -> list[tuple[str, Rows]]:
        """The rows as they are now, each part with the partition it lives in."""

        def rows_in(partition: str) -> list[tuple[str, Rows]]:
            parts = read_rows(
                self._connection,
                self._ref,
                ids,
                self._fields,
                row_limit=len(ids),
                partition=partition,
            )
            return [(partition, live) for live in parts if len(live)]

        partitions = self._layout.partitions
        # Each answer waits for the server's clock to tick: together they wait once.
        with ThreadPoolExecutor(min(len(partitions), _PARALLEL_PARTITIONS)) as pool:
            live_parts = [part for parts in pool.map(rows_in, partitions) for part in parts]
        for _, live in live_parts:
            self._check_fields(live)
        return live_parts

    def _check_fields(self, live: Rows) -> None:
        unread_fields = set(self._other_fields) - set(live.columns)
        if unread_fields:
            raise UnsupportedCollection(
                f'collection "{self._layout.name}": Milvus does not give back '
                f"{', '.join(map(repr, sorted(unread_fields)))}, which an upsert has to carry; "
                "Milvus 2.6.2 and later can write the vector alone"
            )

    def _select_pending(self, live: Rows, chunk: WriteChunk, report: WriteReport) -> Rows:
        """The rows of `live` to be written; the others go to the report."""
        is_written, is_pending = chunk.compare_rows(live, self._layout.vector)
        _, valid = extract_vectors(live.columns[self._layout.vector])
        duplicate_keys = set(report.drifted)
        rows = []
        for row, key in enumerate(live.keys):
            if key in duplicate_keys:
                continue
            if is_written[row]:
                report.written.append(key)
            elif is_pending[row]:
                rows.append(row)
            else:
                (report.drifted if valid[row] else report.missing).append(key)
        return live.select(rows)

    def _upsert(self, partition: str, live: Rows, vectors: Float32) -> int:
        """The upsert's timestamp. Halved where it is too large for one message."""
        request = self._build_request(partition, live, vectors)
        if request.ByteSize() <= self._request_bytes or len(live) == 1:
            try:
                answer = self._connection.call("Upsert", request)
            except MessageTooLarge:
                if len(live) == 1:
                    raise
            else:
                self._refuse_partial_upsert(answer, live)
                return int(answer.timestamp)
        half = len(live) // 2
        first, second = live.select(range(half)), live.select(range(half, len(live)))
        first_timestamp = self._upsert(partition, first, vectors[:half])
        return max(first_timestamp, self._upsert(partition, second, vectors[half:]))

    def _refuse_partial_upsert(self, answer: Any, live: Rows) -> None:
        """Raise WriteNotVerified where the server took fewer rows than it was sent, and lost some.

        A Milvus 3.0 on tiered storage did, said success, and had deleted the others (issue 49217).
        """
        if int(answer.upsert_cnt) == len(live):
            return
        timestamp = int(answer.timestamp)
        parts = read_rows(
            self._connection,
            self._ref,
            live.keys,
            [],
            row_limit=len(live),
            guarantee_timestamp=timestamp,
        )
        lost_keys = set(live.keys).difference(*(part.keys for part in parts))
        if lost_keys:
            complaint = f"are gone: the server took {int(answer.upsert_cnt)} of {len(live)} rows"
            raise WriteNotVerified(self._format_complaint(lost_keys, complaint))

    def _build_request(self, partition: str, live: Rows, vectors: Float32) -> Any:
        request = milvus_pb2.UpsertRequest(
            collection_name=self._layout.collection,
            partition_name=partition,
            num_rows=len(live),
            schema_timestamp=self._layout.schema_timestamp,
        )
        if self._partial_update:
            request.partial_update = True
            request.fields_data.append(build_key_column(self._layout.key_field, live.keys))
        for name in self._other_fields:
            request.fields_data.append(to_request_column(live.columns[name], len(live)))
        request.fields_data.append(build_vector_column(self._layout.vector, vectors))
        return request

    def _verify(
        self, sent: Sequence[Rows], chunk: WriteChunk, timestamp: int, report: WriteReport
    ) -> None:
        keys = [key for live in sent for key in live.keys]
        unchanged_keys: set[PointId] = set()
        found_keys: set[PointId] = set()
        for read_back in read_rows(
            self._connection,
            self._ref,
            keys,
            self._fields,
            row_limit=len(keys),
            guarantee_timestamp=timestamp,
        ):
            is_written, is_unchanged = chunk.compare_rows(read_back, self._layout.vector)
            found_keys.update(read_back.keys)
            unchanged_keys.update(
                key for row, key in enumerate(read_back.keys) if is_unchanged[row]
            )
            row_by_written_key = {
                key: row for row, key in enumerate(read_back.keys) if is_written[row]
            }
            self._check_other_fields(sent, read_back, row_by_written_key)
            report.written.extend(row_by_written_key)
            report.drifted.extend(
                key
                for key in read_back.keys
                if key not in row_by_written_key and key not in unchanged_keys
            )
        vanished_keys = [key for key in keys if key not in found_keys]
        if len(vanished_keys) >= _MAX_VANISHED_ROWS and 2 * len(vanished_keys) > len(keys):
            # Not an application that deletes a document: stop before the next chunk goes too.
            raise WriteNotVerified(self._format_complaint(vanished_keys, "are gone"))
        report.missing.extend(vanished_keys)
        if unchanged_keys:
            raise WriteNotVerified(
                self._format_complaint(unchanged_keys, "still hold their old vectors")
            )

    def _check_other_fields(
        self, sent: Sequence[Rows], read_back: Rows, row_by_written_key: dict[PointId, int]
    ) -> None:
        """Raise WriteNotVerified where a field beside the vector is not what was read before."""
        for live in sent:
            sent_rows = [row for row, key in enumerate(live.keys) if key in row_by_written_key]
            read_back_rows = [row_by_written_key[live.keys[row]] for row in sent_rows]
            for name in self._other_fields:
                if not is_same_data(
                    live.columns[name], sent_rows, read_back.columns[name], read_back_rows
                ):
                    keys = [live.keys[row] for row in sent_rows]
                    raise WriteNotVerified(
                        self._format_complaint(keys, f'differ in field "{name}"')
                    )

    def _format_complaint(self, keys: Sequence[PointId] | set[PointId], complaint: str) -> str:
        named_keys = ", ".join(repr(key)[:80] for key in list(keys)[:_MAX_NAMED_KEYS])
        more = f" and {len(keys) - _MAX_NAMED_KEYS} more" if len(keys) > _MAX_NAMED_KEYS else ""
        return f'collection "{self._layout.name}": after the write, {named_keys}{more} {complaint}'


def check_write(points: Points, expected: Float32, dimension: int) -> None:
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


def _is_same_vector(left: Float32, right: Float32) -> NDArray[np.bool_]:
    """Which rows are equal bit for bit."""
    left_bits = np.ascontiguousarray(left, dtype="<f4").view(np.uint32)
    right_bits = np.ascontiguousarray(right, dtype="<f4").view(np.uint32)
    return np.asarray((left_bits == right_bits).all(axis=1))
