"""The upserts of `MilvusCollection.write`: rows are compared, written and read back in chunks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymilvus.grpc_gen import milvus_pb2

from nudge_sync.connector import (
    Float32,
    PointId,
    Points,
    WriteReport,
    merge_reports,
)
from nudge_sync.errors import UnsupportedCollection, WriteNotVerified
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
from nudge_sync_milvus.query import FetchedRows, compute_row_limit, read_rows, to_ref
from nudge_sync_milvus.write_chunk import WriteChunk

_WRITE_BATCH_ROWS = 1_000
"""Keeps the time between a chunk's compare and its upsert well under a second."""
_PARALLEL_CHUNKS = 2
"""Chunks of one call that a server works on at once."""
_PARALLEL_PARTITIONS = 8
"""Partitions that are read at once."""
_ROW_OVERHEAD_BYTES = 2_048
"""Bytes assumed for what a row holds beside its vectors, until the answer shows its size."""
_MAX_NAMED_KEYS = 5
"""Keys that a message names."""
_MAX_VANISHED_ROWS = 50
"""Rows of a chunk that may be gone after their upsert, if they are more than half of it."""


class GuardedWrite:
    """Writes to one vector of a collection; see `MilvusCollection` for the window."""

    def __init__(
        self, connection: Connection, layout: Layout, *, partial_update: bool, request_bytes: int
    ) -> None:
        self._connection = connection
        self._layout = layout
        self._partial_update = partial_update
        self._request_bytes = request_bytes
        self._ref = to_ref(layout)
        self._fields = [layout.vector] if partial_update else ["*"]
        self._other_fields = (
            [] if partial_update else [name for name in layout.fields if name != layout.vector]
        )

    def write(self, points: Points, expected: Float32) -> WriteReport:
        """Write rows that have been checked, a chunk at a time, and report on each."""
        is_possible = [self._layout.is_possible_id(key) for key in points.ids]
        rows = np.flatnonzero(is_possible)
        impossible_ids = [
            key for key, possible in zip(points.ids, is_possible, strict=True) if not possible
        ]
        row_limit = compute_row_limit(
            self._layout.min_row_bytes + _ROW_OVERHEAD_BYTES,
            self._request_bytes,
            _WRITE_BATCH_ROWS,
        )
        # One row first where the server might give it another key.
        heads, rows = np.split(rows, [1 if self._layout.auto_id else 0])
        first, *chunks = [
            WriteChunk([points.ids[row] for row in run], points.vectors[run], expected[run])
            for run in (
                heads,
                *(rows[start : start + row_limit] for start in range(0, len(rows), row_limit)),
            )
        ]
        reports = [WriteReport(missing=impossible_ids)]
        if first.ids:
            reports.append(self._write_chunk(first))
        # Milvus Lite is not safe against itself. On a server chunks wait for its clock together.
        with ThreadPoolExecutor(1 if self._connection.is_lite else _PARALLEL_CHUNKS) as pool:
            reports += pool.map(self._write_chunk, chunks)
        return merge_reports(reports)

    def _write_chunk(self, chunk: WriteChunk) -> WriteReport:
        with self._connection.windows:
            sent, timestamp, report = self._upsert_pending(chunk)
        reports = [report]
        if sent:
            reports.append(self._verify(sent, chunk, timestamp))
        return chunk.sort_report(merge_reports(reports))

    def _upsert_pending(self, chunk: WriteChunk) -> tuple[list[FetchedRows], int, WriteReport]:
        """Compare the rows, and upsert those that may be.

        Returns the rows that were sent, as they were before; the timestamp from which on a read
        sees all of them; and a report on the others.
        """
        live_parts = self._read_live(chunk.ids)
        key_counts = Counter(key for _, live in live_parts for key in live.keys)
        duplicate_keys = {key for key, count in key_counts.items() if count > 1}
        absent_keys = [key for key in chunk.ids if key not in key_counts]
        reports = [WriteReport(drifted=list(duplicate_keys), missing=absent_keys)]
        pending_parts = []
        for partition, live in live_parts:
            pending, report = self._select_pending(live, chunk, duplicate_keys)
            reports.append(report)
            if len(pending):
                pending_parts.append((partition, pending))
        timestamps = [
            self._upsert(partition, pending, chunk.select_new_vectors(pending.keys))
            for partition, pending in pending_parts
        ]
        sent = [pending for _, pending in pending_parts]
        return sent, max(timestamps, default=0), merge_reports(reports)

    def _read_live(self, ids: Sequence[PointId]) -> list[tuple[str, FetchedRows]]:
        """Return the rows as they are now, each part with the partition that it was read from."""

        def read_partition(partition: str) -> list[tuple[str, FetchedRows]]:
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
            live_parts = [part for parts in pool.map(read_partition, partitions) for part in parts]
        for _, live in live_parts:
            self._refuse_unread_fields(live)
        return live_parts

    def _refuse_unread_fields(self, live: FetchedRows) -> None:
        unread_fields = set(self._other_fields) - set(live.columns)
        if unread_fields:
            raise UnsupportedCollection(
                f'collection "{self._layout.name}": Milvus does not give back '
                f"{', '.join(map(repr, sorted(unread_fields)))}, which an upsert has to carry; "
                "Milvus 2.6.2 and later can write the vector alone"
            )

    def _select_pending(
        self, live: FetchedRows, chunk: WriteChunk, duplicate_keys: set[PointId]
    ) -> tuple[FetchedRows, WriteReport]:
        """Return the rows of `live` that are to be written, and a report on the others."""
        is_written, is_pending = chunk.compare_rows(live, self._layout.vector)
        _, valid = extract_vectors(live.columns[self._layout.vector])
        report = WriteReport()
        pending_rows = []
        for row, key in enumerate(live.keys):
            if key in duplicate_keys:
                continue
            if is_written[row]:
                report.written.append(key)
            elif is_pending[row]:
                pending_rows.append(row)
            else:
                (report.drifted if valid[row] else report.missing).append(key)
        return live.select(pending_rows), report

    def _upsert(self, partition: str, live: FetchedRows, vectors: Float32) -> int:
        """Upsert the rows, halved where they are too large for one message.

        Returns the timestamp from which on a read sees all of it.
        """
        request = self._build_request(partition, live, vectors)
        if request.ByteSize() <= self._request_bytes or len(live) == 1:
            try:
                answer = self._connection.call("Upsert", request)
            except MessageTooLarge:
                if len(live) == 1:
                    raise
            else:
                self._refuse_new_keys(answer, live)
                self._refuse_partial_upsert(answer, live)
                return int(answer.timestamp)
        half = len(live) // 2
        first, second = live.select(range(half)), live.select(range(half, len(live)))
        first_timestamp = self._upsert(partition, first, vectors[:half])
        return max(first_timestamp, self._upsert(partition, second, vectors[half:]))

    def _refuse_new_keys(self, answer: Any, live: FetchedRows) -> None:
        """Raise WriteNotVerified where the server gave rows other keys than they had."""
        if not self._layout.auto_id:
            return
        ids = answer.IDs
        kept_keys = set(ids.int_id.data if self._layout.integer_keys else ids.str_id.data)
        if lost_keys := set(live.keys) - kept_keys:
            complaint = "have other keys, which the server made (auto_id); nothing more was written"
            raise WriteNotVerified(self._format_complaint(lost_keys, complaint))

    def _refuse_partial_upsert(self, answer: Any, live: FetchedRows) -> None:
        """Raise WriteNotVerified where the server took fewer rows than it was sent, and lost some.

        A Milvus 3.0 on tiered storage did, said success, and had deleted the others (issue 49217).
        """
        if int(answer.upsert_cnt) == len(live):
            return
        parts = read_rows(
            self._connection,
            self._ref,
            live.keys,
            [],
            row_limit=len(live),
            guarantee_timestamp=int(answer.timestamp),
        )
        lost_keys = set(live.keys).difference(*(part.keys for part in parts))
        if lost_keys:
            complaint = f"are gone: the server took {int(answer.upsert_cnt)} of {len(live)} rows"
            raise WriteNotVerified(self._format_complaint(lost_keys, complaint))

    def _build_request(self, partition: str, live: FetchedRows, vectors: Float32) -> Any:
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
        self, sent: Sequence[FetchedRows], chunk: WriteChunk, timestamp: int
    ) -> WriteReport:
        """Read back what was sent, and report on it.

        Raises WriteNotVerified where rows still hold their old vector, where another field of
        theirs changed, or where most of them are gone.
        """
        keys = [key for live in sent for key in live.keys]
        report, unchanged_keys = self._read_back(sent, chunk, keys, timestamp)
        if unchanged_keys:
            # A busy server has been seen to answer as of before the upsert. A Strong read waits
            # for all that was written until it is asked, and has the last word.
            later, unchanged_keys = self._read_back(sent, chunk, unchanged_keys, 0)
            report = merge_reports([report, later])
        if len(report.missing) >= _MAX_VANISHED_ROWS and 2 * len(report.missing) > len(keys):
            # Not an application that deletes a document: stop before the next chunk goes too.
            raise WriteNotVerified(self._format_complaint(report.missing, "are gone"))
        if unchanged_keys:
            raise WriteNotVerified(
                self._format_complaint(unchanged_keys, "still hold their old vectors")
            )
        return report

    def _read_back(
        self,
        sent: Sequence[FetchedRows],
        chunk: WriteChunk,
        keys: list[PointId],
        timestamp: int,
    ) -> tuple[WriteReport, list[PointId]]:
        """Return what became of these keys, and those that still hold their old vector.

        timestamp: see `Connection.query`. Raises WriteNotVerified where another field changed.
        """
        reports, present_keys, unchanged_keys = [], set(), []
        for rows in read_rows(
            self._connection,
            self._ref,
            keys,
            self._fields,
            row_limit=len(keys),
            guarantee_timestamp=timestamp,
        ):
            is_written, is_unchanged = chunk.compare_rows(rows, self._layout.vector)
            written_keys = _select_keys(rows, is_written)
            present_keys.update(rows.keys)
            unchanged_keys += _select_keys(rows, is_unchanged & ~is_written)
            drifted_keys = _select_keys(rows, ~(is_written | is_unchanged))
            self._refuse_changed_fields(sent, rows, set(written_keys))
            reports.append(WriteReport(written=written_keys, drifted=drifted_keys))
        vanished_keys = [key for key in keys if key not in present_keys]
        return merge_reports([*reports, WriteReport(missing=vanished_keys)]), unchanged_keys

    def _refuse_changed_fields(
        self, sent: Sequence[FetchedRows], read_back: FetchedRows, written_keys: set[PointId]
    ) -> None:
        """Raise WriteNotVerified where a field beside the vector is not what was read before."""
        read_back_row_by_key = {key: row for row, key in enumerate(read_back.keys)}
        for live in sent:
            sent_rows = [row for row, key in enumerate(live.keys) if key in written_keys]
            read_back_rows = [read_back_row_by_key[live.keys[row]] for row in sent_rows]
            for name in self._other_fields:
                if not is_same_data(
                    live.columns[name], sent_rows, read_back.columns[name], read_back_rows
                ):
                    keys = [live.keys[row] for row in sent_rows]
                    raise WriteNotVerified(
                        self._format_complaint(keys, f'differ in field "{name}"')
                    )

    def _format_complaint(self, keys: Collection[PointId], complaint: str) -> str:
        named_keys = ", ".join(repr(key)[:80] for key in list(keys)[:_MAX_NAMED_KEYS])
        more = f" and {len(keys) - _MAX_NAMED_KEYS} more" if len(keys) > _MAX_NAMED_KEYS else ""
        return f'collection "{self._layout.name}": after the write, {named_keys}{more} {complaint}'


def _select_keys(rows: FetchedRows, chosen: NDArray[np.bool_]) -> list[PointId]:
    return [key for key, is_chosen in zip(rows.keys, chosen, strict=True) if is_chosen]
