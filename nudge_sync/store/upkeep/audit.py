"""Who asked for what: a line in the ledger's collection for each action of a person."""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from nudge_sync.connector import Record
from nudge_sync.store import checksum, schema
from nudge_sync.store.ledger import now_ms
from nudge_sync.store.target import Target

AuditState: TypeAlias = Literal["begun", "done", "failed"]
MAX_AUDIT_TEXT_LENGTH = 500
"""Characters of a name, an address or a reason that are kept."""
_AUDIT_KIND = "action"
"""The kind of its records. They stand beside the revisions, which are read by a kind of theirs."""
_Text = Annotated[str, Field(max_length=MAX_AUDIT_TEXT_LENGTH)]


@dataclass(frozen=True)
class AuditLine:
    """Who asked for an action, when and from where, and what came of it."""

    __pydantic_config__ = schema.FORBID_EXTRA

    key: str
    begun_at: schema.TimestampMs
    """When it began, in milliseconds since 1970."""
    action: _Text
    by: _Text
    """What the person is called; "" where nobody said."""
    address: _Text
    """Where the request came from."""
    to: _Text = ""
    """What a rollback was to go back to, as it was asked for."""
    reason: _Text = ""
    """Why, as the person said."""
    state: AuditState = "begun"
    """begun: under way, or its process died."""
    ended_at: schema.TimestampMs = 0
    revision: schema.Count = 0
    """The revision that it made; 0 where it made none."""
    error: _Text = ""
    """Why it failed."""

    def summary(self) -> dict[str, Any]:
        """Return the fields of `log --actions --json`."""
        return {name: value for name, value in asdict(self).items() if name != "key"}


def begin_audit_line(
    target: Target, action: str, by: str, address: str, *, to: str = "", reason: str = ""
) -> AuditLine:
    """Store that an action begins, and return its line. Raises DatabaseError."""
    moment = now_ms()
    line = AuditLine(
        key=f"{_AUDIT_KIND}:{moment:015d}:{secrets.token_hex(4)}",
        begun_at=moment,
        action=_cut(action),
        by=_cut(by),
        address=_cut(address),
        to=_cut(to),
        reason=_cut(reason),
    )
    _store(target, line)
    return line


def end_audit_line(
    target: Target, line: AuditLine, state: AuditState, *, revision: int = 0, error: str = ""
) -> None:
    """Store what came of an action. Raises DatabaseError."""
    ended = replace(line, state=state, ended_at=now_ms(), revision=revision, error=_cut(error))
    _store(target, ended)


def read_audit_lines(target: Target) -> list[AuditLine]:
    """Return every line, oldest first. Raises DamagedRecord, DatabaseError."""
    batches = target.ledger_records.scan({"kind": _AUDIT_KIND}, vectors=False)
    lines = [
        parse_audit_line(record, target.ledger_name) for records in batches for record in records
    ]
    return sorted(lines, key=lambda line: line.key)


def parse_audit_line(record: Record, collection_name: str) -> AuditLine:
    """Return the line in a record of the ledger's collection. Raises DamagedRecord.

    collection_name: that collection's, for the message.
    """
    checksum.verify_checksums([record], collection_name)
    line = schema.parse_content(AuditLine, record.document.get("line"), record, collection_name)
    if record.key != line.key:
        raise schema.build_record_error(
            record, collection_name, "it stands under another action's key"
        )
    return line


def prune_audit_lines(target: Target, keep: int) -> int:
    """Delete the lines before the last `keep`; return how many. Raises DamagedRecord."""
    expired = read_audit_lines(target)[:-keep]
    target.ledger_records.delete([line.key for line in expired])
    return len(expired)


def _store(target: Target, line: AuditLine) -> None:
    document = {"kind": _AUDIT_KIND, "line": asdict(line)}
    target.ledger_records.put([checksum.add_checksum(line.key, document)])


def _cut(text: str) -> str:
    return text[:MAX_AUDIT_TEXT_LENGTH]
