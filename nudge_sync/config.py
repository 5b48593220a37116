"""One TOML file, read into one model per section; each module is handed its own section."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator, model_validator

from nudge_sync.connector.settings import Section, SettingsModel, validate_settings
from nudge_sync.errors import ConfigError
from nudge_sync.metrics import MetricName

MethodName = Literal["auto", "nothing", "nudge-n", "nudge-m", "nudge-c"]
Share = Annotated[float, Field(ge=0, le=1)]


class SolverSettings(Section):
    """How new vectors are computed."""

    method: MethodName = "auto"
    metric: MetricName = "ndcg@10"
    angle: Annotated[float, Field(gt=0, le=1.5707963267948966)] | None = None
    """Fixed angle in radians, for nudge-n and nudge-c; chosen on held-out queries if absent."""
    max_angle: Annotated[float, Field(gt=0, le=1.5707963267948966)] = 1.0471975511965976
    """No point is ever turned further from its original than this, in radians."""
    exact: bool = False
    """Search the unjudged documents exactly instead of through the index."""
    threads: Annotated[int, Field(ge=0, le=1024)] = 0
    """0: one a core."""


class GateSettings(Section):
    """When a change may be written."""

    min_queries: Annotated[int, Field(ge=1)] = 50
    """Held-out queries with an answer; fewer, and nothing can be shown to help."""
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Of the interval of the held-out gain, which has to lie above zero."""
    max_loss: Share = 0.01
    """Largest mean loss of the metric allowed to bystanders, and to the live index afterwards."""
    max_moved_share: Share = 1.0
    """Largest share of the collection one revision may write."""


class WriteSettings(Section):
    """How a plan is carried out."""

    batch_size: Annotated[int, Field(ge=1, le=100_000)] = 2000
    rate: Annotated[float, Field(gt=0)] | None = None
    """Rows a second at most; unlimited if absent."""
    pause_seconds: Annotated[float, Field(ge=0, le=86_400)] = 600.0
    """How long to wait for an index that does not keep up before giving up."""
    keep_revisions: Annotated[int, Field(ge=1)] = 5
    """How many revisions can be rolled back to."""
    keep_log: Annotated[int, Field(ge=1)] = 1000
    """How many revisions the ledger tells of, beside older ones that still have history."""
    lease_seconds: Annotated[float, Field(ge=5, le=86_400)] = 120.0


DEFAULT_ACTIONS = {
    "relevant": 1.0,
    "not_relevant": -1.0,
    "click": 1.0,
    "watch": 1.0,
    "add_to_cart": 2.0,
    "purchase": 3.0,
}


class SearchLog(Section):
    """A collection of the application's own that holds searches, and what it calls their fields.

    Dots lead into nested fields; "" means that the log does not say.
    """

    collection: str
    query_id: str = ""
    """"": the point's own id."""
    vector: str = ""
    """The name of the query's vector; "" is the default one."""
    text: str = ""
    time: str = ""
    shown: str = ""
    session: str = ""
    client: str = ""


class EventLog(Section):
    """Likewise for what people did: one point an event, or a search with the points clicked."""

    collection: str
    query_id: str
    point: str
    """A point's id, or a list of them."""
    action: str = ""
    """"": every one is a click."""
    position: str = ""
    grade: str = ""
    time: str = ""
    session: str = ""
    client: str = ""


class FeedbackSettings(Section):
    """How events become judgements."""

    searches: SearchLog | None = None
    """Searches that the application logs by itself, read where they are."""
    events: EventLog | None = None
    """Likewise events."""

    actions: dict[str, Annotated[float, Field(ge=-1000, le=1000)]] = Field(
        default_factory=lambda: dict(DEFAULT_ACTIONS)
    )
    """What each action is worth; an event's own grade multiplies it. Actions not named here are
    kept, counted and not used."""
    bias: Literal["pbm", "coec", "ipw"] = "pbm"
    """How behaviour is freed from the place it happened at: a position-based model with hidden
    relevance, clicks over expected clicks, or inverse propensities. Labels are taken as said."""
    min_belief: Annotated[float, Field(ge=0.25, lt=1)] = 0.3
    """How likely a point must be to answer a query before behaviour pulls it there, by its
    likelihood; 0.3 kept more of the gain in simulations than a half. "coec" and "ipw" are not
    likelihoods, and want a half at least."""
    min_sessions: Annotated[int, Field(ge=1)] = 1
    """Different people (or sessions, where clients are unknown) who acted on a point for a query;
    where fewer searched, all of them. Evidence is weighed anyhow: 1 did best in simulations."""
    half_life_days: Annotated[float, Field(gt=0)] | None = 180.0
    """Behaviour this much older than the newest counts half; labels do not age."""
    history_days: Annotated[float, Field(gt=0)] | None = None
    """Searches and events of days before that are not read at all, labels neither; undated ones
    always are."""
    merge_cosine: Annotated[float, Field(gt=0, le=1)] = 0.995
    """Queries at least this alike share their evidence."""
    session_cap: Annotated[int, Field(ge=1)] = 20
    """Most points that one session's behaviour counts for."""
    client_cap: Annotated[int, Field(ge=1)] = 500
    """Likewise of one client."""
    point_cap: Annotated[int, Field(ge=1)] = 5
    """On how many different queries one client's behaviour counts for the same point."""
    outliers: Annotated[float, Field(gt=0)] = 5.0
    """Clients this many deviations above the median are taken for bots and set aside."""
    negatives: bool = False
    """Whether points that people passed over to click further down are pushed away."""


class ScheduleSettings(Section):
    """When the daemon runs a cycle: `cron` or `every`; with neither it leaves the collection be."""

    cron: str | None = None
    """Five fields, as in crontab(5)."""
    every: str | None = None
    """Such as 30m, 6h, 1d or 1d12h."""
    drill_every: str | None = None
    """How often a sample of originals and history is restored and compared; such as 7d."""
    timezone: str = "UTC"
    misfire_grace_seconds: Annotated[int, Field(ge=1, le=31_536_000)] = 3600
    """A run that could not start this long after its time is left out."""

    @field_validator("every", "drill_every")
    @classmethod
    def _check_duration(cls, duration: str | None) -> str | None:
        if duration is not None:
            parse_duration(duration)
        return duration

    @field_validator("timezone")
    @classmethod
    def _check_timezone(cls, timezone: str) -> str:
        try:
            ZoneInfo(timezone)
        except (KeyError, ValueError, OSError):
            raise ValueError("no such time zone; use a name such as Europe/Berlin") from None
        return timezone

    @model_validator(mode="after")
    def _check_schedule(self) -> Self:
        if self.cron and self.every:
            raise ValueError("set cron or every, not both")
        if self.cron:
            _parse_cron(self.cron)
        return self


class CollectionSettings(Section):
    """One collection, and what it wants different from the file's own sections."""

    vector: str = ""
    schedule: ScheduleSettings = ScheduleSettings()
    solver: SolverSettings = SolverSettings()
    gate: GateSettings = GateSettings()
    write: WriteSettings = WriteSettings()
    feedback: FeedbackSettings = FeedbackSettings()


class ServeSettings(Section):
    """Where the daemon answers probes and takes feedback, and how it logs."""

    host: str = "127.0.0.1"
    """Any other address demands a token in NUDGE_SYNC_TOKEN."""
    token_file: Path | None = None
    """Holds the token where the environment does not; readable by its owner alone."""
    port: Annotated[int, Field(ge=0, le=65535)] = 9464
    """0: any free port; the log says which."""
    feedback_port: Annotated[int, Field(ge=0, le=65535)] | None = None
    """Where POST /v1/searches and /v1/events are taken; off if absent."""
    log_format: Literal["text", "json"] = "text"


class Config(Section):
    """The whole file."""

    database: dict[str, Any]
    """`connector` names the connector; the rest goes to it unread."""
    collections: dict[str, CollectionSettings]
    serve: ServeSettings = ServeSettings()

    @field_validator("database")
    @classmethod
    def _check_connector(cls, database: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(database.get("connector"), str):
            raise ValueError('needs a connector, such as connector = "qdrant"')  # noqa: TRY004
        return database

    @field_validator("collections")
    @classmethod
    def _check_collection_names(
        cls, collections: dict[str, CollectionSettings]
    ) -> dict[str, CollectionSettings]:
        if not collections:
            raise ValueError("no collection; add a table such as [collections.docs]")
        if any("__nudge_" in name or not name.strip() for name in collections):
            raise ValueError("name your own collections; those with __nudge_ are the sidecar's")
        return collections

    @property
    def connector(self) -> str:
        """The connector's name."""
        return str(self.database["connector"])

    @property
    def connection(self) -> dict[str, Any]:
        """What the connector is handed: the [database] table without `connector`."""
        return {key: value for key, value in self.database.items() if key != "connector"}


_SHARED_SECTIONS: dict[str, type[Section]] = {
    "schedule": ScheduleSettings,
    "solver": SolverSettings,
    "gate": GateSettings,
    "write": WriteSettings,
    "feedback": FeedbackSettings,
}
_TRIGGER_KEYS = frozenset({"cron", "every"})
_SECONDS_PER_UNIT = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_MAX_DURATION_SECONDS = 3660 * 86400
_DURATION_PATTERN = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?[smhdw])+")


def parse_duration(duration: str) -> float:
    """The length of a duration such as 90s, 30m, 1.5h, 1d12h.

    Raises ValueError where it is not one, is zero, or is over ten years.
    """
    text = duration.strip().lower().replace(" ", "")
    if _DURATION_PATTERN.fullmatch(text):
        parts = re.findall(r"([0-9.]+)([smhdw])", text)
        total = sum(float(number) * _SECONDS_PER_UNIT[unit] for number, unit in parts)
        if 0 < total <= _MAX_DURATION_SECONDS:
            return total
    raise ValueError("not a duration; write 90s, 30m, 6h, 1d or 1d12h")


def _parse_cron(cron: str) -> None:
    # Imported here: the scheduler would otherwise load with every verb.
    from apscheduler.triggers.cron import CronTrigger  # noqa: PLC0415

    try:
        CronTrigger.from_crontab(cron, timezone="UTC")
    except (ValueError, TypeError, KeyError):
        message = "not a cron line; write minute hour day month weekday, such as 15 3 * * *"
        raise ValueError(message) from None


def load_config(path: Path) -> Config:
    """The configuration in the TOML file at `path`.

    Top-level [solver], [gate], [write], [feedback] and [schedule] hold for every collection;
    a collection's own table overrides them key by key. Raises ConfigError.
    """
    tables = _read_tables(path)
    shared = {name: tables.pop(name) for name in _SHARED_SECTIONS if name in tables}
    for name, table in shared.items():
        _validate_table(path, _SHARED_SECTIONS[name], table, name)
    collections = tables.get("collections", {})
    if isinstance(collections, dict):
        tables["collections"] = {
            name: _merge_tables(shared, own) if isinstance(own, dict) else own
            for name, own in collections.items()
        }
    return _validate_table(path, Config, tables, "")


def _read_tables(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; `nudge-sync init` writes one") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: {error}") from None


def _validate_table(
    path: Path, model: type[SettingsModel], table: Any, where: str
) -> SettingsModel:
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: {where}: expected a table, [{where}]")
    try:
        return validate_settings(model, table, where, tuple(_SHARED_SECTIONS.items()))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _merge_tables(shared: Mapping[str, Any], own_tables: Mapping[str, Any]) -> dict[str, Any]:
    """The collection's own tables over the file's, key by key; its own cron ends a shared every."""
    merged = {**shared, **own_tables}
    for name, table in shared.items():
        own_table = own_tables.get(name)
        if isinstance(own_table, dict):
            replaced_keys = _TRIGGER_KEYS if _TRIGGER_KEYS & own_table.keys() else frozenset()
            merged[name] = {k: v for k, v in table.items() if k not in replaced_keys} | own_table
    return merged
