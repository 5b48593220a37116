"""The report of an import, and the files of the rows that it refused."""

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
from nudge_sync.feedback.ingest.text_files import is_pipe
from nudge_sync.feedback.schema.values import BadRow

REJECTS_SUFFIX = ".rejects.jsonl"
_MAX_LISTED_ROWS = 20
_MAX_NAMES = 20
_NO_SEARCH = (
    "no search is stored for {} of their queries: import the searches, or give the vectors of the "
    "queries (--query-vectors, or --embed)"
)
NOT_SHOWN, UNKNOWN_LISTS, CONFLICTS = "not_shown", "unknown_shown", "position_conflicts"
DOUBTS = {
    NOT_SHOWN: "events are on a point that their search did not show",
    UNKNOWN_LISTS: "searches showed nothing but ids that the collection does not have",
    CONFLICTS: "events have another position than their point has in what the search showed",
}
"""What is stored and looks wrong: names of fields of `--json`, and what they count."""


@dataclass(slots=True)
class ImportReport:
    """Counts of an import: rows as they were read, and the searches and events in them."""

    rows: int = 0
    """Rows read; one may hold a search and several events."""
    searches: int = 0
    """Different searches that are stored now."""
    events: int = 0
    unchanged: int = 0
    """Accepted searches and events that were stored already with the same content."""
    without_search: int = 0
    """Queries that have events but no search stored yet; their events count once it is."""
    useful_events: int = 0
    """Events whose search is stored, on a point that it showed, with an action that counts."""
    reasons: Counter[str] = field(default_factory=Counter)
    details: dict[str, Counter[str]] = field(default_factory=dict)
    """Reason -> what was wrong in so many words, the first kinds of it."""
    lines: dict[str, list[str]] = field(default_factory=dict)
    """Reason -> the first rows refused for it, as `file:line`."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Why rows were left out that are well-formed and nothing to store."""
    doubts: Counter[str] = field(default_factory=Counter)
    """How often what is stored looks wrong, by the names of `DOUBTS`."""
    doubtful_lines: dict[str, list[str]] = field(default_factory=dict)
    unweighted_actions: Counter[str] = field(default_factory=Counter)
    """Actions of stored events that have no weight in the settings."""
    zero_based: list[str] = field(default_factory=list)
    """Files whose positions count from 0, and were stored counted from 1."""
    refusals: list[tuple[SourceRow, BadRow]] = field(default_factory=list)
    """The first rows refused, and why."""
    rejects_files: list[str] = field(default_factory=list)

    @property
    def accepted(self) -> int:
        """Number of searches and events that are stored now."""
        return self.searches + self.events

    @property
    def rejected(self) -> int:
        """Number of rows that were refused."""
        return self.reasons.total()

    @property
    def problem(self) -> str | None:
        """One sentence on an import that brings no feedback, or None."""
        if not self.events:
            return self._explain_no_events()
        return None if self.useful_events else self._explain_useless_events()

    def refuse(self, row: SourceRow, bad: BadRow) -> None:
        """Count a row as refused for the reason in `bad`, and list it if it is among the first."""
        self.reasons[bad.reason] += 1
        details = self.details.setdefault(bad.reason, Counter())
        if bad.detail in details or len(details) < _MAX_NAMES:
            details[bad.detail] += 1
        _list_row(self.lines, bad.reason, row)
        if len(self.refusals) < _MAX_LISTED_ROWS:
            self.refusals.append((row, bad))

    def doubt(self, row: SourceRow, doubt: str) -> None:
        """Count a row that is stored and looks wrong, and list it if it is among the first."""
        self.doubts[doubt] += 1
        _list_row(self.doubtful_lines, doubt, row)

    def count_unweighted(self, action: str) -> None:
        """Count an event whose action has no weight."""
        if action in self.unweighted_actions or len(self.unweighted_actions) < _MAX_NAMES:
            self.unweighted_actions[action] += 1

    def withdraw(self) -> None:
        """Say that nothing was stored after all."""
        self.searches = self.events = self.unchanged = self.without_search = 0
        self.useful_events = 0

    def summary(self) -> dict[str, Any]:
        """Return the fields that `--json` prints."""
        return {
            "accepted": self.accepted,
            "rejected": self.rejected,
            "reasons": dict(sorted(self.reasons.items())),
            "details": {reason: dict(names) for reason, names in sorted(self.details.items())},
            "lines": dict(sorted(self.lines.items())),
            "rows": self.rows,
            "searches": self.searches,
            "events": self.events,
            "unchanged": self.unchanged,
            "without_search": self.without_search,
            "left_out": dict(sorted(self.left_out.items())),
            **{name: self.doubts[name] for name in DOUBTS},
            "doubtful_lines": dict(sorted(self.doubtful_lines.items())),
            "unweighted_actions": dict(sorted(self.unweighted_actions.items())),
            "zero_based": self.zero_based,
            "rejects_file": self.rejects_files[0] if self.rejects_files else None,
            "rejects_files": self.rejects_files,
        }

    def _explain_no_events(self) -> str:
        counts = [f"{self.rows} rows read", f"{self.searches} searches", f"{self.rejected} refused"]
        counts += [f"{count} {reason}" for reason, count in sorted(self.left_out.items())]
        return f"no event was stored ({', '.join(counts)}), and without one nothing is learnt"

    def _explain_useless_events(self) -> str:
        causes = [
            (self.without_search, _NO_SEARCH),
            (self.doubts[NOT_SHOWN], "{} are on a point that their search did not show"),
            (self.unweighted_actions.total(), "{} have an action without a weight"),
        ]
        known = "; ".join(text.format(count) for count, text in causes if count)
        return f"none of the {self.events} events counts: {known}"


def _list_row(lines: dict[str, list[str]], name: str, row: SourceRow) -> None:
    listed = lines.setdefault(name, [])
    if len(listed) < _MAX_LISTED_ROWS:
        listed.append(f"{row.source}:{row.line}")


def choose_rejects_path(source: str) -> Path:
    """Return FILE.rejects.jsonl beside the file that rows are from.

    Beside a pipe there is often nowhere to write, so that of a pipe goes to the current directory.
    """
    path = Path(source)
    return (Path() if is_pipe(path) else path.parent) / f"{path.name}{REJECTS_SUFFIX}"


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
    """Writes refused rows to one file, or to one beside each source; a JSON object a line.

    path: the file for all rows.  beside_sources: without a path, write the rows of each source to
    the file of `choose_rejects_path`; otherwise nothing is written. A file is created when its
    first row is written.
    """

    def __init__(self, path: Path | None, *, beside_sources: bool = False) -> None:
        self._path = path
        self._beside_sources = beside_sources
        self._files: dict[Path, TextIO] = {}

    def write(self, row: SourceRow, bad: BadRow) -> None:
        """Write a refused row and the reason. Raises InputError if the file cannot be written."""
        if self._path is None and not self._beside_sources:
            return
        path = self._path or choose_rejects_path(row.source)
        entry = {
            "source": row.source,
            "line": row.line,
            "reason": bad.reason,
            "detail": bad.detail,
            "raw": row.raw,
        }
        try:
            if path not in self._files:
                self._files[path] = path.open("w", encoding="utf-8")
            self._files[path].write(json.dumps(entry) + "\n")
        except OSError as error:
            raise InputError(f"rejects file {path}: {error.strerror or error}") from None

    @property
    def written_paths(self) -> list[str]:
        """The files to which a row was written, in order."""
        return list(map(str, self._files))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for file in self._files.values():
            file.close()
