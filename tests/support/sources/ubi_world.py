"""OpenSearch with the two indices of UBI, filled as UBI's plugin and its JavaScript fill them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx

from nudge_sync.source.ubi.source import UbiSource, open_ubi
from nudge_sync.testing.source_conformance import LoggedOpinion, LoggedSearch
from tests.support.timeouts import TIMEOUT_SECONDS

KEYWORD = {"type": "keyword"}
# What UBI's plugin makes, as far as the fields below need it; what it does not name is dynamic in
# events, and stored without an index in queries:
# https://github.com/opensearch-project/user-behavior-insights, src/main/resources/*-mapping.json
QUERY_FIELDS = {
    "timestamp": {"type": "date"},
    "query_id": {"type": "keyword", "ignore_above": 100},
    "query": {"type": "text"},
    "query_response_id": KEYWORD,
    "query_response_hit_ids": KEYWORD,
    "user_query": {"type": "text", "fields": {"keyword": KEYWORD}},
    "client_id": KEYWORD,
}
EVENT_FIELDS = {
    "application": KEYWORD,
    "action_name": KEYWORD,
    "client_id": KEYWORD,
    "message": KEYWORD,
    "message_type": KEYWORD,
    "timestamp": {"type": "date"},
    "event_attributes": {
        "properties": {
            "object": {"properties": {"object_id": KEYWORD, "object_id_field": KEYWORD}},
            "position": {"properties": {"ordinal": {"type": "integer"}}},
        }
    },
}


class UbiWorld:
    """Two indices of their own."""

    def __init__(self, url: str, **section: Any) -> None:
        self.url = url
        salt = uuid4().hex
        self.section = {
            "url": url,
            "queries": f"ubi_queries_{salt}",
            "events": f"ubi_events_{salt}",
            **section,
        }
        self.ids: dict[str, str] = {}
        for name, fields in (("queries", QUERY_FIELDS), ("events", EVENT_FIELDS)):
            mappings = {"properties": fields, "dynamic": name == "events"}
            settings = {"number_of_replicas": 0, "number_of_shards": 3}
            body = {"mappings": mappings, "settings": settings}
            self._request("PUT", f"/{self.section[name]}", json=body)

    def open(self) -> UbiSource:
        return open_ubi(self.section)

    def open_unreachable(self) -> UbiSource:
        return open_ubi({**self.section, "url": "http://127.0.0.1:9"})

    def log_searches(self, searches: Sequence[LoggedSearch]) -> str:
        """See `SourceWorld.log_searches`; return the bulk request."""
        self.ids |= {search.text: str(uuid4()) for search in searches}
        documents = [
            {
                "timestamp": format_moment(search.time),
                "query_id": self.ids[search.text],
                "query_response_id": str(uuid4()),
                "query_response_hit_ids": list(search.shown),
                "user_query": search.text,
                "client_id": search.client,
                # Not UBI's: an application may add it.
                "session_id": search.session,
                "application": "shop",
            }
            for search in searches
        ]
        return self.add_documents("queries", documents)

    def log_opinions(self, opinions: Sequence[LoggedOpinion]) -> None:
        documents = [
            {
                **self.build_event(opinion.search, opinion.point, "relevant"),
                "rating": opinion.grade,
            }
            for opinion in opinions
        ]
        self.add_documents("events", documents)

    def build_event(self, search: LoggedSearch, point: str, action: str) -> dict[str, Any]:
        return {
            "application": "shop",
            "action_name": action,
            "client_id": search.client,
            "query_id": self.ids[search.text],
            "timestamp": format_moment(search.time + 5),
            "event_attributes": {
                "session_id": search.session,
                "object": {"object_id": point, "object_id_field": "id"},
                "position": {"ordinal": search.shown.index(point) + 1},
            },
        }

    def add_documents(self, name: str, documents: Sequence[dict[str, Any]]) -> str:
        """Send documents in a bulk request; return its text."""
        lines = []
        for document in documents:
            lines += [{"index": {"_index": self.section[name]}}, document]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        headers = {"Content-Type": "application/x-ndjson"}
        answer = self._request("POST", "/_bulk?refresh=true", content=text, headers=headers)
        assert answer["errors"] is False, answer
        return text

    def _request(self, method: str, path: str, **arguments: Any) -> Any:
        answer = httpx.request(method, self.url + path, timeout=TIMEOUT_SECONDS, **arguments)
        answer.raise_for_status()
        return answer.json()


def format_moment(moment: float) -> str:
    text = datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
