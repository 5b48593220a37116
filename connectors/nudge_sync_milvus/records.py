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
from nudge_sync_milvus.client import Wire
from nudge_sync_milvus.columns import vector_column, vectors_of
from nudge_sync_milvus.create import Field, LoadState, load_state, make_collection
from nudge_sync_milvus.errors import MessageTooLarge, NotLoaded
from nudge_sync_milvus.filters import among, both, literal
from nudge_sync_milvus.lite import SWAPS
from nudge_sync_milvus.query import WINDOW, Rows, Table, by_keys, pages, rows_of
from nudge_sync_milvus.record_codec import (
    INDEXED,
    KEY,
    LEAST_DIMENSION,
    TEXT_BYTES,
    TEXTS,
    VECTOR,
    Entry,
    entry_of,
    filter_of,
    index_of,
    key_digest,
    matches,
    settles,
    texts_of,
    vector_of,
)

KEY_BYTES = 160
ROWS_AT_ONCE = 1_000
CLAIM = "~"
"""Sorts after every digest: claims stay out of scans and counts."""
CLAIM_SECONDS = 60.0
ROW_ROOM = 4_096
T = TypeVar("T")
RECORDS_ONLY = f'{KEY} < "{CLAIM}"'


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
        wire: Wire,
        name: str,
        dimension: int,
        indexed: Sequence[str],
        *,
        request_bytes: int,
    ) -> None:
        self._wire = wire
        self._name = name
        self._dimension = dimension
        self._indexed = tuple(indexed)
        self._request_bytes = request_bytes
        self._table = Table(name, KEY, integer_keys=False)

    def put(self, records: Sequence[Record]) -> None:
        """See the contract."""
        if not records:
            return
        latest = {self._checked(record).key: record for record in records}
        entries = [Entry(record, "") for record in latest.values()]
        keys = [key_digest(key) for key in latest]
        for start in range(0, len(entries), ROWS_AT_ONCE):
            stop = start + ROWS_AT_ONCE
            self._store(keys[start:stop], entries[start:stop])

    def swap(self, record: Record, expected: int | None) -> bool:
        """See the contract, and the class."""
        self._checked(record)
        with SWAPS if self._wire.lite else nullcontext():
            return self._swap(record, expected)

    def _swap(self, record: Record, expected: int | None) -> bool:
        key = key_digest(record.key)
        if not self._may_swap(key, "", expected):
            return False
        nonce = secrets.token_hex(8)
        claim = f"{CLAIM}{key}:{nonce}"
        began = time.monotonic()
        self._store([claim], [Entry(Record(claim, {"at": time.time()}), nonce)])
        try:
            free = self._may_swap(key, claim, expected)
            if not free or time.monotonic() - began > CLAIM_SECONDS:
                return False
            self._store([key], [Entry(record, nonce)])
        finally:
            self._remove([claim])
        return time.monotonic() - began < CLAIM_SECONDS or self._holds(key, nonce)

    def get(self, keys: Sequence[str], *, vectors: bool = True) -> list[Record]:
        """See the contract."""
        wanted = {key: key_digest(key) for key in keys}
        found = {
            digest: entry.record
            for rows in self._rows(list(dict.fromkeys(wanted.values())), vectors=vectors)
            for digest, entry in self._entries(rows)
        }
        return [found[wanted[key]] for key in keys if wanted[key] in found]

    def scan(
        self, where: Where | None = None, *, vectors: bool = True, batch_size: int = 1000
    ) -> Iterator[list[Record]]:
        """See the contract."""
        condition = dict(where or {})
        filter_ = both(RECORDS_ONLY, filter_of(condition, self._indexed))
        fields = self._fields(vectors=vectors)
        at_once = self._at_once(vectors=vectors)
        if not self._ready():
            return
        for rows in pages(self._wire, self._table, fields, at_once=at_once, where=filter_):
            records = [entry.record for _, entry in self._entries(rows)]
            found = [record for record in records if matches(record.document, condition)]
            yield from (
                found[start : start + batch_size] for start in range(0, len(found), batch_size)
            )

    def delete(self, keys: Sequence[str]) -> None:
        """See the contract."""
        digests = [key_digest(key) for key in keys]
        for start in range(0, len(digests), ROWS_AT_ONCE):
            try:
                self._remove(digests[start : start + ROWS_AT_ONCE])
            except CollectionNotFound:
                return

    def count(self, where: Where | None = None) -> int:
        """See the contract."""
        condition = dict(where or {})
        if not settles(condition, self._indexed):
            return sum(len(batch) for batch in self.scan(condition, vectors=False))
        filter_ = both(RECORDS_ONLY, filter_of(condition, self._indexed))
        return self._loaded(lambda: self._wire.count(self._name, filter_), 0)

    def drop(self) -> None:
        """See the contract."""
        try:
            request = milvus_pb2.DropCollectionRequest(collection_name=self._name)
            self._wire.call("DropCollection", request)
        except CollectionNotFound:
            return

    def _checked(self, record: Record) -> Record:
        if not record.key:
            raise InputError("a record's key is empty")
        texts_of(record)
        vector_of(record, self._dimension)
        return record

    def _make(self) -> None:
        fields = [
            Field(KEY, schema_pb2.DataType.VarChar, {"max_length": str(KEY_BYTES)}),
            Field(
                VECTOR,
                schema_pb2.DataType.FloatVector,
                {"dim": str(max(self._dimension, LEAST_DIMENSION))},
            ),
            Field(INDEXED, schema_pb2.DataType.JSON),
            *(
                Field(name, schema_pb2.DataType.VarChar, {"max_length": str(TEXT_BYTES)})
                for name in TEXTS
            ),
        ]
        index = {"index_type": "FLAT", "metric_type": "IP"}
        make_collection(self._wire, self._name, fields, index)

    def _store(self, keys: list[str], entries: list[Entry]) -> None:
        request = self._request(keys, entries)
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

    def _request(self, keys: list[str], entries: list[Entry]) -> Any:
        texts = [texts_of(entry.record, entry.nonce) for entry in entries]
        vectors = np.array([vector_of(entry.record, self._dimension) for entry in entries])
        columns = [
            _text_column(KEY, keys),
            vector_column(VECTOR, vectors),
            _json_column(
                INDEXED, [index_of(entry.record.document, self._indexed) for entry in entries]
            ),
            *(
                _text_column(name, [row[place] for row in texts])
                for place, name in enumerate(TEXTS)
            ),
        ]
        return milvus_pb2.UpsertRequest(
            collection_name=self._name, num_rows=len(keys), fields_data=columns
        )

    def _upsert(self, request: Any) -> None:
        try:
            self._wire.call("Upsert", request)
        except CollectionNotFound:
            self._make()
            self._wire.call("Upsert", request)

    def _remove(self, keys: Sequence[str]) -> None:
        request = milvus_pb2.DeleteRequest(collection_name=self._name, expr=among(KEY, keys))
        self._wire.call("Delete", request)

    def _may_swap(self, key: str, claim: str, expected: int | None) -> bool:
        """Whether the stored generation is the expected one, and nobody else claims the key."""
        span = f"{CLAIM}{key}"
        filter_ = (
            f"{KEY} == {literal(key)} or "
            f"({KEY} > {literal(span + ':')} and {KEY} < {literal(span + ';')})"
        )
        generation, stale = None, []
        for found, entry in self._found(filter_):
            if found == key:
                generation = entry.record.document.get("generation")
            elif time.time() - float(entry.record.document["at"]) > CLAIM_SECONDS:
                stale.append(found)
            elif found != claim:
                return False
        if stale:
            self._remove(stale)
        return bool(generation == expected)

    def _holds(self, key: str, nonce: str) -> bool:
        return any(entry.nonce == nonce for _, entry in self._found(among(KEY, [key])))

    def _found(self, filter_: str) -> list[tuple[str, Entry]]:
        answer = self._loaded(
            lambda: self._wire.query(self._name, filter_, self._fields(vectors=False)), None
        )
        return [] if answer is None else list(self._entries(rows_of(self._table, answer)))

    def _rows(self, keys: list[str], *, vectors: bool) -> list[Rows]:
        def read() -> list[Rows]:
            fields, at_once = self._fields(vectors=vectors), self._at_once(vectors=vectors)
            return list(by_keys(self._wire, self._table, keys, fields, at_once=at_once))

        nothing: list[Rows] = []
        return self._loaded(read, nothing)

    def _loaded(self, read: Callable[[], T], nothing: T) -> T:
        """What `read` gives, after loading the collection if need be; `nothing` without one."""
        try:
            return read()
        except CollectionNotFound:
            return nothing
        except NotLoaded:
            self._make()
        return read()

    def _ready(self) -> bool:
        state = load_state(self._wire, self._name)
        if state == LoadState.LoadStateNotExist:
            return False
        if state != LoadState.LoadStateLoaded:
            self._make()
        return True

    def _fields(self, *, vectors: bool) -> list[str]:
        return [*TEXTS, VECTOR] if vectors and self._dimension else [*TEXTS]

    def _at_once(self, *, vectors: bool) -> int:
        width = 4 * self._dimension if vectors else 0
        return max(1, min(WINDOW, self._request_bytes // (width + ROW_ROOM)))

    def _entries(self, rows: Rows) -> Iterator[tuple[str, Entry]]:
        texts = [rows.columns[name].scalars.string_data.data for name in TEXTS] if rows.keys else []
        column = rows.columns.get(VECTOR)
        stored = vectors_of(column)[0] if column is not None and rows.keys else None
        for row, key in enumerate(rows.keys):
            vector = stored[row] if stored is not None else None
            yield str(key), entry_of([text[row] for text in texts], vector, self._dimension)


def _text_column(name: str, values: Sequence[str]) -> Any:
    column = schema_pb2.FieldData(field_name=name, type=schema_pb2.DataType.VarChar)
    column.scalars.string_data.data.extend(values)
    return column


def _json_column(name: str, values: Sequence[bytes]) -> Any:
    column = schema_pb2.FieldData(field_name=name, type=schema_pb2.DataType.JSON)
    column.scalars.json_data.data.extend(values)
    return column
