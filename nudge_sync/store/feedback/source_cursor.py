"""The cursors of feedback sources: how far each was read, kept in the ledger.

A record that cannot be read, or is of another table of the configuration, counts as none: then the
source is read from its beginning, which stores nothing twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nudge_sync.connector import Record
from nudge_sync.errors import DamagedRecord
from nudge_sync.settings.sources import SourceSettings
from nudge_sync.store import checksum
from nudge_sync.store.ledger import now_ms
from nudge_sync.store.target import Target

_KIND = "cursor"


@dataclass(frozen=True, slots=True)
class CursorStore:
    """The cursor of one source, for one collection by the name that the application uses."""

    target: Target
    settings: SourceSettings

    def read(self) -> str:
        """Return the cursor, or "" if the source was not read yet."""
        for record in self.target.ledger_records.get([self._key]):
            try:
                checksum.verify_checksums([record], self.target.ledger_name)
            except DamagedRecord:
                return ""
            document = record.document
            if document.get("table") == self._digest and isinstance(document.get("cursor"), str):
                return str(document["cursor"])
        return ""

    def write(self, cursor: str) -> None:
        """Store where to go on; what came before must be stored already."""
        document: dict[str, Any] = {
            "kind": _KIND,
            "table": self._digest,
            "cursor": cursor,
            "at": now_ms(),
        }
        record: Record = checksum.add_checksum(self._key, document)
        self.target.ledger_records.put([record])

    @property
    def _key(self) -> str:
        return f"{_KIND}:{self.target.name}:{self.settings.name}"

    @property
    def _digest(self) -> str:
        """What the table says of where rows come from and how they are read."""
        table = {"source": self.settings.source, **self.settings.section}
        return checksum.digest_json({name: str(value) for name, value in table.items()})
