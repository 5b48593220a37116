"""A project of Langfuse as a source of feedback: its API, or a folder with its blob exports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nudge_sync.source import (
    FeedbackSource,
    refuse_secrets_in_address,
    refuse_secrets_in_table,
    validate_settings,
)
from nudge_sync.source.langfuse.export import LangfuseExport
from nudge_sync.source.langfuse.server import LANGFUSE_SECRET_VARIABLE, LangfuseServer
from nudge_sync.source.langfuse.settings import LangfuseSettings
from nudge_sync.source.openinference.trace_server import TraceServerSource


def open_langfuse(section: Mapping[str, Any]) -> FeedbackSource:
    """Return the source that a `[[feedback.sources]]` table describes. Raises ConfigError."""
    refuse_secrets_in_table(
        section, "feedback.sources", LANGFUSE_SECRET_VARIABLE, "secret_key_file"
    )
    settings = validate_settings(LangfuseSettings, section, "feedback.sources")
    if settings.export is not None:
        return LangfuseExport(settings, settings.export)
    refuse_secrets_in_address(settings.url, "feedback.sources.url", LANGFUSE_SECRET_VARIABLE)
    return TraceServerSource(settings, LangfuseServer(settings))
