"""What is held on somebody: given out, or removed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from nudge_sync.connector import Record, Records, Where
from nudge_sync.errors import InputError

_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Whom:
    """One client, one session or one query."""

    client: str = ""
    session: str = ""
    query: str = ""

    def where(self) -> Where:
        """The filter. Raises InputError unless exactly one of the three is named."""
        named = {
            "client_id": self.client,
            "session_id": self.session,
            "query_id": self.query,
        }
        found = {field: value for field, value in named.items() if value}
        if len(found) != 1:
            raise InputError("name one client, one session or one query")
        return found


@dataclass(frozen=True, slots=True)
class Forgotten:
    """How many records are gone."""

    searches: int
    events: int

    def summary(self) -> dict[str, Any]:
        """The fields that `--json` prints."""
        return asdict(self)


def held(queries: Records, events: Records, whom: Whom) -> Iterator[list[Record]]:
    """Every search and event of somebody, and every event on one of those searches.

    Searches come first; no event comes twice.
    """
    where = whom.where()
    asked: list[str] = []
    for batch in queries.scan(where):
        asked += [record.key for record in batch]
        yield batch
    own: set[str] = set()
    for batch in events.scan(where, vectors=False):
        own.update(record.key for record in batch)
        yield batch
    if "query_id" in where:
        return
    for query in asked:
        for batch in events.scan({"query_id": query}, vectors=False):
            if others := [record for record in batch if record.key not in own]:
                yield others


def forget(queries: Records, events: Records, whom: Whom) -> Forgotten:
    """Remove all of it; the next cycle leaves the vectors as if it had never been.

    Events go first: what a crash leaves behind is found by the same call.
    """
    searches, acts = _keys(queries, events, whom)
    _delete(events, acts)
    _delete(queries, searches)
    return Forgotten(len(searches), len(acts))


def exported(queries: Records, events: Records, whom: Whom) -> Iterator[dict[str, Any]]:
    """All of it as rows that `feedback import` reads."""
    for batch in held(queries, events, whom):
        for record in batch:
            is_search = "shown" in record.document
            row = {"type": "search" if is_search else "event", **record.document}
            if record.vector is not None:
                row["query_vector"] = record.vector.tolist()
            yield row


def _keys(queries: Records, events: Records, whom: Whom) -> tuple[list[str], list[str]]:
    searches: list[str] = []
    acts: list[str] = []
    for batch in held(queries, events, whom):
        is_search = "shown" in batch[0].document
        (searches if is_search else acts).extend(record.key for record in batch)
    return searches, acts


def _delete(records: Records, keys: Sequence[str]) -> None:
    for start in range(0, len(keys), _BATCH):
        records.delete(keys[start : start + _BATCH])
