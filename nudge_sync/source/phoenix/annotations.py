"""Annotations of Phoenix as opinions: of spans over REST, of their documents over GraphQL.

The REST interface takes annotations of documents, and lists those of spans alone. Phoenix counts a
document's position from 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nudge_sync.errors import SourceError
from nudge_sync.source.http import JsonClient
from nudge_sync.source.openinference.spans import Opinion, Span, parse_time

_BATCH_SPANS = 200
"""Spans that are named in one request."""
_BATCH_NODES = 50
"""Spans that are asked for in one request of GraphQL; Phoenix allows no more."""
_DOCUMENT_FIELDS = "documentPosition score label annotatorKind updatedAt"


def read_opinions(
    client: JsonClient, project_path: str, spans: Sequence[Span], node_ids: Mapping[str, str]
) -> list[Opinion]:
    """Return all annotations of spans and of the documents of searches.

    node_ids: id of a retriever span -> its id in GraphQL. Raises SourceError.
    """
    opinions: list[Opinion] = []
    for start in range(0, len(spans), _BATCH_SPANS):
        batch = spans[start : start + _BATCH_SPANS]
        opinions += _list_span_opinions(client, project_path, [span.span_id for span in batch])
        nodes = [
            (span.span_id, node_ids[span.span_id]) for span in batch if span.span_id in node_ids
        ]
        for first in range(0, len(nodes), _BATCH_NODES):
            opinions += _list_document_opinions(client, dict(nodes[first : first + _BATCH_NODES]))
    return opinions


def _list_span_opinions(
    client: JsonClient, project_path: str, span_ids: Sequence[str]
) -> Iterator[Opinion]:
    cursor: str | None = ""
    while cursor is not None:
        parameters: list[tuple[str, Any]] = [("span_ids", span_id) for span_id in span_ids]
        parameters += [("limit", 1000), *([("cursor", cursor)] if cursor else [])]
        answer = client.get(f"{project_path}/span_annotations", parameters)
        for entry in answer["data"]:
            result = entry.get("result") or {}
            yield Opinion(
                span_id=entry["span_id"],
                score=result.get("score"),
                label=result.get("label") or "",
                annotator=entry["annotator_kind"],
                time=parse_time(entry["updated_at"]),
                client=str((entry.get("metadata") or {}).get("user_id") or ""),
            )
        cursor = answer["next_cursor"]


def _list_document_opinions(client: JsonClient, nodes: Mapping[str, str]) -> Iterator[Opinion]:
    span_ids = list(nodes)
    parts = [
        f'n{index}: node(id: "{nodes[span_id]}") '
        f"{{ ... on Span {{ documentEvaluations {{ {_DOCUMENT_FIELDS} }} }} }}"
        for index, span_id in enumerate(span_ids)
    ]
    answer = client.post("/graphql", {"query": "{ " + " ".join(parts) + " }"})
    if answer.get("errors"):
        raise SourceError(f"{client.url}/graphql: {answer['errors'][0].get('message')}")
    for index, span_id in enumerate(span_ids):
        for entry in (answer["data"][f"n{index}"] or {}).get("documentEvaluations") or ():
            yield Opinion(
                span_id=span_id,
                score=entry["score"],
                label=entry["label"] or "",
                annotator=entry["annotatorKind"],
                time=parse_time(entry["updatedAt"]),
                document=entry["documentPosition"],
            )
