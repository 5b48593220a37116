"""The indices `ubi_queries` and `ubi_events` of an OpenSearch server as a source of feedback.

Both are read oldest first, by their timestamp, and within a millisecond in the order in which a
shard took them in: UBI has no field that tells two events apart, and sorting by `_id` would load
all ids into the server's memory. The rows are UBI's own documents, whose fields the import knows;
https://docs.opensearch.org/latest/search-plugins/ubi/schemas/ describes them. OpenSearch is asked
over plain HTTP, since its client library would bring gRPC and a second HTTP library along for a
single kind of request.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from nudge_sync.errors import ConfigError
from nudge_sync.source import (
    Page,
    Row,
    Section,
    SourceFacts,
    format_cursor,
    parse_cursor,
    read_secret,
    refuse_secrets_in_address,
    refuse_secrets_in_table,
    validate_settings,
)
from nudge_sync.source.http import JsonClient
from nudge_sync.source.shapes import expect_shape

OPENSEARCH_PASSWORD_VARIABLE = "OPENSEARCH_PASSWORD"  # noqa: S105 - the name of a variable
OPENSEARCH_USER_VARIABLE = "OPENSEARCH_USERNAME"
_PAGE_DOCUMENTS = 1000
_BEGINNING = {"queries": 0, "events": 0}
_MILLISECONDS = 1000
_MILLISECONDS_PER_MINUTE = 60_000


class UbiSettings(Section):
    """The table of a UBI source."""

    url: str = "http://localhost:9200"
    queries: str = "ubi_queries"
    """The index of the queries."""
    events: str = "ubi_events"
    """The index of the events."""
    application: str = ""
    """The only application whose queries and events are read; absent: all."""
    settle_minutes: Annotated[float, Field(ge=0)] = 15.0
    """How long after its timestamp a document may still come to be stored."""
    password_file: Path | None = None
    """A file with the password, where the environment has no OPENSEARCH_PASSWORD."""
    ca_file: Path | None = None
    """The certificate of the authority behind the server's, if it is none that is known."""


@dataclass(frozen=True, slots=True)
class _Log:
    """One of the two indices."""

    name: Literal["queries", "events"]
    row_type: Literal["search", "event"]
    index: str


def open_ubi(section: Mapping[str, Any]) -> UbiSource:
    """Return the source that a `[[feedback.sources]]` table describes. Raises ConfigError."""
    refuse_secrets_in_table(
        section, "feedback.sources", OPENSEARCH_PASSWORD_VARIABLE, "password_file"
    )
    settings = validate_settings(UbiSettings, section, "feedback.sources")
    refuse_secrets_in_address(settings.url, "feedback.sources.url", OPENSEARCH_PASSWORD_VARIABLE)
    return UbiSource(settings)


class UbiSource:
    """See `nudge_sync.source.FeedbackSource`. The cursor: up to when each index was read, in ms."""

    def __init__(self, settings: UbiSettings) -> None:
        self._settings = settings
        self._client = JsonClient(
            settings.url, login=_read_login(settings), ca_file=settings.ca_file
        )
        self._logs = (
            _Log("queries", "search", settings.queries),
            _Log("events", "event", settings.events),
        )

    def describe(self) -> SourceFacts:
        """See `FeedbackSource.describe`."""
        answer = self._client.get("/")
        for log in self._logs:
            self._search(log, {"size": 0, "query": {"match_all": {}}})
        with expect_shape(f"{self._client.url}/"):
            version = answer["version"]
            product = str(version.get("distribution") or "elasticsearch")
            number = str(version["number"])
        return SourceFacts(f"UBI of {product}", number, frozenset({"query_vector"}))

    def close(self) -> None:
        """See `FeedbackSource.close`."""
        self._client.close()

    def read_pages(self, cursor: str = "") -> Iterator[Page]:
        """See `FeedbackSource.read_pages`."""
        state = parse_cursor(cursor, _BEGINNING)
        delay = int(self._settings.settle_minutes * _MILLISECONDS_PER_MINUTE)
        settled = int(time.time() * _MILLISECONDS) - delay
        for log in self._logs:
            for rows, moment in self._read_log(log, state[log.name]):
                state[log.name] = max(state[log.name], min(moment, settled))
                yield Page(rows, format_cursor(state))

    def _read_log(self, log: _Log, start: int) -> Iterator[tuple[list[Row], int]]:
        """Yield rows from a moment on, in batches, and the moment of the last one; in ms."""
        body: dict[str, Any] = {
            "size": _PAGE_DOCUMENTS,
            "query": {"range": {"timestamp": {"gte": start, "format": "epoch_millis"}}},
            "sort": [{"timestamp": "asc"}, {"_seq_no": "asc"}],
            "track_total_hits": False,
        }
        count = _PAGE_DOCUMENTS
        while count == _PAGE_DOCUMENTS:
            hits = self._search(log, body)
            count = len(hits)
            if hits:
                with expect_shape(f"a document of {log.index}"):
                    moment, number = map(int, hits[-1]["sort"])
                    rows = [self._build_row(log, hit) for hit in hits if self._is_wanted(hit)]
                yield rows, moment
                # The last one again: another shard may have one of the same moment and number.
                body["search_after"] = [moment, number - 1]

    def _is_wanted(self, hit: Mapping[str, Any]) -> bool:
        # Not a filter of the request: UBI's mapping of queries does not index the application.
        wanted = self._settings.application
        return not wanted or hit["_source"].get("application") == wanted

    def _build_row(self, log: _Log, hit: Mapping[str, Any]) -> Row:
        moment = int(hit["sort"][0]) / _MILLISECONDS
        return {**hit["_source"], "type": log.row_type, "timestamp": moment}

    def _search(self, log: _Log, body: Mapping[str, Any]) -> list[Any]:
        path = f"/{log.index}/_search"
        answer = self._client.post(path, body)
        with expect_shape(f"{self._client.url}{path}"):
            return list(answer["hits"]["hits"])


def _read_login(settings: UbiSettings) -> tuple[str, str] | None:
    user = os.environ.get(OPENSEARCH_USER_VARIABLE, "")
    password = read_secret(OPENSEARCH_PASSWORD_VARIABLE, settings.password_file, "password_file")
    if bool(user) != bool(password):
        raise ConfigError(
            f"feedback.sources: {OPENSEARCH_USER_VARIABLE} and {OPENSEARCH_PASSWORD_VARIABLE} "
            "(or password_file) belong together"
        )
    return (user, password) if user else None
