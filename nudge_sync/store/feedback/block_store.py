"""Where blocks are kept: one record that says what a block is, and the block cut into others.

The head is written after its parts, which bear the block's digest in their keys: whoever is killed
in between leaves the old block or the new one.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias

from nudge_sync.connector import Record, Records, Where
from nudge_sync.errors import DamagedRecord
from nudge_sync.store import checksum, schema
from nudge_sync.store.schema import BlockHead

BlockKind: TypeAlias = Literal["searches", "events"]
_PART_BYTES = 42_000
"""Of a block, in one record, so that its text fits into a field of any database."""
_REQUEST_PARTS = 16
"""Parts that are read or written at once: a megabyte."""
_SURVEY_KEY = "survey"


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
        try:
            parts = [
                record.document.get("data", "")
                for first in range(0, len(keys), _REQUEST_PARTS)
                for record in self.records.get(keys[first : first + _REQUEST_PARTS], vectors=False)
            ]
            data = b"".join(base64.b64decode(part, validate=True) for part in parts)
        except (DamagedRecord, TypeError, ValueError, binascii.Error):
            return None
        return data if checksum.digest_bytes(data) == head.digest else None

    def write(self, draft: BlockDraft, data: bytes) -> BlockHead:
        """Store a block in place of the one of the same kind and time, and return its head."""
        kind, start, digest = draft.kind, draft.start, checksum.digest_bytes(data)
        keys = _list_part_keys(kind, start, digest, len(data))
        for first in range(0, len(keys), _REQUEST_PARTS):
            rows = range(first, min(first + _REQUEST_PARTS, len(keys)))
            self.records.put([_build_part(kind, start, keys[row], row, data) for row in rows])
        document = {"part": "head", **asdict(draft), "size": len(data), "digest": digest}
        record = checksum.add_checksum(f"{kind}:{start}", document)
        self.records.put([record])
        if self.records.count({"kind": kind, "start": start}) != len(keys) + 1:
            self._delete({"kind": kind, "start": start}, keep={record.key, *keys})
        return BlockHead.model_validate(record.document)

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


def _build_part(kind: BlockKind, start: int, key: str, row: int, data: bytes) -> Record:
    piece = data[row * _PART_BYTES : (row + 1) * _PART_BYTES]
    text = base64.b64encode(piece).decode("ascii")
    return Record(key, {"part": "data", "kind": kind, "start": start, "data": text})


def _list_part_keys(kind: BlockKind, start: int, digest: str, size: int) -> list[str]:
    return [f"{kind}:{start}:{digest}:{row}" for row in range(-(-size // _PART_BYTES))]


def _order_head(head: BlockHead) -> tuple[str, int]:
    return head.kind, head.start


def _digest_heads(heads: Iterable[BlockHead]) -> str:
    return checksum.digest_json(sorted(head.seal for head in heads))
