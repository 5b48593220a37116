"""`init` and its template."""

from __future__ import annotations

import json
import re
import tomllib

import pytest

from nudge_sync.cli.verbs.init import render_template
from nudge_sync.config import CollectionSettings, Config, load_config
from nudge_sync.settings.canary import CanarySettings
from nudge_sync.settings.feedback import EventLog, FeedbackSettings, SearchLog
from tests.support.command_line import invoke, write_config


def test_it_writes_a_file_that_loads(tmp_path):
    path = tmp_path / "sync.toml"
    done = invoke("init", "--config", str(path), "--connector", "milvus", "--json")
    assert (done.exit_code, json.loads(done.stdout)) == (0, {"config": str(path)})
    assert load_config(path).connector == "milvus"


def test_it_does_not_replace_unless_told(tmp_path):
    path = write_config(tmp_path)
    again = invoke("init", "--config", str(path))
    assert again.exit_code == 2
    assert "--force" in again.stderr
    assert invoke("init", "--config", str(path), "--force").exit_code == 0
    assert invoke("init", "--config", str(tmp_path / "no" / "such")).exit_code == 2
    assert "is a folder" in invoke("init", "--config", str(tmp_path)).stderr
    assert invoke("init", "--config", str(tmp_path / "x"), "--connector", "dbase").exit_code == 2


@pytest.mark.parametrize("connector", ["qdrant", "qdrant-edge", "milvus"])
def test_every_line_that_the_template_comments_out_is_the_default(connector, tmp_path):
    lines = render_template(connector).splitlines()
    uncommented = "\n".join(
        line.removeprefix("# ") if re.match(r"# (\[|\w+ = )", line) else line for line in lines
    )
    tables = tomllib.loads(uncommented)
    models = {
        **dict.fromkeys(("solver", "gate", "write", "feedback", "console"), CollectionSettings),
        "serve": Config,
    }
    sections = {name: model.model_fields[name].annotation for name, model in models.items()}
    for section, model in {**sections, "canary": CanarySettings}.items():
        fields = model.model_fields
        assert set(fields) - tables[section].keys() <= {"angle"}, section
        for name, value in tables[section].items():
            default = fields[name].get_default(call_default_factory=True)
            files = {"token_file", "webhook_url_file", "webhook_secret_file"}
            files |= {"console_token_file", "console_action_token_file"}
            ports = {"feedback_port", "console_port"}
            tables_of_feedback = {"searches", "events", "sources", "embed", "traces"}
            examples = {"rate", "history_days", *tables_of_feedback, *files, *ports}
            assert value == default or name in examples, name
    external = FeedbackSettings.model_validate(tables["feedback"])
    other_places = {"files", "database", "table"}
    assert external.searches.model_fields_set | other_places == SearchLog.model_fields.keys()
    assert external.events.model_fields_set | other_places == EventLog.model_fields.keys()
    path = tmp_path / "nudge-sync.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    assert load_config(path).collections["docs"].schedule.every == "6h"
