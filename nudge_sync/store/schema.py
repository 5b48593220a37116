"""What the sidecar's own records hold, field by field.

A record may carry the right checksum and still be none of ours: from another version, or put there
by hand. Each field's type and range is checked here, so that whoever reads a record can rely on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from nudge_sync.connector import Record
from nudge_sync.errors import DamagedRecord, UnsupportedCollection
from nudge_sync.store import checksum

Content = TypeVar("Content")
_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}
"""One a type, since building one takes longer than using it."""

FORBID_EXTRA = ConfigDict(extra="forbid")
"""For dataclasses that are read from records: a field that they do not have is an error."""
LAST_MOMENT = 253_402_300_800_000
"""The year 10000 in milliseconds since 1970."""
Count = Annotated[int, Field(ge=0, lt=2**63)]
TimestampMs = Annotated[int, Field(ge=0, lt=LAST_MOMENT)]
Digest = Annotated[str, Field(pattern=r"\A[0-9a-f]{32}\z")]
StoredPointId = Annotated[int, Field(strict=True)] | Annotated[str, Field(strict=True)]
"""An empty string too: Milvus takes one for a primary key."""


class _StoredDocument(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OriginalDocument(_StoredDocument):
    """The document of a record in `docs__nudge_originals`."""

    id: StoredPointId
    revision: Count
    at: TimestampMs
    vector: Digest
    seal: Digest

    @property
    def expected_key(self) -> str:
        """The key that the record must have."""
        return f"{self.revision}:{self.id}"


class HistoryDocument(_StoredDocument):
    """The document of a record in `docs__nudge_history`."""

    revision: Count
    id: StoredPointId
    original: Digest
    replaced: Digest
    vector: Digest
    seal: Digest

    @property
    def expected_key(self) -> str:
        """The key that the record must have."""
        return f"{self.revision}:{self.id}"


class BlockHead(_StoredDocument):
    """The document of a record in `docs__nudge_blocks` that says what a block is."""

    part: Literal["head"] = "head"
    kind: Literal["searches", "events"]
    start: Count
    """Seconds since 1970, where the block's time begins."""
    end: Count
    version: Count
    """Of the form in which the block is encoded."""
    count: Count
    """How many records were reduced."""
    read_at: TimestampMs
    """When it was begun to read them."""
    size: Count
    """Bytes of the block."""
    digest: Digest
    """Of the block's bytes."""
    seal: Digest

    @property
    def expected_key(self) -> str:
        """The key that the record must have."""
        return f"{self.kind}:{self.start}"


def validate_records(
    records: Sequence[Record],
    collection_name: str,
    model: type[OriginalDocument | HistoryDocument],
    *,
    vectors: bool,
) -> list[Record]:
    """Return the records, each found to be intact, of the right shape, and under its own key.

    vectors: whether each must also have its vector. Raises DamagedRecord, which names the first
    record that fails.
    """
    for record in checksum.verify_checksums(records, collection_name):
        document = parse_content(model, record.document, record, collection_name)
        if document.expected_key != record.key:
            raise build_record_error(record, collection_name, "it stands under another point's key")
        if vectors and record.vector is None:
            raise build_record_error(record, collection_name, "it has lost its vector")
    return list(records)


def parse_content(
    model: type[Content], content: Any, record: Record, collection_name: str
) -> Content:
    """Return `content`, a part of the record's document, as a `model`.

    model: a pydantic model or a dataclass. Raises DamagedRecord.
    """
    try:
        return _validate(model, content)
    except ValidationError as error:
        raise build_record_error(record, collection_name, _format_first_error(error)) from None


def refuse_unreadable(
    records: Sequence[Record],
    collection_name: str,
    model: type[OriginalDocument | HistoryDocument],
) -> None:
    """Raise UnsupportedCollection if one of `records`, once stored, could not be read again."""
    for record in records:
        try:
            _validate(model, record.document)
        except ValidationError as error:
            raise UnsupportedCollection(
                f'record {record.key[:200]!r} could not be read again from "{collection_name}" '
                f"({_format_first_error(error)}), so it was not stored, and the collection was not "
                "touched. Give the point another id"
            ) from None


def _validate(model: type[Content], content: Any) -> Content:
    if model not in _ADAPTERS:
        _ADAPTERS[model] = TypeAdapter(model)
    return cast(Content, _ADAPTERS[model].validate_python(content))


def _format_first_error(error: ValidationError) -> str:
    first_error = error.errors(include_input=False, include_url=False, include_context=False)[0]
    field_path = ".".join(str(part)[:80] for part in first_error["loc"]) or "its content"
    return f"{field_path}: {first_error['msg']}"


def build_record_error(record: Record, collection_name: str, reason: str) -> DamagedRecord:
    """Return the error about a record that is not what this version of nudge-sync writes."""
    return DamagedRecord(
        f'record {record.key[:200]!r} in "{collection_name}" is not what this version writes '
        f"({reason}); nothing was written from it. Use the version that wrote it, or restore that "
        "collection from a backup"
    )
