"""The TOML file, read into one model per section; each module is handed its own section."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import Field, PrivateAttr, field_validator, model_validator

from nudge_sync.base.times import check_cron, parse_duration
from nudge_sync.connector.settings import Section, SettingsModel, SettingsTable, validate_settings
from nudge_sync.errors import ConfigError
from nudge_sync.metrics import MetricName
from nudge_sync.settings.canary import CanarySettings
from nudge_sync.settings.compute import ComputeSettings
from nudge_sync.settings.console import ConsoleSettings
from nudge_sync.settings.feedback import FeedbackSettings

MethodName = Literal["auto", "nothing", "nudge-n", "nudge-h", "nudge-m", "nudge-c"]
Share = Annotated[float, Field(ge=0, le=1)]


class SolverSettings(Section):
    """How new vectors are computed."""

    method: MethodName = "auto"
    metric: MetricName = "ndcg@10"
    angle: Annotated[float, Field(gt=0, le=1.5707963267948966)] | None = None
    """Fixed angle in radians, for nudge-n, nudge-h and nudge-c; chosen on validation queries if
    absent."""
    max_angle: Annotated[float, Field(gt=0, le=1.5707963267948966)] = 1.0471975511965976
    """Largest angle between a point and its original, in radians."""
    cold_share: Literal["auto", "off"] | Share = "auto"
    """How much answers without feedback count when method and settings are chosen, 0 to 1. "auto":
    as the log says; "off", or 0: neither the choice nor the gate looks at them."""
    exact: bool = False
    """Whether to search the unjudged points exactly instead of through the index."""
    min_index_recall: Share = 0.9
    """Least share of the unjudged points near a query that the index has to find; a plan warns
    where it finds fewer."""
    threads: Annotated[int, Field(ge=0, le=1024)] = 0
    """Processor cores to use; 0: all."""


class GateSettings(Section):
    """When a change may be written."""

    min_queries: Annotated[int, Field(ge=1)] = 50
    """Fewest held-out queries with an answer that a change can be judged by; on a small log, where
    each fifth is held out in turn, of all fifths together."""
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Confidence of the interval of the held-out gain, which has to lie above zero."""
    max_loss: Share = 0.01
    """Largest mean loss of the metric that is accepted: against what is live, on queries that share
    no judged point with the others, and on the live index after the write."""
    max_cold_loss: Share = 0.005
    """Largest mean loss of the metric that is accepted on answers without feedback, as far as it is
    shown; not looked at where `solver.cold_share` is "off"."""
    max_moved_share: Share = 1.0
    """Largest share of the collection one revision may write."""
    max_drifted_share: Share = 0.5
    """Largest share, of the points that were ever moved, whose vectors are neither originals nor
    written by a revision that is kept; also of the points of the fingerprint that were embedded
    again by another model. 1: neither is suspected."""

    @property
    def suspects_drift(self) -> bool:
        """Whether any number of points with unknown vectors is too large."""
        return self.max_drifted_share < 1


class WriteSettings(Section):
    """How a plan is written."""

    batch_size: Annotated[int, Field(ge=1, le=100_000)] = 2000
    rate: Annotated[float, Field(gt=0)] | None = None
    """Most rows written a second; unlimited if absent."""
    pause_seconds: Annotated[float, Field(ge=0, le=86_400)] = 600.0
    """How long to wait for an index that does not keep up before the cycle fails, or a rollback
    goes on all the same; 0: not at all."""
    keep_revisions: Annotated[int, Field(ge=1)] = 5
    """How many revisions can be rolled back to."""
    keep_log: Annotated[int, Field(ge=1)] = 1000
    """How many revisions the ledger keeps, beside older ones that still have history."""
    lease_seconds: Annotated[float, Field(ge=5, le=86_400)] = 120.0
    allow_fewer_copies: bool = False
    """Whether points may move although a cluster keeps fewer copies of their originals than of the
    collection."""


class ScheduleSettings(Section):
    """When the daemon runs a cycle: by `cron` or `every`; with neither, never."""

    cron: str | None = None
    """Five fields, as in crontab(5): minute, hour, day, month, weekday (0 and 7 are Sunday)."""
    every: str | None = None
    """An interval, such as 30m, 6h, 1d or 1d12h."""
    spread: str | None = None
    """With `every`: collections begin up to so much later, such as 1h, each by a time of its own
    that is always the same, so that not all of them begin at once."""
    drill_every: str | None = None
    """How often a sample of originals and history is restored and compared; such as 7d."""
    timezone: str = "UTC"
    misfire_grace_seconds: Annotated[int, Field(ge=1, le=31_536_000)] = 3600
    """How long after its time a run may still start; later, it is left out."""
    skip_idle: bool = True
    """Whether a cycle ends at once where no feedback, setting, revision or point came or went since
    the last one on the same day (UTC)."""

    @field_validator("every", "spread", "drill_every")
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
            check_cron(self.cron)
        return self


class CollectionSettings(Section):
    """The settings of one collection: the file's shared sections with its own tables over them."""

    vector: str = ""
    schedule: ScheduleSettings = ScheduleSettings()
    solver: SolverSettings = SolverSettings()
    compute: ComputeSettings = ComputeSettings()
    gate: GateSettings = GateSettings()
    write: WriteSettings = WriteSettings()
    feedback: FeedbackSettings = FeedbackSettings()
    console: ConsoleSettings = ConsoleSettings()
    canary: CanarySettings | None = None
    """None: plans are written without a canary, unless `canary start` is called."""


class ServeSettings(Section):
    """Where the daemon answers probes and takes feedback, and how it logs."""

    host: str = "127.0.0.1"
    """An address that other machines can reach demands a token in NUDGE_SYNC_TOKEN."""
    token_file: Path | None = None
    """A file that holds the token where the environment does not, readable by its owner alone."""
    port: Annotated[int, Field(ge=0, le=65535)] = 9464
    """The port of the probes and metrics; 0: any free one, which the log names."""
    feedback_port: Annotated[int, Field(ge=0, le=65535)] | None = None
    """The port that takes POST /v1/searches and /v1/events; none if absent."""
    max_parallel: Annotated[int, Field(ge=1, le=64)] = 4
    """How many collections are worked on at once; each takes memory and processors of its own."""
    webhook_url_file: Path | None = None
    """A file that holds the address to post decisions to, readable by its owner alone; the
    environment variable NUDGE_SYNC_WEBHOOK_URL comes first."""
    webhook_secret_file: Path | None = None
    """A file that holds the secret to sign them with; NUDGE_SYNC_WEBHOOK_SECRET comes first."""
    log_format: Literal["text", "json"] = "text"
    console_port: Annotated[int, Field(ge=0, le=65535)] | None = None
    """The port of the console; none if absent, and `nudge-sync console` then takes any free one."""
    console_hosts: list[str] = Field(default_factory=list)
    """Names that people may reach the console by, beside `host`: those of a reverse proxy."""
    console_user_header: str = ""
    """The header in which a reverse proxy that has signed people in says who they are."""
    console_token_file: Path | None = None
    """A file with the token to read the console by, where NUDGE_SYNC_CONSOLE_TOKEN is not set."""
    console_action_token_file: Path | None = None
    """A file with the token to act by, where NUDGE_SYNC_CONSOLE_ACTION_TOKEN is not set."""


DEFAULT_PATIENCE = "30s"
"""How long a request that found no answer is tried again."""


class Config(Section):
    """The whole file."""

    database: dict[str, Any]
    """`connector`, `patience` (how long a request is tried again), and the connector's own keys."""
    collections: dict[str, CollectionSettings]
    serve: ServeSettings = ServeSettings()
    _folder: Path | None = PrivateAttr(default=None)
    """The folder of the file, from which relative paths count; None for one made in memory."""

    def model_post_init(self, context: Any) -> None:
        """Keep the folder that the file was read from."""
        self._folder = (context or {}).get("folder")

    @field_validator("database")
    @classmethod
    def _check_connector(cls, database: dict[str, Any]) -> dict[str, Any]:
        if not isinstance(database.get("connector"), str):
            near = get_close_matches("connector", [str(key) for key in database], n=1)
            hint = f"; {near[0]!r} is not it, did you mean 'connector'?" if near else ""
            raise ValueError(f'needs a connector, such as connector = "qdrant"{hint}')  # noqa: TRY004
        try:
            parse_duration(str(database.get("patience", DEFAULT_PATIENCE)))
        except ValueError as error:
            raise ValueError(f"patience: {error}") from None
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
        """Name of the connector."""
        return str(self.database["connector"])

    @property
    def connection(self) -> dict[str, Any]:
        """The [database] table without the core's own keys, which is handed to the connector."""
        table = {
            key: value
            for key, value in self.database.items()
            if key not in {"connector", "patience"}
        }
        return table if self._folder is None else SettingsTable(table, self._folder)

    @property
    def vector_names(self) -> dict[str, str]:
        """Collection -> the name of its vector."""
        return {name: settings.vector for name, settings in self.collections.items()}

    @property
    def patience(self) -> float:
        """Seconds for which a request that found no answer is tried again."""
        return parse_duration(str(self.database.get("patience", DEFAULT_PATIENCE)))


_SHARED_SECTIONS: dict[str, type[Section]] = {
    "schedule": ScheduleSettings,
    "solver": SolverSettings,
    "compute": ComputeSettings,
    "gate": GateSettings,
    "write": WriteSettings,
    "feedback": FeedbackSettings,
    "canary": CanarySettings,
    "console": ConsoleSettings,
}
_TRIGGER_KEYS = frozenset({"cron", "every"})


def load_config(path: Path) -> Config:
    """Return the configuration in the TOML file at `path`.

    Top-level [solver], [compute], [gate], [write], [feedback], [canary], [console] and [schedule]
    hold for every collection; a collection's own table overrides them key by key.
    Raises ConfigError.
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
        settings_table = SettingsTable(table, path.parent)
        return validate_settings(model, settings_table, where, tuple(_SHARED_SECTIONS.items()))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _merge_tables(shared: Mapping[str, Any], own_tables: Mapping[str, Any]) -> dict[str, Any]:
    """Put a collection's tables over the file's, key by key; its cron replaces a shared every."""
    merged = {**shared, **own_tables}
    for name, table in shared.items():
        own_table = own_tables.get(name)
        if isinstance(own_table, dict):
            replaced_keys = _TRIGGER_KEYS if _TRIGGER_KEYS & own_table.keys() else frozenset()
            merged[name] = {k: v for k, v in table.items() if k not in replaced_keys} | own_table
    return merged
