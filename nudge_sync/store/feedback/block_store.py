"""Where blocks are kept: one record that says what a block is, and the block cut into others.

The head is written after its parts, which bear the block's digest in their keys: whoever is killed
in between leaves the old block or the new one. Many blocks are read or written at a time.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass
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

    def read_all(self, heads: Sequence[BlockHead]) -> Iterator[tuple[BlockHead, bytes | None]]:
        """Yield each head with the bytes of its block, in their order, many at a time.

        None stands for bytes that are not those that the head tells of.
        """
        for group in _cut_batches(heads, lambda head: head.size):
            try:
                parts = self._read_parts(group)
            except DamagedRecord:
                if len(group) > 1:
                    # Only one of them is damaged, perhaps.
                    for head in group:
                        yield from self.read_all([head])
                    continue
                parts = {}
            for head in group:
                yield head, _join_parts(head, parts)

    def write_all(self, blocks: Sequence[tuple[BlockDraft, bytes]]) -> list[BlockHead]:
        """Store blocks of one kind in place of those of the same times, and return their heads.

        All parts are written before the first head.
        """
        if not blocks:
            return []
        parts, head_records, heads = [], [], []
        for draft, data in blocks:
            digest = checksum.digest_bytes(data)
            document = {"part": "head", **asdict(draft), "size": len(data), "digest": digest}
            record = checksum.add_checksum(f"{draft.kind}:{draft.start}", document)
            head = BlockHead.model_validate(record.document)
            parts += [_build_part(head, row, data) for row in range(_count_parts(head))]
            head_records.append(record)
            heads.append(head)
        for batch in _cut_batches(parts, lambda part: len(part.document["data"])):
            self.records.put(batch)
        for batch in _cut_batches(head_records, lambda _: 0):
            self.records.put(batch)
        self._delete_others(heads)
        return heads

    def delete_all(self, heads: Sequence[BlockHead]) -> None:
        """Delete blocks, heads first."""
        self.records.delete([head.expected_key for head in heads])
        self.records.delete([key for head in heads for key in _list_part_keys(head)])

    def delete(self, kind: BlockKind, start: int) -> None:
        """Delete a block, and whatever a killed process left of it, head first."""
        self.records.delete([f"{kind}:{start}"])
        self._delete({"kind": kind, "start": start})

    def sweep(self, heads: Sequence[BlockHead]) -> None:
        """Delete whatever is no part of these blocks, such as what a killed process left."""
        keys = {_SURVEY_KEY} if heads else set()
        for head in heads:
            keys.add(head.expected_key)
            keys.update(_list_part_keys(head))
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

    def _read_parts(self, heads: Sequence[BlockHead]) -> dict[str, Any]:
        """Return the texts of blocks' parts by their keys. Raises DamagedRecord."""
        sizes = [
            (key, min(head.size, _PART_BYTES)) for head in heads for key in _list_part_keys(head)
        ]
        parts: dict[str, Any] = {}
        for batch in _cut_batches(sizes, lambda item: item[1]):
            records = self.records.get([key for key, _ in batch], vectors=False)
            parts |= {record.key: record.document.get("data", "") for record in records}
        return parts

    def _delete_others(self, heads: Sequence[BlockHead]) -> None:
        """Delete what other records there are of the times of blocks, such as former blocks."""
        kind, starts = heads[0].kind, sorted(head.start for head in heads)
        times = (float(starts[0]), float(starts[-1] + 1))
        written = sum(1 + _count_parts(head) for head in heads)
        if self.records.count({"kind": kind, "start": times}) == written:
            return
        # Counted one by one: between these times there may be blocks that are not written now.
        for head in heads:
            where: Where = {"kind": kind, "start": head.start}
            if self.records.count(where) != 1 + _count_parts(head):
                self._delete(where, keep={head.expected_key, *_list_part_keys(head)})

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


def _cut_batches(items: Sequence[_Item], weigh: Callable[[_Item], int]) -> Iterator[list[_Item]]:
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


def _join_parts(head: BlockHead, parts: Mapping[str, Any]) -> bytes | None:
    """Return the bytes of a block by the texts of its parts; None where they hold others."""
    try:
        texts = [parts[key] for key in _list_part_keys(head)]
        data = b"".join(base64.b64decode(text, validate=True) for text in texts)
    except (KeyError, TypeError, ValueError, binascii.Error):
        return None
    return data if checksum.digest_bytes(data) == head.digest else None


def _build_part(head: BlockHead, row: int, data: bytes) -> Record:
    piece = data[row * _PART_BYTES : (row + 1) * _PART_BYTES]
    text = base64.b64encode(piece).decode("ascii")
    document = {"part": "data", "kind": head.kind, "start": head.start, "data": text}
    return Record(_list_part_keys(head)[row], document)


def _count_parts(head: BlockHead) -> int:
    return -(-head.size // _PART_BYTES)


def _list_part_keys(head: BlockHead) -> list[str]:
    return [f"{head.expected_key}:{head.digest}:{row}" for row in range(_count_parts(head))]


def _order_head(head: BlockHead) -> tuple[str, int]:
    return head.kind, head.start


def _digest_heads(heads: Iterable[BlockHead]) -> str:
    return checksum.digest_json(sorted(head.seal for head in heads))
