"""What the table of a Langfuse source says."""

from __future__ import annotations

from pathlib import Path

from pydantic import field_validator, model_validator

from nudge_sync.source.openinference.settings import compile_expression
from nudge_sync.source.openinference.trace_server import TraceServerSettings


class LangfuseSettings(TraceServerSettings):
    """The table of a Langfuse source."""

    url: str = "https://cloud.langfuse.com"
    public_key: str = ""
    """The project's public key, where the environment has no LANGFUSE_PUBLIC_KEY."""
    secret_key_file: Path | None = None
    """A file with the secret key, where the environment has no LANGFUSE_SECRET_KEY."""
    export: Path | None = None
    """A folder with blob exports, which is read in place of the API."""
    environment: str = ""
    """The only environment that is read; absent: all."""
    score_point: str = "metadata.point || metadata.point_id || metadata.doc_id"
    """JMESPath from a score to the id of the point that it is on; without one it is a thumb."""

    @field_validator("score_point")
    @classmethod
    def _check_score_point(cls, expression: str) -> str:
        compile_expression(expression)
        return expression

    @model_validator(mode="after")
    def _refuse_two_places(self) -> LangfuseSettings:
        if self.export is not None and "url" in self.model_fields_set:
            raise ValueError("either url, for the API, or export, for a folder with exports")
        return self
