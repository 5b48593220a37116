"""What an import took and what it refused."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from os.path import realpath
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

from nudge_sync.errors import InputError
from nudge_sync.feedback.ingest.sources import SourceRow
from nudge_sync.feedback.schema.rows import BadRow

_MAX_LISTED_ROWS = 20


@dataclass(slots=True)
class ImportReport:
    """Counts of rows; `accepted` + `rejected` is every row that was read."""

    searches: int = 0
    events: int = 0
    unchanged: int = 0
    """Of the accepted: stored already, with the same content."""
    without_search: int = 0
    """Queries that events speak of and that are not stored (yet): their events wait."""
    reasons: Counter[str] = field(default_factory=Counter)
    lines: dict[str, list[str]] = field(default_factory=dict)
    """Reason -> the first lines refused for it, as `file:line`."""
    refusals: list[tuple[SourceRow, BadRow]] = field(default_factory=list)
    """The first rows refused, and why."""
    rejects_file: str | None = None

    @property
    def accepted(self) -> int:
        """Rows that are stored now."""
        return self.searches + self.events

    @property
    def rejected(self) -> int:
        """Rows that are not."""
        return self.reasons.total()

    def refuse(self, row: SourceRow, bad: BadRow) -> None:
        """Count a row that is refused."""
        self.reasons[bad.reason] += 1
        listed = self.lines.setdefault(bad.reason, [])
        if len(listed) < _MAX_LISTED_ROWS:
            listed.append(f"{row.source}:{row.line}")
        if len(self.refusals) < _MAX_LISTED_ROWS:
            self.refusals.append((row, bad))

    def summary(self) -> dict[str, Any]:
        """The fields that `--json` prints."""
        return {
            "accepted": self.accepted,
            "rejected": self.rejected,
            "reasons": dict(sorted(self.reasons.items())),
            "lines": dict(sorted(self.lines.items())),
            "searches": self.searches,
            "events": self.events,
            "unchanged": self.unchanged,
            "without_search": self.without_search,
            "rejects_file": self.rejects_file,
        }


def check_rejects_path(rejects_path: Path, files: Iterable[Path]) -> None:
    """Raises InputError where the refused rows would go into one of the files that are read."""
    for path in files:
        if _is_same_file(rejects_path, path):
            raise InputError(
                f"{path} is where refused rows would go, and is to be read: "
                "name another file with --rejects, or leave this one out"
            )


def _is_same_file(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:
        return realpath(path) == realpath(other)


class RejectsWriter:
    """The file that refused rows go to, one JSON object a line; made with the first of them."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: TextIO | None = None

    def write(self, row: SourceRow, bad: BadRow) -> None:
        """Write a row down. Raises InputError where the file cannot be written."""
        if self._path is None:
            return
        entry = {
            "source": row.source,
            "line": row.line,
            "reason": bad.reason,
            "detail": bad.detail,
            "raw": row.raw,
        }
        try:
            self._file = self._file or self._path.open("w", encoding="utf-8")
            self._file.write(json.dumps(entry) + "\n")
        except OSError as error:
            raise InputError(f"rejects file {self._path}: {error.strerror or error}") from None

    @property
    def written_path(self) -> str | None:
        """The file's path, if there is anything in it."""
        return str(self._path) if self._file is not None else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is not None:
            self._file.close()
