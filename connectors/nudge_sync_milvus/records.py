from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any, TypeVar

import numpy as np
from pymilvus.grpc_gen import milvus_pb2, schema_pb2

from nudge_sync.connector import Record, Where
from nudge_sync.errors import CollectionNotFound, InputError
from nudge_sync_milvus.client import Connection
from nudge_sync_milvus.columns import build_vector_column, extract_vectors
from nudge_sync_milvus.create import FieldSchema, LoadState, ensure_collection, get_load_state
from nudge_sync_milvus.errors import CollectionNotLoaded, MessageTooLarge
from nudge_sync_milvus.filters import build_keys_filter, format_literal, join_filters
from nudge_sync_milvus.lite import SWAP_LOCK
from nudge_sync_milvus.query import (
    MAX_QUERY_ROWS,
    CollectionRef,
    Rows,
    parse_rows,
    read_rows,
    scan_rows,
)
from nudge_sync_milvus.record_codec import (
    INDEX_FIELD,
    KEY_FIELD,
    MAX_TEXT_BYTES,
    MIN_DIMENSION,
    TEXT_FIELDS,
    VECTOR_FIELD,
    Entry,
    build_filter,
    decode_record,
    encode_index,
    encode_record,
    encode_vector,
    hash_key,
    is_exact_filter,
    is_match,
)

_MAX_KEY_BYTES = 160
_MAX_REQUEST_ROWS = 1_000
_CLAIM_MARKER = "~"
"""Sorts after every digest: claims stay out of scans and counts."""
_CLAIM_TTL_SECONDS = 60.0
_ROW_OVERHEAD_BYTES = 4_096
T = TypeVar("T")
_RECORDS_FILTER = f'{KEY_FIELD} < "{_CLAIM_MARKER}"'


class MilvusRecords:
    """The sidecar's own records in one Milvus collection: one row each, of one shard.

    The primary key is the SHA-256 of a record's key, so that no key can break a filter; the record
    itself is JSON text over up to 8 VARCHAR columns, compressed where it is long. The fields that
    filters name stand beside it as JSON: numbers as doubles, strings as digests.

    **`swap` is not one step.** Milvus has no conditional write. A swap inserts a claim of its own
    for the key, then reads the record and all claims at once (Strong); it goes on only if its own
    claim is alone and the generation is the expected one, writes, and removes its claim. As the one
    shard orders all writes, of two swaps at least one sees the other's claim: never do both
    succeed, and both may fail, changing nothing. A claim that a crash left behind is ignored after
    60 seconds by the clocks of the machines. What is not guaranteed: a process that stops between
    its last look at the clock and its write, until more than 60 seconds after its claim, overwrites
    what another one swapped in meanwhile; so does one whose clock is that far off. A plain `put`
    is not held up by claims.
    """

    def __init__(
        self,
        connection: Connection,
        name: str,
        dimension: int,
        indexed: Sequence[str],
        *,
        request_bytes: int,
    ) -> None:
        self._connection = connection
        self._name = name
        self._dimension = dimension
        self._indexed = tuple(indexed)
        self._request_bytes = request_bytes
        self._ref = CollectionRef(name, KEY_FIELD, integer_keys=False)

    def put(self, records: Sequence[Record]) -> None:
        """See the contract."""
        if not records:
            return
        latest = {self._check_record(record).key: record for record in records}
        entries = [Entry(record, "") for record in latest.values()]
        keys = [hash_key(key) for key in latest]
        for start in range(0, len(entries), _MAX_REQUEST_ROWS):
            stop = start + _MAX_REQUEST_ROWS
            self._store(keys[start:stop], entries[start:stop])

    def swap(self, record: Record, expected: int | None) -> bool:
        """See the contract, and the class."""
        self._check_record(record)
        with SWAP_LOCK if self._connection.is_lite else nullcontext():
            return self._swap(record, expected)

    def _swap(self, record: Record, expected: int | None) -> bool:
        key = hash_key(record.key)
        if not self._can_swap(key, "", expected):
            return False
        nonce = secrets.token_hex(8)
        claim = f"{_CLAIM_MARKER}{key}:{nonce}"
        started = time.monotonic()
        self._store([claim], [Entry(Record(claim, {"at": time.time()}), nonce)])
        try:
            may_write = self._can_swap(key, claim, expected)
            if not may_write or time.monotonic() - started > _CLAIM_TTL_SECONDS:
                return False
            self._store([key], [Entry(record, nonce)])
        finally:
            self._remove([claim])
        return time.monotonic() - started < _CLAIM_TTL_SECONDS or self._has_nonce(key, nonce)

    def get(self, keys: Sequence[str], *, vectors: bool = True) -> list[Record]:
        """See the contract."""
        digest_by_key = {key: hash_key(key) for key in keys}
        record_by_digest = {
            digest: entry.record
            for rows in self._read_rows(
                list(dict.fromkeys(digest_by_key.values())), vectors=vectors
            )
            for digest, entry in self._decode_rows(rows)
        }
        return [
            record_by_digest[digest_by_key[key]]
            for key in keys
            if digest_by_key[key] in record_by_digest
        ]

    def scan(
        self, where: Where | None = None, *, vectors: bool = True, batch_size: int = 1000
    ) -> Iterator[list[Record]]:
        """See the contract."""
        condition = dict(where or {})
        filter_ = join_filters(_RECORDS_FILTER, build_filter(condition, self._indexed))
        fields = self._list_fields(vectors=vectors)
        row_limit = self._compute_row_limit(vectors=vectors)
        if not self._ensure_loaded():
            return
        for rows in scan_rows(
            self._connection, self._ref, fields, row_limit=row_limit, where=filter_
        ):
            records = [entry.record for _, entry in self._decode_rows(rows)]
            matching = [record for record in records if is_match(record.document, condition)]
            yield from (
                matching[start : start + batch_size]
                for start in range(0, len(matching), batch_size)
            )

    def delete(self, keys: Sequence[str]) -> None:
        """See the contract."""
        digests = [hash_key(key) for key in keys]
        for start in range(0, len(digests), _MAX_REQUEST_ROWS):
            try:
                self._remove(digests[start : start + _MAX_REQUEST_ROWS])
            except CollectionNotFound:
                return

    def count(self, where: Where | None = None) -> int:
        """See the contract."""
        condition = dict(where or {})
        if not is_exact_filter(condition, self._indexed):
            return sum(len(batch) for batch in self.scan(condition, vectors=False))
        filter_ = join_filters(_RECORDS_FILTER, build_filter(condition, self._indexed))
        return self._read_loaded(lambda: self._connection.count(self._name, filter_), 0)

    def drop(self) -> None:
        """See the contract."""
        try:
            request = milvus_pb2.DropCollectionRequest(collection_name=self._name)
            self._connection.call("DropCollection", request)
        except CollectionNotFound:
            return

    def _check_record(self, record: Record) -> Record:
        if not record.key:
            raise InputError("a record's key is empty")
        encode_record(record)
        encode_vector(record, self._dimension)
        return record

    def _ensure_collection(self) -> None:
        fields = [
            FieldSchema(
                KEY_FIELD, schema_pb2.DataType.VarChar, {"max_length": str(_MAX_KEY_BYTES)}
            ),
            FieldSchema(
                VECTOR_FIELD,
                schema_pb2.DataType.FloatVector,
                {"dim": str(max(self._dimension, MIN_DIMENSION))},
            ),
            FieldSchema(INDEX_FIELD, schema_pb2.DataType.JSON),
            *(
                FieldSchema(name, schema_pb2.DataType.VarChar, {"max_length": str(MAX_TEXT_BYTES)})
                for name in TEXT_FIELDS
            ),
        ]
        index = {"index_type": "FLAT", "metric_type": "IP"}
        ensure_collection(self._connection, self._name, fields, index)

    def _store(self, keys: list[str], entries: list[Entry]) -> None:
        request = self._build_request(keys, entries)
        if request.ByteSize() <= self._request_bytes or len(keys) == 1:
            try:
                self._upsert(request)
            except MessageTooLarge:
                if len(keys) == 1:
                    raise
            else:
                return
        half = len(keys) // 2
        self._store(keys[:half], entries[:half])
        self._store(keys[half:], entries[half:])

    def _build_request(self, keys: list[str], entries: list[Entry]) -> Any:
        texts = [encode_record(entry.record, entry.nonce) for entry in entries]
        vectors = np.array([encode_vector(entry.record, self._dimension) for entry in entries])
        columns = [
            _build_text_column(KEY_FIELD, keys),
            build_vector_column(VECTOR_FIELD, vectors),
            _build_json_column(
                INDEX_FIELD,
                [encode_index(entry.record.document, self._indexed) for entry in entries],
            ),
            *(
                _build_text_column(name, [row[place] for row in texts])
                for place, name in enumerate(TEXT_FIELDS)
            ),
        ]
        return milvus_pb2.UpsertRequest(
            collection_name=self._name, num_rows=len(keys), fields_data=columns
        )

    def _upsert(self, request: Any) -> None:
        try:
            self._connection.call("Upsert", request)
        except CollectionNotFound:
            self._ensure_collection()
            self._connection.call("Upsert", request)

    def _remove(self, keys: Sequence[str]) -> None:
        request = milvus_pb2.DeleteRequest(
            collection_name=self._name, expr=build_keys_filter(KEY_FIELD, keys)
        )
        self._connection.call("Delete", request)

    def _can_swap(self, key: str, claim: str, expected: int | None) -> bool:
        """Whether the stored generation is the expected one, and nobody else claims the key."""
        claim_stem = f"{_CLAIM_MARKER}{key}"
        filter_ = (
            f"{KEY_FIELD} == {format_literal(key)} or "
            f"({KEY_FIELD} > {format_literal(claim_stem + ':')} and {KEY_FIELD} < "
            f"{format_literal(claim_stem + ';')})"
        )
        generation, stale_claims = None, []
        for row_key, entry in self._find_entries(filter_):
            if row_key == key:
                generation = entry.record.document.get("generation")
            elif time.time() - float(entry.record.document["at"]) > _CLAIM_TTL_SECONDS:
                stale_claims.append(row_key)
            elif row_key != claim:
                return False
        if stale_claims:
            self._remove(stale_claims)
        return bool(generation == expected)

    def _has_nonce(self, key: str, nonce: str) -> bool:
        return any(
            entry.nonce == nonce
            for _, entry in self._find_entries(build_keys_filter(KEY_FIELD, [key]))
        )

    def _find_entries(self, filter_: str) -> list[tuple[str, Entry]]:
        answer = self._read_loaded(
            lambda: self._connection.query(self._name, filter_, self._list_fields(vectors=False)),
            None,
        )
        return [] if answer is None else list(self._decode_rows(parse_rows(self._ref, answer)))

    def _read_rows(self, keys: list[str], *, vectors: bool) -> list[Rows]:
        def read() -> list[Rows]:
            fields, row_limit = (
                self._list_fields(vectors=vectors),
                self._compute_row_limit(vectors=vectors),
            )
            return list(read_rows(self._connection, self._ref, keys, fields, row_limit=row_limit))

        nothing: list[Rows] = []
        return self._read_loaded(read, nothing)

    def _read_loaded(self, read: Callable[[], T], default: T) -> T:
        """What `read` gives, after loading the collection if need be; `nothing` without one."""
        try:
            return read()
        except CollectionNotFound:
            return default
        except CollectionNotLoaded:
            self._ensure_collection()
        return read()

    def _ensure_loaded(self) -> bool:
        state = get_load_state(self._connection, self._name)
        if state == LoadState.LoadStateNotExist:
            return False
        if state != LoadState.LoadStateLoaded:
            self._ensure_collection()
        return True

    def _list_fields(self, *, vectors: bool) -> list[str]:
        return [*TEXT_FIELDS, VECTOR_FIELD] if vectors and self._dimension else [*TEXT_FIELDS]

    def _compute_row_limit(self, *, vectors: bool) -> int:
        vector_bytes = 4 * self._dimension if vectors else 0
        return max(
            1, min(MAX_QUERY_ROWS, self._request_bytes // (vector_bytes + _ROW_OVERHEAD_BYTES))
        )

    def _decode_rows(self, rows: Rows) -> Iterator[tuple[str, Entry]]:
        texts = (
            [rows.columns[name].scalars.string_data.data for name in TEXT_FIELDS]
            if rows.keys
            else []
        )
        column = rows.columns.get(VECTOR_FIELD)
        vectors = extract_vectors(column)[0] if column is not None and rows.keys else None
        for row, key in enumerate(rows.keys):
            vector = vectors[row] if vectors is not None else None
            yield str(key), decode_record([text[row] for text in texts], vector, self._dimension)


def _build_text_column(name: str, values: Sequence[str]) -> Any:
    column = schema_pb2.FieldData(field_name=name, type=schema_pb2.DataType.VarChar)
    column.scalars.string_data.data.extend(values)
    return column


def _build_json_column(name: str, values: Sequence[bytes]) -> Any:
    column = schema_pb2.FieldData(field_name=name, type=schema_pb2.DataType.JSON)
    column.scalars.json_data.data.extend(values)
    return column
