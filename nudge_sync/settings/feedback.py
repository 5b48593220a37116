"""The table [feedback]: where searches and events are, and how they become judgements."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from nudge_sync.connector.settings import Section
from nudge_sync.settings.embed import EmbedSettings
from nudge_sync.settings.log_place import LogPlace
from nudge_sync.settings.sources import SourceSettings
from nudge_sync.settings.traces import TraceIntakeSettings

_SHORTEST_BLOCK = 1 / 24
"""In days."""
DEFAULT_ACTIONS = {
    "relevant": 1.0,
    "not_relevant": -1.0,
    "click": 1.0,
    "watch": 1.0,
    "add_to_cart": 2.0,
    "purchase": 3.0,
}


class SearchLog(LogPlace):
    """Where an application keeps its searches, and the names of their fields.

    Dots lead into nested fields; "" means that the log has no such field.
    """

    query_id: str = ""
    """The field of the query's id; "": the point's own id. Files and tables need it."""
    vector: str = ""
    """The name of the query's vector; "" is the default vector. Files and tables need it."""
    text: str = ""
    time: str = ""
    shown: str = ""
    session: str = ""
    client: str = ""

    @model_validator(mode="after")
    def _check_columns(self) -> Self:
        if self.is_table and not (self.query_id and self.vector):
            raise ValueError("files and tables need query_id and vector, the names of two columns")
        return self


class EventLog(LogPlace):
    """Where an application keeps its events, and the names of their fields.

    Each of its points or rows is one event, or a search with the list of the points clicked. Dots
    lead into nested fields; "" means that the log has no such field.
    """

    query_id: str
    point: str
    """The field of the point's id, or of a list of ids."""
    action: str = ""
    """The field of the action; "": every event is a click."""
    position: str = ""
    grade: str = ""
    time: str = ""
    session: str = ""
    client: str = ""


class FeedbackSettings(Section):
    """How events become judgements."""

    searches: SearchLog | None = None
    """Searches that the application logs in a place of its own; only read."""
    events: EventLog | None = None
    """Events that the application logs in a place of its own; only read."""
    embed: EmbedSettings | None = None
    """What embeds texts of queries: of searches that come without a vector, and of those that are
    tried in the console."""
    traces: TraceIntakeSettings | None = None
    """How traces sent to the daemon become feedback; absent: none are taken."""
    sources: tuple[SourceSettings, ...] = ()
    """Where searches and events are fetched from before each cycle."""
    actions: dict[str, Annotated[float, Field(ge=-1000, le=1000)]] = Field(
        default_factory=lambda: dict(DEFAULT_ACTIONS)
    )
    """Action -> what it is worth, which an event's own grade multiplies. Actions that are not named
    here are stored and counted, but not used."""
    bias: Literal["pbm", "coec", "ipw"] = "pbm"
    """How position bias is taken out of clicks: a position-based model with hidden relevance, which
    also learns whether people stop after a click; clicks over expected clicks; or inverse
    propensities. Labels have none."""
    min_belief: Annotated[float, Field(ge=0.25, lt=1)] = 0.3
    """How relevant a point must be to a query before behaviour moves it there. With "pbm" that is a
    probability, and 0.3 kept more of the gain in simulations than 0.5 did; the figures of "coec"
    and "ipw" are no probabilities, and 0.5 is the least to use."""
    min_sessions: Annotated[int, Field(ge=1)] = 1
    """Fewest people (or sessions, where clients are unknown) who must have acted on a point for a
    query; where fewer searched, all of them. The click model weighs evidence anyway, and 1 did best
    in simulations."""
    half_life_days: Annotated[float, Field(gt=0)] | None = 180.0
    """Age at which behaviour counts half, against the newest; labels do not age."""
    history_days: Annotated[float, Field(gt=0)] | None = None
    """Age in days beyond which searches and events, labels included, are not read at all; those
    without a date always are."""
    block_days: Annotated[float, Field(ge=0, le=366)] = 1.0
    """How many days of the log are kept together as one block of columns, once they are over, so
    that later cycles need not read their records; 0: none are."""
    traffic_exponent: Annotated[float, Field(ge=0, le=1)] = 0.5
    """How much more a query counts that more people ask: its weight grows with their number to this
    power; 0: every query counts alike, 1: every person."""
    merge_cosine: Annotated[float, Field(gt=0, le=1)] = 0.995
    """Cosine from which on two queries share their evidence."""
    session_cap: Annotated[int, Field(ge=1)] = 20
    """Most points that the behaviour of one session counts for."""
    client_cap: Annotated[int, Field(ge=1)] = 500
    """Most points that the behaviour of one client counts for."""
    point_cap: Annotated[int, Field(ge=1)] = 5
    """Most queries on which one client's behaviour counts for the same point."""
    outliers: Annotated[float, Field(gt=0)] = 5.0
    """Clients this many deviations more active than the median are left out as bots."""
    negatives: bool = False
    """Whether points that people skipped to click further down are moved away from the query."""

    @field_validator("block_days")
    @classmethod
    def _check_block_days(cls, days: float) -> float:
        if 0 < days < _SHORTEST_BLOCK:
            raise ValueError("blocks hold an hour at least; 0 has none")
        return days

    @field_validator("sources")
    @classmethod
    def _check_source_names(cls, sources: tuple[SourceSettings, ...]) -> tuple[SourceSettings, ...]:
        names = [source.name for source in sources]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f'two sources are called {name!r}; give each a name = "..."')
        return sources
