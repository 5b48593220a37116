"""What the command line does not import: most verbs need neither SciPy nor a second database."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.workspace import make_workspace

CLIENTS = {"qdrant_client", "qdrant_edge", "pymilvus", "milvus_lite", "grpc"}
FOR_SOME_VERBS = {
    "scipy",
    "threadpoolctl",
    "apscheduler",
    "prometheus_client",
    "fastapi",
    "uvicorn",
    "pyarrow",
    "matplotlib",
    "jinja2",
    "fastembed",
    "ir_datasets",
    "rich.progress",
    "nudge_sync.cycle",
    "nudge_sync.solve.fit",
    "nudge_sync.feedback.clicks.pipeline",
}
SCRIPT = """
import sys
from nudge_sync.cli.app import app
try:
    app(sys.argv[1:])
except SystemExit as ended:
    assert not ended.code, ended.code
print(*sys.modules, sep="\\n", file=sys.stderr)
"""


def list_imports(*words: str) -> set[str]:
    """The modules that are loaded once `nudge-sync` has ended."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> str:
    """The configuration of a collection that no cycle has run on."""
    return str(make_workspace(tmp_path_factory.mktemp("shop")).config_path)


@pytest.mark.parametrize("words", [("--help",), ("plan", "--help"), ("feedback", "--help")])
def test_help_needs_no_numbers_and_no_database(words):
    loaded = list_imports(*words)
    assert "typer" in loaded
    assert not loaded & (CLIENTS | FOR_SOME_VERBS | {"numpy", "nudge_sync.config"})


@pytest.mark.parametrize("verb", ["log", "unlock", "gc"])
def test_looking_at_the_ledger_needs_one_client_and_no_solver(verb, config):
    loaded = list_imports(verb, "--config", config)
    assert "numpy" in loaded
    assert loaded & CLIENTS == {"qdrant_edge"}
    assert not loaded & FOR_SOME_VERBS


def test_comparing_needs_no_solver(config):
    loaded = list_imports("verify", "--config", config)
    assert not loaded & (FOR_SOME_VERBS - {"rich.progress"})


def test_putting_back_needs_no_solver_and_no_clicks(config):
    loaded = list_imports("rollback", "--yes", "--config", config)
    assert not loaded & {"scipy.sparse", "nudge_sync.cycle", "nudge_sync.feedback.clicks.pipeline"}


def test_a_plan_needs_no_statistics_package(config):
    loaded = list_imports("plan", "--config", config)
    assert "scipy" in loaded
    assert "scipy.stats" not in loaded


def test_init_needs_no_numbers(tmp_path: Path):
    loaded = list_imports("init", "--config", str(tmp_path / "nudge-sync.toml"))
    assert not loaded & (CLIENTS | FOR_SOME_VERBS | {"numpy", "nudge_sync.config"})
