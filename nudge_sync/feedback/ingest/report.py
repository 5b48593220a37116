"""The report of an import, and the file of the rows that it refused."""

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
    """Counts of the rows of an import; `accepted` and `rejected` add up to all that were read."""

    searches: int = 0
    events: int = 0
    unchanged: int = 0
    """Accepted rows that were stored already with the same content."""
    without_search: int = 0
    """Queries that have events but no search stored yet; their events count once it is."""
    reasons: Counter[str] = field(default_factory=Counter)
    lines: dict[str, list[str]] = field(default_factory=dict)
    """Reason -> the first rows refused for it, as `file:line`."""
    refusals: list[tuple[SourceRow, BadRow]] = field(default_factory=list)
    """The first rows refused, and why."""
    rejects_file: str | None = None

    @property
    def accepted(self) -> int:
        """Number of rows that are stored now."""
        return self.searches + self.events

    @property
    def rejected(self) -> int:
        """Number of rows that were refused."""
        return self.reasons.total()

    def refuse(self, row: SourceRow, bad: BadRow) -> None:
        """Count a row as refused for the reason in `bad`, and list it if it is among the first."""
        self.reasons[bad.reason] += 1
        listed = self.lines.setdefault(bad.reason, [])
        if len(listed) < _MAX_LISTED_ROWS:
            listed.append(f"{row.source}:{row.line}")
        if len(self.refusals) < _MAX_LISTED_ROWS:
            self.refusals.append((row, bad))

    def summary(self) -> dict[str, Any]:
        """Return the fields that `--json` prints."""
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
    """Raise InputError if `rejects_path` is one of the files to be read."""
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
    """Writes refused rows to a file, one JSON object a line; with no path it writes nothing.

    The file is created when the first row is written.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: TextIO | None = None

    def write(self, row: SourceRow, bad: BadRow) -> None:
        """Write a refused row and the reason. Raises InputError if the file cannot be written."""
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
        """The file's path, or None if no row was written."""
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
