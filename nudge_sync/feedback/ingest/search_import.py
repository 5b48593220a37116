"""Storing of searches: each once, and none replaced by a row that knows less of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from nudge_sync.connector import PointId, Record, Records
from nudge_sync.feedback.ingest.report import ImportReport
from nudge_sync.feedback.ingest.seen_keys import SeenKeys
from nudge_sync.feedback.ingest.sources import SourceRow
from nudge_sync.feedback.schema.records import (
    EMBEDDED_BY_FIELD,
    SPACE_FIELD,
    VECTOR_DIGEST_FIELD,
    Search,
    to_search_record,
)
from nudge_sync.feedback.schema.rows import ParsedRow
from nudge_sync.feedback.schema.values import BadRow

_CONTENT_FIELDS = (VECTOR_DIGEST_FIELD, "text", "shown")


@dataclass(frozen=True, slots=True)
class _PendingSearch:
    """A search that is to be stored."""

    record: Record
    is_incidental: bool
    embedded_by: str
    """What made its vector of its text; "": it came with its vector."""

    def assign_space(self, former: Record | None, number: int) -> Record:
        """Return the record with the embedding space that its vector was made for again.

        number: of the present space. The first needs no saying, and neither does that of a new
        search which came with its vector: it is that of its time. A search that was embedded again
        already stays as it is: whatever comes without being embedded is the log of old.
        """
        if self.embedded_by:
            return _set_space(self._embedded_record, number)
        if former is None:
            return self.record
        is_of_space = former.document.get(SPACE_FIELD, 0) >= number > 1
        if is_of_space and _has_same_dimension(former, self.record):
            return former
        is_same_vector = former.document.get(VECTOR_DIGEST_FIELD) == self._digest
        return self.record if is_same_vector else _set_space(self.record, number)

    def embed_again(self, former: Record, number: int) -> Record:
        """Return a search that was logged with the vector that its text has in the present space.

        It stays as it is where it is of that space already, or nothing was embedded, unless its
        vector has another dimension than those of the collection now.
        """
        is_of_space = not self.embedded_by or former.document.get(SPACE_FIELD, 1) >= number
        if is_of_space and _has_same_dimension(former, self.record):
            return former
        document = {**former.document, VECTOR_DIGEST_FIELD: self._digest}
        document.pop(EMBEDDED_BY_FIELD, None)
        if self.embedded_by:
            document[EMBEDDED_BY_FIELD] = self.embedded_by
        return _set_space(replace(former, document=document, vector=self.record.vector), number)

    @property
    def _embedded_record(self) -> Record:
        document = {**self.record.document, EMBEDDED_BY_FIELD: self.embedded_by}
        return replace(self.record, document=document)

    @property
    def _digest(self) -> str:
        return str(self.record.document[VECTOR_DIGEST_FIELD])


def _set_space(record: Record, number: int) -> Record:
    if number <= 1:
        return record
    return replace(record, document={**record.document, SPACE_FIELD: number})


@dataclass(slots=True)
class SearchImport:
    """Takes the searches of an import, and stores those of a batch at a time.

    A search is incidental if its row tells of it only what an event or a list of queries needs:
    such a one may come many times, and replaces none that was logged. Searches that stand in the
    rows of events, as in a denormalised log, may come many times with the same content.
    """

    queries: Records
    report: ImportReport
    store: bool
    space: int = 1
    """The number of the embedding space that searches are embedded for now."""
    _batch: dict[str, _PendingSearch] = field(default_factory=dict)
    _logged: SeenKeys = field(default_factory=SeenKeys)
    _known: SeenKeys = field(default_factory=SeenKeys)
    _counted: SeenKeys = field(default_factory=SeenKeys)
    _contents: SeenKeys = field(default_factory=SeenKeys)

    def __contains__(self, query_id: str) -> bool:
        """Whether a search of this query came in this import."""
        return query_id in self._known

    def add(self, row: SourceRow, search: Search, parsed: ParsedRow) -> None:
        """Take a search, to be stored by `flush`.

        Raises BadRow for one that came before, unless it may come many times.
        """
        is_incidental = row.is_incidental or parsed.is_incidental
        is_new = self._known.add(search.query_id)
        if is_incidental and not is_new:
            return
        record = to_search_record(search)
        if not is_incidental:
            content = " ".join(str(record.document[name]) for name in _CONTENT_FIELDS)
            is_same = not self._contents.add(f"{search.query_id} {content}")
            if not self._logged.add(search.query_id):
                if parsed.is_beside_event and is_same:
                    return
                raise BadRow("duplicate", f"of query {search.query_id!r}, seen before")
        self._batch[search.query_id] = _PendingSearch(record, is_incidental, row.embedded_by)

    def flush(self) -> dict[str, Sequence[PointId]]:
        """Store the searches since the last time; return what each of them showed."""
        batch, self._batch = self._batch, {}
        if not batch:
            return {}
        stored = {record.key: record for record in self.queries.get(list(batch))}
        changed = []
        shown_lists: dict[str, Sequence[PointId]] = {}
        for key, pending in batch.items():
            former = stored.get(key)
            record = pending.assign_space(former, self.space)
            is_same = former is not None and _is_same(record, former)
            if former is not None and not is_same and pending.is_incidental and _is_logged(former):
                record = pending.embed_again(former, self.space)
                if record is former:
                    shown_lists[key] = former.document.get("shown") or ()
                    continue
            shown_lists[key] = record.document["shown"]
            if not is_same:
                changed.append(record)
            if self._counted.add(key):
                self.report.searches += 1
                self.report.unchanged += is_same
        if changed and self.store:
            self.queries.put(changed)
        return shown_lists


def _is_same(record: Record, stored: Record) -> bool:
    if record.vector is None or stored.vector is None:
        return False
    return record.document == stored.document and np.array_equal(record.vector, stored.vector)


def _has_same_dimension(left: Record, right: Record) -> bool:
    if left.vector is None or right.vector is None:
        return False
    return left.vector.shape == right.vector.shape


def _is_logged(search: Record) -> bool:
    """Return whether an application logged a stored search, with results, time or user."""
    fields = ("shown", "timestamp", "session_id", "client_id")
    return any(search.document.get(name) for name in fields)
