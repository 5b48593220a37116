"""What the sidecar's own records hold, field by field. A seal tells damage; this tells the rest.

A record may carry the right digest and still be none of ours: of another version, or put there by
hand. Each field's type and range is checked here, so that what reads a record can rely on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from nudge_sync.connector import Record
from nudge_sync.errors import DamagedRecord
from nudge_sync.store import checksum

T = TypeVar("T")
_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}

NOTHING_ELSE = ConfigDict(extra="forbid")
"""For dataclasses that are read from records: a field that they do not have is an error."""
LAST_MOMENT = 253_402_300_800_000
"""The year 10000 in milliseconds since 1970."""
Count = Annotated[int, Field(ge=0, lt=2**63)]
Moment = Annotated[int, Field(ge=0, lt=LAST_MOMENT)]
Digest = Annotated[str, Field(pattern=r"\A[0-9a-f]{32}\z")]
Id = Annotated[int, Field(strict=True)] | Annotated[str, Field(min_length=1, strict=True)]


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class OriginalLine(_Line):
    """The document of a record in `docs__nudge_originals`."""

    id: Id
    revision: Count
    at: Moment
    vector: Digest
    seal: Digest

    @property
    def key(self) -> str:
        """The key it has to stand under."""
        return f"{self.revision}:{self.id}"


class HistoryLine(_Line):
    """The document of a record in `docs__nudge_history`."""

    revision: Count
    id: Id
    original: Digest
    replaced: Digest
    vector: Digest
    seal: Digest

    @property
    def key(self) -> str:
        """The key it has to stand under."""
        return f"{self.revision}:{self.id}"


def opened(
    records: Sequence[Record],
    place: str,
    line: type[OriginalLine | HistoryLine],
    *,
    vectors: bool,
) -> list[Record]:
    """The same records, each found to be what was sealed, of the right shape, at its own key.

    vectors: each also has its vector. Raises DamagedRecord that names the first one that fails.
    """
    for record in checksum.opened(records, place):
        found = built(line, record.document, record, place)
        if found.key != record.key:
            raise misshapen(record, place, "it stands under another point's key")
        if vectors and record.vector is None:
            raise misshapen(record, place, "it has lost its vector")
    return list(records)


def built(kind: type[T], content: Any, record: Record, place: str) -> T:
    """`content`, a part of the record's document, as a `kind`: a model or a dataclass.

    Raises DamagedRecord.
    """
    try:
        if kind not in _ADAPTERS:
            _ADAPTERS[kind] = TypeAdapter(kind)
        return cast(T, _ADAPTERS[kind].validate_python(content))
    except ValidationError as error:
        item = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(part)[:80] for part in item["loc"]) or "its content"
        raise misshapen(record, place, f"{where}: {item['msg']}") from None


def misshapen(record: Record, place: str, why: str) -> DamagedRecord:
    """The error about a record that is not what this version of nudge-sync writes."""
    return DamagedRecord(
        f'record {record.key[:200]!r} in "{place}" is not what this version writes ({why}); '
        "nothing was written from it. Use the version that wrote it, or restore that collection "
        "from a backup"
    )
