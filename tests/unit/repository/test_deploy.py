"""The example configurations load; containers and the systemd unit are locked down."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml

from nudge_sync.config import load_config
from tests.support.command_line import find_unknown_words
from tests.support.documentation import read_page

DEPLOY = Path(__file__).parents[3] / "deploy"
COMPOSE = sorted(DEPLOY.glob("compose.*.yml"))
MONITORING = DEPLOY / "monitoring.yml"


@pytest.mark.parametrize("path", sorted(DEPLOY.glob("*.toml")), ids=lambda path: path.name)
def test_every_example_configuration_loads(path):
    config = load_config(path)
    assert path.name == f"nudge-sync.{config.connector}.toml"
    schedule = config.collections["docs"].schedule
    assert schedule.every or schedule.cron


def test_there_is_an_example_for_every_connector():
    names = {path.name for path in DEPLOY.glob("*.toml")}
    assert names == {f"nudge-sync.{name}.toml" for name in ("qdrant", "qdrant-edge", "milvus")}


@pytest.mark.parametrize("path", [*COMPOSE, MONITORING], ids=lambda path: path.name)
def test_compose_pins_images_and_opens_nothing_to_the_network(path):
    text = path.read_text(encoding="utf-8")
    for image in re.findall(r"image: (\S+)", text):
        assert re.search(r":v?\d+\.\d+\.\d+$", image), image
    for published in re.findall(r"- (\S*\d+:\d+)$", text, re.MULTILINE):
        assert published.startswith("127.0.0.1:"), published
    mounted = re.findall(r"- \./([\w./-]+):", text)
    assert mounted
    assert all((DEPLOY / name).is_file() for name in mounted)


@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.name)
def test_compose_asks_for_a_token_and_can_be_monitored(path):
    text = path.read_text(encoding="utf-8")
    assert "NUDGE_SYNC_TOKEN:?" in text
    assert f"include: [{MONITORING.name}]" in text
    assert MONITORING.read_text(encoding="utf-8").count("profiles: [monitoring]") == 2


def test_the_image_is_pinned_and_runs_as_nobody():
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^ARG BASE=python:3\.\d+\.\d+-slim-\w+$", text, re.MULTILINE)
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)
    assert text.count("\nFROM ${BASE}") == 2
    root = DEPLOY.parent
    for name in re.search(r"^COPY (.+) \./$", text, re.MULTILINE)[1].split():
        assert (root / name).is_file(), name
    assert len(COMPOSE) == 2


def test_the_image_installs_the_releases_that_were_tested() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    [path] = re.findall(r"--constraint (\S+)", text)
    assert (DEPLOY.parent / path).is_file()
    folders = re.findall(r"^COPY (\S+) \1$", text, re.MULTILINE)
    assert set(folders) == {"requirements", "nudge_sync", "connectors"}
    sent = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert {f"!{folder}" for folder in folders} <= set(sent)


IN_NO_IMAGE = {
    # An application's, `evaluate`'s, and this repository's.
    *("langchain", "llama-index", "report", "beir"),
    *("all", "test", "docs", "audit", "lint", "hooks"),
}


def test_the_image_can_do_what_the_daemon_may_be_told():
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    [line] = re.findall(r'"\.\[(.+)\$\{EXTRAS:\+,\$EXTRAS\}\]"$', text, re.MULTILINE)
    assert "\nARG EXTRAS=\n" in text
    installed = set(line.split(","))
    files = [path for path in DEPLOY.rglob("*") if path.is_file()]
    named = {
        name
        for path in files
        for name in re.findall(r'connector = "([\w-]+)"', path.read_text(encoding="utf-8"))
    }
    assert named == {"qdrant", "qdrant-edge", "milvus"} <= installed
    [choice] = re.findall(r"--build-arg EXTRAS=([\w,-]+)", read_page("docs/kubernetes.md"))
    project = tomllib.loads(read_page("pyproject.toml"))["project"]
    assert installed | {*choice.split(",")} | IN_NO_IMAGE == set(project["optional-dependencies"])


def test_every_command_names_a_verb_and_options_that_it_has():
    commands = [
        shlex.split(line)
        for path in DEPLOY.rglob("*")
        if path.is_file()
        for line in re.findall(
            r"(?:/bin/|-- |`)nudge-sync ([^`\n]+)", path.read_text(encoding="utf-8")
        )
    ]
    for path in COMPOSE:
        services = yaml.safe_load(path.read_text(encoding="utf-8"))["services"]
        commands.append(services["nudge-sync"]["command"])
    assert len(commands) >= 4
    for words in commands:
        assert not find_unknown_words(words), words


def test_the_unit_is_told_to_wait_for_the_batch_in_hand():
    text = (DEPLOY / "nudge-sync.service").read_text(encoding="utf-8")
    for line in ("NoNewPrivileges=yes", "ProtectSystem=strict", "RestartPreventExitStatus=2"):
        assert line in text
    # What nudge_sync/serve/service_manager.py speaks.
    for line in ("Type=notify", "ExecReload=/bin/kill -HUP $MAINPID", "WatchdogSec=60"):
        assert f"\n{line}\n" in text
    [families] = re.findall(r"^RestrictAddressFamilies=(.+)$", text, re.MULTILINE)
    assert "AF_UNIX" in families.split()
    assert int(re.search(r"TimeoutStopSec=(\d+)", text)[1]) >= 60
