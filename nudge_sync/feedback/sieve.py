"""Stored feedback that can be used: an application may have written records of its own."""

from __future__ import annotations

from typing import Any

from nudge_sync.connector import Record

_LARGEST = 1_000_000
_YEAR_10000 = 253_402_300_800
_IDS = (int, str)
_NUMBERS = (int, float)


class Sieve:
    """Lets records through that say what a search or an event says, and counts the others."""

    def __init__(self) -> None:
        self.unreadable = 0

    def events(self, records: list[Record]) -> list[dict[str, Any]]:
        """The documents of those that are events."""
        return [one.document for one in self._kept(records, _is_event)]

    def searches(self, records: list[Record]) -> list[Record]:
        """Those that are searches."""
        return self._kept(records, _is_search)

    def _kept(self, records: list[Record], fits: Any) -> list[Record]:
        kept = [record for record in records if fits(record.document)]
        self.unreadable += len(records) - len(kept)
        return kept


# type() and not isinstance(): True is no number here, though Python calls it an int.
def _is_event(document: Any) -> bool:
    return (
        _is_somebodys(document)
        and type(document.get("query_id")) is str
        and type(document.get("action_name")) is str
        and type(document.get("object_id")) in _IDS
        and _is_place(document.get("position"))
        and _is_within(document.get("grade"), -_LARGEST)
    )


def _is_search(document: Any) -> bool:
    if not _is_somebodys(document):
        return False
    shown = document.get("shown")
    return shown is None or (type(shown) is list and all(type(one) in _IDS for one in shown))


def _is_somebodys(document: Any) -> bool:
    return (
        type(document) is dict
        and type(document.get("session_id", "")) is str
        and type(document.get("client_id", "")) is str
        and type(moment := document.get("timestamp", 0.0)) in _NUMBERS
        and 0 <= moment < _YEAR_10000
    )


def _is_place(position: Any) -> bool:
    return position is None or (type(position) is int and 0 <= position <= _LARGEST)


def _is_within(grade: Any, low: float) -> bool:
    return grade is None or (type(grade) in _NUMBERS and low <= grade <= _LARGEST)
