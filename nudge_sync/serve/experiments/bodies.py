"""The bodies of /v1/rank and /v1/search: what they may hold, and what is answered."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nudge_sync.connector import LARGEST_ANSWER
from nudge_sync.errors import InputError
from nudge_sync.experiment.rank import Request
from nudge_sync.experiment.ranked import Ranked
from nudge_sync.experiment.results import read_id

Name = Annotated[str, Field(max_length=1000)]
ResultCount = Annotated[int, Field(ge=1, le=LARGEST_ANSWER)]
PointIdField = Annotated[int, Field(strict=True)] | Annotated[str, Field(strict=True)]
Number = Annotated[float, Field(allow_inf_nan=False)]
_MAX_FLOAT32 = 3.4028234663852886e38
Component = Annotated[float, Field(ge=-_MAX_FLOAT32, le=_MAX_FLOAT32, allow_inf_nan=False)]
"""Of a vector, which is searched with as float32."""
Body = TypeVar("Body", bound=BaseModel)


class ResultBody(BaseModel):
    """One result: its id, and a score that grows with nearness (minus a Euclidean distance)."""

    model_config = ConfigDict(extra="forbid")

    id: PointIdField
    score: Number


class _SearchFields(BaseModel):
    model_config = ConfigDict(extra="forbid")

    query_vector: Annotated[list[Component], Field(min_length=1)]
    k: ResultCount
    """How many results to show."""
    session: Name = ""
    client: Name = ""
    text: Annotated[str, Field(max_length=60_000)] = ""
    query_id: Name = ""
    """That of an earlier call to replace, as after a `wanted`; a new one if empty."""


class RankBody(_SearchFields):
    """The results of a search that the application made itself."""

    results: Annotated[list[ResultBody], Field(max_length=LARGEST_ANSWER)]
    """Best first."""
    limit: ResultCount | None = None
    """How many were asked for; where fewer came, there are no more."""
    filtered: bool = False
    """Whether the search had a filter: then only what it returned is ranked."""

    def to_request(self) -> Request:
        """Return the search as it is ranked."""
        pairs = [(result.id, result.score) for result in self.results]
        return Request(
            self.query_vector,
            pairs,
            self.k,
            self.session,
            self.client,
            self.text,
            self.query_id,
            self.limit,
            is_filtered=self.filtered,
        )


class SearchBody(_SearchFields):
    """A search that the sidecar makes."""

    filter: dict[str, Any] | str | None = None
    """Of the database's own: JSON for Qdrant, an expression for Milvus."""

    def to_request(self) -> Request:
        """Return the search without its results."""
        return Request(
            self.query_vector, (), self.k, self.session, self.client, self.text, self.query_id
        )


def parse_search_body(model: type[Body], content: bytes) -> Body:
    """Return the body as a `model`. Raises InputError, which names the field but not its value."""
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        path = ".".join(str(part) for part in first["loc"]) or "the body"
        raise InputError(f"{path}: {first['msg']}") from None


def summarise_ranked(ranked: Ranked, depth: int) -> dict[str, Any]:
    """Return the answer's fields; depth: how many results to ask for in this session's searches."""
    return {
        "query_id": ranked.query_id,
        "experiment": ranked.experiment,
        "arm": ranked.arm,
        "teams": list(ranked.teams),
        "fallback": ranked.fallback,
        "wanted": ranked.wanted,
        "depth": depth,
        "results": [{"id": read_id(item), "score": item[1]} for item in ranked.results],
    }
