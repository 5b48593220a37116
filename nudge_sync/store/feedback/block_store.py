"""Where blocks are kept: one record that says what a block is, and the block cut into others.

The head is written after its parts, which bear the block's digest in their keys: whoever is killed
in between leaves the old block or the new one. Many blocks are read or written at a time.
"""

from __future__ import annotations

import base64
import binascii
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any, Literal, TypeAlias, TypeVar

from nudge_sync.connector import Record, Records, Where
from nudge_sync.errors import DamagedRecord
from nudge_sync.store import checksum, schema
from nudge_sync.store.schema import BlockHead

BlockKind: TypeAlias = Literal["searches", "events"]
_PART_BYTES = 42_000
"""Of a block, in one record, so that its text fits into a field of any database."""
_REQUEST_PARTS = 16
"""Parts that are looked at at once: a megabyte."""
_REQUEST_BYTES, _REQUEST_RECORDS = _REQUEST_PARTS * _PART_BYTES, 128
"""Bytes of blocks, and records, that are read or written at once. On some databases a request takes
as long for many small records as for one."""
_SURVEY_KEY = "survey"
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True)
class BlockDraft:
    """What a block is to be made of."""

    kind: BlockKind
    start: int
    """Seconds since 1970."""
    end: int
    version: int
    count: int
    """Of the records."""
    read_at: int
    """When it was begun to read them, in milliseconds since 1970."""


@dataclass(frozen=True, slots=True)
class BlockStore:
    """The blocks in a companion collection."""

    records: Records

    def list_heads(self) -> list[BlockHead]:
        """Return what blocks there are; a head that is damaged is none."""
        batches = self.records.scan({"part": "head"}, vectors=False)
        heads = [_parse_head(record) for batch in batches for record in batch]
        return sorted((head for head in heads if head is not None), key=_order_head)

    def read(self, head: BlockHead) -> bytes | None:
        """Return the bytes of a block; None where they are not those that the head tells of."""
        keys = _list_part_keys(head.kind, head.start, head.digest, head.size)
        parts: dict[str, Any] = {}
        try:
            for batch in cut_batches(keys, lambda _: _PART_BYTES):
                parts |= self._read_parts(batch)
        except DamagedRecord:
            return None
        return _join_parts(head, [parts.get(key) for key in keys])

    def read_all(self, heads: Sequence[BlockHead]) -> Iterator[tuple[BlockHead, bytes | None]]:
        """Yield each head with what `read` returns of it, in their order, many at a time."""
        for group in cut_batches(heads, lambda head: head.size):
            keys_by_start = {
                (head.kind, head.start): _list_part_keys(
                    head.kind, head.start, head.digest, head.size
                )
                for head in group
            }
            keys = list(chain.from_iterable(keys_by_start.values()))
            parts: dict[str, Any] | None = None
            if len(keys) <= _REQUEST_RECORDS:
                with suppress(DamagedRecord):
                    parts = self._read_parts(keys)
            for head in group:
                if parts is None:
                    yield head, self.read(head)
                else:
                    own_keys = keys_by_start[head.kind, head.start]
                    yield head, _join_parts(head, [parts.get(key) for key in own_keys])

    def write_all(self, blocks: Sequence[tuple[BlockDraft, bytes]]) -> list[BlockHead]:
        """Store blocks of one kind in place of those of the same times, and return their heads.

        All parts are written before the first head.
        """
        if not blocks:
            return []
        parts, heads = [], []
        for draft, data in blocks:
            digest = checksum.digest_bytes(data)
            keys = _list_part_keys(draft.kind, draft.start, digest, len(data))
            parts += [_build_part(draft, key, row, data) for row, key in enumerate(keys)]
            document = {"part": "head", **asdict(draft), "size": len(data), "digest": digest}
            heads.append(checksum.add_checksum(f"{draft.kind}:{draft.start}", document))
        for batch in cut_batches(parts, lambda part: len(part.document["data"])):
            self.records.put(batch)
        for batch in cut_batches(heads, lambda _: 0):
            self.records.put(batch)
        self._delete_others([draft for draft, _ in blocks], [*parts, *heads])
        return [BlockHead.model_validate(head.document) for head in heads]

    def delete_all(self, heads: Sequence[BlockHead]) -> None:
        """Delete blocks, heads first."""
        self.records.delete([head.expected_key for head in heads])
        self.records.delete(
            [
                key
                for head in heads
                for key in _list_part_keys(head.kind, head.start, head.digest, head.size)
            ]
        )

    def delete(self, kind: BlockKind, start: int) -> None:
        """Delete a block, and whatever a killed process left of it, head first."""
        self.records.delete([f"{kind}:{start}"])
        self._delete({"kind": kind, "start": start})

    def sweep(self, heads: Sequence[BlockHead]) -> None:
        """Delete whatever is no part of these blocks, such as what a killed process left."""
        keys = {_SURVEY_KEY} if heads else set()
        for head in heads:
            keys.add(head.expected_key)
            keys.update(_list_part_keys(head.kind, head.start, head.digest, head.size))
        # Counted first: a look at the keys of all parts would read all parts.
        if self.records.count() > len(keys):
            self._delete({}, keep=keys)

    def read_survey_time(self, heads: Iterable[BlockHead]) -> int:
        """Return when just these blocks were last found to be as their records are, in
        milliseconds since 1970; 0 where that is not known.
        """
        for record in self.records.get([_SURVEY_KEY], vectors=False):
            try:
                checksum.verify_checksums([record], "")
            except DamagedRecord:
                return 0
            at = record.document.get("at")
            if record.document.get("heads") == _digest_heads(heads) and isinstance(at, int):
                return at
        return 0

    def write_survey_time(self, heads: Iterable[BlockHead], at: int) -> None:
        """Store that just these blocks are there, and were as their records are at `at`."""
        document = {"part": "survey", "at": at, "heads": _digest_heads(heads)}
        self.records.put([checksum.add_checksum(_SURVEY_KEY, document)])

    def _read_parts(self, keys: Sequence[str]) -> dict[str, Any]:
        """Return the texts of parts by their keys. Raises DamagedRecord."""
        records = self.records.get(keys, vectors=False)
        return {record.key: record.document.get("data", "") for record in records}

    def _delete_others(self, drafts: Sequence[BlockDraft], written: Sequence[Record]) -> None:
        """Delete what other records there are of the blocks' times, such as a former block."""
        kind, starts = drafts[0].kind, sorted(draft.start for draft in drafts)
        times = (float(starts[0]), float(starts[-1] + 1))
        if self.records.count({"kind": kind, "start": times}) == len(written):
            return
        # Counted one by one: between these times there may be blocks that are not written now.
        keys = {record.key for record in written}
        count_by_start = Counter(record.document["start"] for record in written)
        for start in starts:
            if self.records.count({"kind": kind, "start": start}) != count_by_start[start]:
                self._delete({"kind": kind, "start": start}, keep=keys)

    def _delete(self, where: Where, keep: AbstractSet[str] = frozenset()) -> None:
        batches = self.records.scan(where, vectors=False, batch_size=_REQUEST_PARTS)
        try:
            keys = {record.key for batch in batches for record in batch}
        except DamagedRecord:
            # What cannot be read cannot be told apart either. All of it can be made again.
            self.records.drop()
            return
        self.records.delete(sorted(keys.difference(keep)))


def drop_blocks(records: Records, times: Iterable[float]) -> int:
    """Delete every block that may hold a record of one of these times; return how many.

    records: of the blocks.  times: seconds since 1970. To be called before such records are erased,
    for a crash, and once more afterwards, for a cycle that was just making a block of them.
    """
    store = BlockStore(records)
    heads = store.list_heads()
    lengths = {head.end - head.start for head in heads}
    if not lengths:
        # Parts without any head are what a killed process left.
        store.sweep([])
        return 0
    starts = {int(time // length) * length for time in times for length in lengths}
    for start in sorted(starts):
        store.delete("events", start)
        store.delete("searches", start)
    return sum(head.start in starts for head in heads)


def _parse_head(record: Record) -> BlockHead | None:
    try:
        checksum.verify_checksums([record], "")
        head = schema.parse_content(BlockHead, record.document, record, "")
    except DamagedRecord:
        return None
    return head if head.expected_key == record.key and head.start < head.end else None


def cut_batches(items: Sequence[_Item], weigh: Callable[[_Item], int]) -> Iterator[list[_Item]]:
    """Cut items into what one request may hold.  weigh: bytes of an item."""
    batch: list[_Item] = []
    total = 0
    for item in items:
        if batch and (total + weigh(item) > _REQUEST_BYTES or len(batch) == _REQUEST_RECORDS):
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += weigh(item)
    if batch:
        yield batch


def _join_parts(head: BlockHead, texts: Sequence[Any]) -> bytes | None:
    """Return the bytes that the texts of a block's parts hold; None where they are others."""
    try:
        data = b"".join(base64.b64decode(text, validate=True) for text in texts)
    except (TypeError, ValueError, binascii.Error):
        return None
    return data if checksum.digest_bytes(data) == head.digest else None


def _build_part(draft: BlockDraft, key: str, row: int, data: bytes) -> Record:
    piece = data[row * _PART_BYTES : (row + 1) * _PART_BYTES]
    text = base64.b64encode(piece).decode("ascii")
    return Record(key, {"part": "data", "kind": draft.kind, "start": draft.start, "data": text})


def _list_part_keys(kind: BlockKind, start: int, digest: str, size: int) -> list[str]:
    return [f"{kind}:{start}:{digest}:{row}" for row in range(-(-size // _PART_BYTES))]


def _order_head(head: BlockHead) -> tuple[str, int]:
    return head.kind, head.start


def _digest_heads(heads: Iterable[BlockHead]) -> str:
    return checksum.digest_json(sorted(head.seal for head in heads))
