"""The tables [[feedback.sources]]: where feedback is fetched from before each cycle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from nudge_sync.connector.settings import SettingsTable
from nudge_sync.settings.embed import EmbedSettings

_CORE_KEYS = frozenset({"source", "name", "embed", "check_model"})


class SourceSettings(BaseModel):
    """One source of feedback; keys that are not here are the source's own, and handed to it."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    source: Annotated[str, Field(min_length=1)]
    """Which kind of source, such as "phoenix"."""
    name: Annotated[str, Field(max_length=100)] = ""
    """What it is called on the command line and in metrics; absent: as its kind."""
    embed: EmbedSettings | None = None
    """What embeds searches that come without a vector; absent: the `embed` of [feedback]."""
    check_model: bool = True
    """Whether to refuse searches whose vectors are clearly not of the collection's model."""
    _folder: Path | None = PrivateAttr(default=None)

    @model_validator(mode="before")
    @classmethod
    def _name_after_kind(cls, table: Any) -> Any:
        if isinstance(table, dict) and not table.get("name"):
            return {**table, "name": table.get("source", "")}
        return table

    def model_post_init(self, context: Any) -> None:
        """Keep the folder of the file, from which relative paths count."""
        self._folder = (context or {}).get("folder")

    @property
    def section(self) -> dict[str, Any]:
        """The table without the core's own keys, which is handed to the source."""
        table = {key: value for key, value in self.model_dump().items() if key not in _CORE_KEYS}
        return table if self._folder is None else SettingsTable(table, self._folder)
