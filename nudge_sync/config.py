"""One TOML file, read into one model per section; each module is handed its own section."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nudge_sync.errors import ConfigError

MetricName = Literal["ndcg@10", "recall@10", "recall@1", "mrr@10"]
MethodName = Literal["auto", "nothing", "nudge-n", "nudge-m", "nudge-c"]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A table of the TOML file: an unknown key is an error, a value is checked."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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
    threads: Annotated[int, Field(ge=0)] = 0
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

    batch_size: Annotated[int, Field(ge=1, le=100_000)] = 1000
    rate: Annotated[float, Field(gt=0)] | None = None
    """Rows a second at most; unlimited if absent."""
    pause_seconds: Annotated[float, Field(ge=0)] = 600.0
    """How long to wait for an index that does not keep up before giving up."""
    keep_revisions: Annotated[int, Field(ge=1)] = 5
    """How many revisions can be rolled back to."""
    lease_seconds: Annotated[float, Field(ge=5)] = 120.0


class FeedbackSettings(Section):
    """How events become judgements."""

    actions: dict[str, float] = Field(default_factory=lambda: {"relevant": 1.0, "click": 1.0})
    """What each action is worth; an event's own grade multiplies it. Actions not named here are
    kept, counted and not used."""


class ScheduleSettings(Section):
    """When the daemon runs a cycle: `cron` or `every`, not both."""

    cron: str | None = None
    every: str | None = None
    """Such as 30m, 6h, 1d."""
    timezone: str = "UTC"
    misfire_grace_seconds: Annotated[int, Field(ge=1)] = 3600


class CollectionSettings(Section):
    """One collection, and what it wants different from the file's own sections."""

    vector: str = ""
    schedule: ScheduleSettings = ScheduleSettings()
    solver: SolverSettings = SolverSettings()
    gate: GateSettings = GateSettings()
    write: WriteSettings = WriteSettings()
    feedback: FeedbackSettings = FeedbackSettings()


class ServeSettings(Section):
    """Where the daemon answers /healthz, /readyz and /metrics."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 9464


class Config(Section):
    """The whole file."""

    database: dict[str, Any]
    """`connector` names the connector; the rest goes to it unread."""
    collections: dict[str, CollectionSettings]
    serve: ServeSettings = ServeSettings()


Model = TypeVar("Model", bound=BaseModel)
_SHARED = ("schedule", "solver", "gate", "write", "feedback")


def validated(model: type[Model], table: Mapping[str, Any], where: str) -> Model:
    """The table as a `model`.

    Raises ConfigError that names `where`, each wrong key with the nearest known one, and each
    wrong value with what was expected. Values themselves are not repeated: one may be a secret.
    """
    try:
        return model.model_validate(dict(table))
    except ValidationError as error:
        raise ConfigError(
            "; ".join(_sentence(model, where, item) for item in error.errors())
        ) from None


def _sentence(model: type[BaseModel], where: str, item: Any) -> str:
    path = [str(part) for part in item["loc"]]
    place = ".".join([where, *path]) if where else ".".join(path)
    if item["type"] != "extra_forbidden":
        return f"{place}: {item['msg']}"
    near = get_close_matches(path[-1], _known_keys(model), n=1)
    return f"{place}: unknown key" + (f"; did you mean {near[0]!r}?" if near else "")


def _known_keys(model: type[BaseModel]) -> list[str]:
    keys = list(model.model_fields)
    for info in model.model_fields.values():
        inner = info.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            keys += _known_keys(inner)
    return keys + (_known_keys(CollectionSettings) if model is Config else [])


def load(path: Path) -> Config:
    """The configuration in the TOML file at `path`.

    Top-level [solver], [gate], [write], [feedback] and [schedule] hold for every collection;
    a collection's own table overrides them key by key. Raises ConfigError.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; `nudge-sync init` writes one") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: {error}") from None
    shared = {name: tables.pop(name) for name in _SHARED if name in tables}
    collections = tables.get("collections", {})
    if isinstance(collections, dict):
        tables["collections"] = {
            name: _over(shared, own) if isinstance(own, dict) else own
            for name, own in collections.items()
        }
    config = validated(Config, tables, "")
    if not config.collections:
        raise ConfigError(f"{path}: no collection; add a table such as [collections.docs]")
    return config


def _over(shared: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**shared, **own}
    for name, table in shared.items():
        if isinstance(table, dict) and isinstance(own.get(name), dict):
            merged[name] = {**table, **own[name]}
    return merged
