"""README and docs/ are true: commands, configurations, rows, links, exit codes, make targets."""

from __future__ import annotations

import json
import re
import shlex
import tomllib

import certifi
import pytest
from typer.main import get_command

from nudge_sync import errors
from nudge_sync.cli.app import app
from nudge_sync.cli.errors import INTERRUPTED_EXIT_CODE, PIPE_CLOSED_EXIT_CODE
from nudge_sync.config import load_config
from nudge_sync.feedback.schema.rows import parse_storable_row
from nudge_sync.serve.prometheus import PrometheusMetrics
from nudge_sync.settings.sources import SourceSettings
from nudge_sync.source import open_feedback_source
from tests.support.command_line import find_unknown_words
from tests.support.documentation import (
    PAGES,
    ROOT,
    find_code_blocks,
    find_table,
    list_code,
    read_page,
)
from tests.support.source_code import SHIPPED, list_modules, list_texts, parse_module

README = read_page("README.md")


def find_commands(text: str) -> list[list[str]]:
    """Return every nudge-sync command in a page's code, as words."""
    inline = re.findall(r"`(nudge-sync [^`]+)`", text)
    fenced = re.findall(
        r"^(nudge-sync [^#\n]+)", "".join(find_code_blocks(text, "sh")), re.MULTILINE
    )
    return [shlex.split(line)[1:] for line in (*inline, *fenced)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_names_a_verb_and_options_that_it_has(page):
    for words in find_commands(page.read_text(encoding="utf-8")):
        assert words == ["VERB"] or not find_unknown_words(words), words


def test_every_command_in_a_message_names_a_verb_and_options_that_it_has():
    commands = [
        words
        for path in list_modules(*SHIPPED)
        for text in list_texts(parse_module(path))
        for words in find_commands(text)
    ]
    commands += [
        words
        for path in sorted((ROOT / "nudge_sync" / "console" / "templates").glob("*.j2"))
        for line in re.findall(r"<code>nudge-sync ([^<]+)</code>", path.read_text("utf-8"))
        for words in [shlex.split(line)]
    ]
    assert len(commands) > 30
    for words in commands:
        assert words == ["VERB"] or not find_unknown_words(words), words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page):
    for link in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        assert link.startswith("https://") or (page.parent / link).exists(), link


def test_the_configurations_load_and_are_short(tmp_path):
    path = tmp_path / "nudge-sync.toml"
    connectors = []
    for text in find_code_blocks(README, "toml"):
        path.write_text(text, encoding="utf-8")
        connectors.append(load_config(path).connector)
        assert len([line for line in text.splitlines() if line]) <= 10
    assert connectors == ["qdrant", "milvus", "qdrant-edge"]


SOURCE_TABLES = [
    table
    for page in sorted(ROOT.glob("docs/feedback/sources/*.md"))
    for text in find_code_blocks(page.read_text(encoding="utf-8"), "toml")
    for table in tomllib.loads(text)["feedback"]["sources"]
]


@pytest.mark.parametrize("table", SOURCE_TABLES, ids=lambda table: table["source"])
def test_the_tables_of_sources_open_and_are_short(table, tmp_path, monkeypatch):
    assert len(table) <= 9
    for name in ("LANGFUSE_PUBLIC_KEY", "OPENSEARCH_USERNAME"):
        monkeypatch.setenv(name, "somebody")
    monkeypatch.chdir(tmp_path)
    for name in ("langfuse.key", "langsmith.key", "opensearch.key"):
        (tmp_path / name).touch(0o600)
        (tmp_path / name).write_text("secret")
    authority = {"ca_file": certifi.where()} if "ca_file" in table else {}
    settings = SourceSettings.model_validate({**table, **authority})
    open_feedback_source(settings.source, settings.section).close()


@pytest.mark.parametrize(("page", "dimension"), [("README.md", 2), ("docs/feedback/format.md", 3)])
def test_the_rows_of_feedback_are_what_import_takes(page, dimension):
    [block] = find_code_blocks(read_page(page), "json")
    for line in block.splitlines():
        parse_storable_row(json.loads(line), dimension)


def test_the_table_of_verbs_is_complete():
    table = find_table(README, "| verb | does |")
    listed = re.findall(r"^\| `([a-z -]+)`", table, re.MULTILINE)
    group = get_command(app)
    known = [
        f"{name} {inner}" if inner else name
        for name, command in group.commands.items()
        for inner in (getattr(command, "commands", None) or [""])
    ]
    assert sorted(listed) == sorted(known)


def test_every_make_target_that_is_named_is_there():
    makefile = read_page("Makefile")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    code = {page.name: "\n".join(list_code(page.read_text(encoding="utf-8"))) for page in PAGES}
    for page, text in code.items():
        named = set(re.findall(r"\bmake ([a-z-]+)", text))
        assert named <= targets, page
    assert "make demo" in code["README.md"]


def test_every_make_target_is_described():
    makefile = read_page("Makefile")
    targets = re.findall(r"^([a-z-]+):.*?(## .+)?$", makefile, re.MULTILINE)
    assert [name for name, description in targets if not description] == []
    [phony] = re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert sorted(phony.split()) == sorted(name for name, _ in targets)


def test_the_exit_codes_are_the_errors_own():
    table = find_table(README, "| exit code |")
    listed = {int(code) for code in re.findall(r"^\| (\d+) ", table, re.MULTILINE)}
    tree = [errors.NudgeSyncError]
    for kind in tree:
        tree += kind.__subclasses__()
    assert {kind.exit_code for kind in tree} <= listed
    assert listed == {0, 1, 2, 3, INTERRUPTED_EXIT_CODE}
    assert str(PIPE_CLOSED_EXIT_CODE) in table


def test_every_error_is_drawn_in_the_tree():
    names = {
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and kind.__module__ == errors.__name__
    }
    drawn = set(re.findall(r"[├└]── (\w+)", errors.__doc__)) | {"NudgeSyncError"}
    assert names == drawn


def test_the_metrics_are_the_daemons_own():
    gauges = PrometheusMetrics()
    gauges.set_working("docs", is_working=True)
    gauges.set_next_run("docs", 1.0)
    gauges.set_last_success("docs", 1.0)
    gauges.record_cycle("docs", "applied", 1.0)
    scores = {"ndcg@10": 0.5}
    plan = {"gate": {"passed": True}, "judged": 1, "before": scores, "after": scores}
    gauges.record_plan("docs", plan)
    page = gauges.render().decode()
    text = read_page("docs/operations.md")
    rows = re.findall(r"^\| (`nudge_sync_.*?) \|", text, re.MULTILINE)
    said = {name for row in rows for name in re.findall(r"`(nudge_sync_\w+)`", row)}
    kinds = re.findall(r"^# TYPE (\S+) (counter|gauge|histogram)$", page, re.MULTILINE)
    own_kinds = {name for name, _ in kinds if not name.endswith("_created")}
    assert said == {name for name in own_kinds if name.startswith("nudge_sync_")}
    assert {name for name in own_kinds if name.startswith("process_")}
