"""The sidecar's own records in a collection."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import TypeVar

from pymilvus.grpc_gen import milvus_pb2

from nudge_sync.connector import Record, Where, check_records, has_generation, is_match
from nudge_sync.errors import CollectionNotFound
from nudge_sync_milvus.client import Connection
from nudge_sync_milvus.create import (
    LoadState,
    ensure_records_collection,
    get_load_state,
    read_vector_size,
)
from nudge_sync_milvus.errors import CollectionNotLoaded, MessageTooLarge
from nudge_sync_milvus.filters import build_keys_filter, join_filters
from nudge_sync_milvus.lite import SWAP_LOCK
from nudge_sync_milvus.query import (
    CollectionRef,
    FetchedRows,
    compute_row_limit,
    parse_rows,
    read_rows,
    scan_rows,
)
from nudge_sync_milvus.record_codec import (
    CLAIM_MARKER,
    KEY_FIELD,
    RECORDS_FILTER,
    TEXT_FIELDS,
    VECTOR_FIELD,
    Entry,
    build_claims_filter,
    build_columns,
    build_filter,
    decode_rows,
    encode_record,
    hash_key,
    is_exact_filter,
)
from nudge_sync_milvus.replicas import choose_load_options
from nudge_sync_milvus.settings import MilvusSettings

_MAX_REQUEST_ROWS = 1_000
"""Records of one upsert or delete."""
_CLAIM_TTL_SECONDS = 60.0
"""How long a claim counts, unless it is removed before."""
_ROW_OVERHEAD_BYTES = 4_096
"""Bytes assumed for a record beside its vector; most are shorter."""
_Answer = TypeVar("_Answer")


class MilvusRecords:
    """See `nudge_sync.connector.Records`. One row a record, in a collection of one shard.

    The primary key is the SHA-256 of a record's key, so that no key can break a filter.

    **The window of `swap`.** It is not one step: Milvus has no conditional write. A swap inserts a
    claim of its own for the key, then reads the record and all claims at once (Strong); it goes on
    only if its own claim is alone and the generation is the expected one, writes, and removes its
    claim. As the one shard orders all writes, of two swaps at least one sees the other's claim:
    never do both succeed, and both may fail, changing nothing. A claim that a crash left behind is
    ignored after 60 seconds by the clocks of the machines. What is not guaranteed: a process that
    stops between its last look at the clock and its write, until more than 60 seconds after its
    claim, overwrites what another one swapped in meanwhile; so does one whose clock is that far
    off. A plain `put` is not held up by claims.
    """

    def __init__(
        self,
        connection: Connection,
        name: str,
        dimension: int,
        indexed: Sequence[str],
        *,
        settings: MilvusSettings,
        request_bytes: int,
        beside: str = "",
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._beside = beside
        """The collection that says how this one is loaded; "" for none."""
        self._name = name
        self._dimension = dimension
        self._indexed = tuple(indexed)
        self._request_bytes = request_bytes
        self._vector_size: int | None = None
        """How many numbers the collection's vectors have; None until this handle asked."""
        self._ref = CollectionRef(name, KEY_FIELD, integer_keys=False)

    def put(self, records: Sequence[Record]) -> None:
        """See `Records.put`."""
        if not records:
            return
        latest_records = check_records(records, self._dimension)
        for record in latest_records:
            encode_record(record)  # To refuse all of them before any is stored.
        entries = [Entry(record, "") for record in latest_records]
        keys = [hash_key(record.key) for record in latest_records]
        for start in range(0, len(entries), _MAX_REQUEST_ROWS):
            stop = start + _MAX_REQUEST_ROWS
            self._store(keys[start:stop], entries[start:stop])

    def swap(self, record: Record, expected: int | None) -> bool:
        """See `Records.swap`, and the class for the window."""
        check_records([record], self._dimension)
        encode_record(record)
        with SWAP_LOCK if self._connection.is_lite else nullcontext():
            return self._swap(record, expected)

    def _swap(self, record: Record, expected: int | None) -> bool:
        key = hash_key(record.key)
        if not self._can_swap(key, "", expected):
            return False
        nonce = secrets.token_hex(8)
        claim = f"{CLAIM_MARKER}{key}:{nonce}"
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
        """See `Records.get`."""
        digest_by_key = {key: hash_key(key) for key in keys}
        record_by_digest = {
            digest: entry.record
            for rows in self._read_rows(
                list(dict.fromkeys(digest_by_key.values())), vectors=vectors
            )
            for digest, entry in decode_rows(rows)
        }
        return [
            record_by_digest[digest_by_key[key]]
            for key in keys
            if digest_by_key[key] in record_by_digest
        ]

    def scan(
        self, where: Where | None = None, *, vectors: bool = True, batch_size: int = 1000
    ) -> Iterator[list[Record]]:
        """See `Records.scan`."""
        condition = dict(where or {})
        filter_ = join_filters(RECORDS_FILTER, build_filter(condition, self._indexed))
        fields = self._list_fields(vectors=vectors)
        row_limit = self._compute_row_limit(vectors=vectors)
        if not self._ensure_loaded():
            return
        for rows in scan_rows(
            self._connection, self._ref, fields, row_limit=row_limit, where=filter_
        ):
            records = [entry.record for _, entry in decode_rows(rows)]
            matching = [record for record in records if is_match(record.document, condition)]
            yield from (
                matching[start : start + batch_size]
                for start in range(0, len(matching), batch_size)
            )

    def delete(self, keys: Sequence[str]) -> None:
        """See `Records.delete`."""
        digests = [hash_key(key) for key in keys]
        for start in range(0, len(digests), _MAX_REQUEST_ROWS):
            try:
                self._remove(digests[start : start + _MAX_REQUEST_ROWS])
            except CollectionNotFound:
                return

    def count(self, where: Where | None = None) -> int:
        """See `Records.count`."""
        condition = dict(where or {})
        if not is_exact_filter(condition, self._indexed):
            return sum(len(batch) for batch in self.scan(condition, vectors=False))
        filter_ = join_filters(RECORDS_FILTER, build_filter(condition, self._indexed))
        return self._read_loaded(lambda: self._connection.count(self._name, filter_), 0)

    def drop(self) -> None:
        """See `Records.drop`."""
        self._vector_size = None
        try:
            request = milvus_pb2.DropCollectionRequest(collection_name=self._name)
            self._connection.call("DropCollection", request)
        except CollectionNotFound:
            return

    def _store(self, keys: list[str], entries: list[Entry]) -> None:
        request = self._build_upsert(keys, entries)
        if request.ByteSize() <= self._request_bytes or len(keys) == 1:
            try:
                self._upsert(request, keys, entries)
            except MessageTooLarge:
                if len(keys) == 1:
                    raise
            else:
                return
        half = len(keys) // 2
        self._store(keys[:half], entries[:half])
        self._store(keys[half:], entries[half:])

    def _upsert(
        self, request: milvus_pb2.UpsertRequest, keys: list[str], entries: list[Entry]
    ) -> None:
        try:
            self._connection.call("Upsert", request)
        except CollectionNotFound:
            # Dropped through another handle since this one asked for its vectors' size.
            self._vector_size = None
            self._connection.call("Upsert", self._build_upsert(keys, entries))

    def _build_upsert(self, keys: list[str], entries: list[Entry]) -> milvus_pb2.UpsertRequest:
        return milvus_pb2.UpsertRequest(
            collection_name=self._name,
            num_rows=len(keys),
            fields_data=build_columns(keys, entries, self._require_vector_size(), self._indexed),
        )

    def _require_vector_size(self) -> int:
        """Return how many numbers the collection's vectors have; makes it where there is none."""
        if self._vector_size is None:
            try:
                self._vector_size = read_vector_size(self._connection, self._name)
            except CollectionNotFound:
                self._ensure_collection()
                self._vector_size = read_vector_size(self._connection, self._name)
        return self._vector_size

    def _remove(self, keys: Sequence[str]) -> None:
        request = milvus_pb2.DeleteRequest(
            collection_name=self._name, expr=build_keys_filter(KEY_FIELD, keys)
        )
        self._connection.call("Delete", request)

    def _can_swap(self, key: str, claim: str, expected: int | None) -> bool:
        """Return whether the stored generation is the expected one and nobody else claims the key.

        claim: the claim of this swap itself, if it has one by now.
        """
        stored, stale_claims = [], []
        for row_key, entry in self._find_entries(build_claims_filter(key)):
            if row_key == key:
                stored.append(entry.record)
            elif time.time() - float(entry.record.document["at"]) > _CLAIM_TTL_SECONDS:
                stale_claims.append(row_key)
            elif row_key != claim:
                return False
        if stale_claims:
            self._remove(stale_claims)
        return has_generation(stored, expected)

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
        if answer is None:
            return []
        return list(decode_rows(parse_rows(self._ref, answer)))

    def _read_rows(self, keys: list[str], *, vectors: bool) -> list[FetchedRows]:
        fields = self._list_fields(vectors=vectors)
        row_limit = self._compute_row_limit(vectors=vectors)

        def read() -> list[FetchedRows]:
            return list(read_rows(self._connection, self._ref, keys, fields, row_limit=row_limit))

        no_rows: list[FetchedRows] = []
        return self._read_loaded(read, no_rows)

    def _read_loaded(self, read: Callable[[], _Answer], default: _Answer) -> _Answer:
        """Return what `read` gives, or `default` without a collection; loads it if need be."""
        try:
            return read()
        except CollectionNotFound:
            return default
        except CollectionNotLoaded:
            self._ensure_collection()
        return read()

    def _ensure_loaded(self) -> bool:
        """Load the collection if need be; return False where there is none."""
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
        return compute_row_limit(vector_bytes + _ROW_OVERHEAD_BYTES, self._request_bytes)

    def _ensure_collection(self) -> None:
        options = choose_load_options(self._connection, self._settings, self._beside)
        ensure_records_collection(self._connection, self._name, self._dimension, options)
