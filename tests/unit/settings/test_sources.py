"""The tables of feedback sources."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from nudge_sync.connector.settings import SettingsTable, validate_settings
from nudge_sync.settings.feedback import FeedbackSettings
from nudge_sync.settings.sources import SourceSettings


def test_a_source_is_called_as_its_kind_unless_it_has_a_name():
    assert SourceSettings.model_validate({"source": "phoenix"}).name == "phoenix"
    assert SourceSettings.model_validate({"source": "phoenix", "name": "rag"}).name == "rag"


def test_the_source_gets_its_own_keys_alone():
    table = {"source": "phoenix", "name": "a", "embed": "m:f", "url": "http://x", "project": "p"}
    assert SourceSettings.model_validate(table).section == {"url": "http://x", "project": "p"}


def test_relative_paths_count_from_the_file(tmp_path):
    table = SettingsTable({"sources": [{"source": "openinference", "path": "a.jsonl"}]}, tmp_path)
    [source] = validate_settings(FeedbackSettings, table, "feedback").sources
    assert isinstance(source.section, SettingsTable)
    assert source.section.folder == tmp_path


def test_two_sources_of_one_name_are_refused():
    with pytest.raises(ValidationError, match="two sources are called 'phoenix'"):
        FeedbackSettings(sources=({"source": "phoenix"}, {"source": "phoenix"}))
