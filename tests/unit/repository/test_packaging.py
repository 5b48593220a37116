"""The wheel, built from the checkout, holds all that a user needs and nothing else."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CONNECTORS = {"qdrant", "qdrant-edge", "milvus"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    # Isolated, the build would need the network; hatchling is among the test dependencies.
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [path] = folder.glob("*.whl")
    with zipfile.ZipFile(path) as opened:
        yield opened


def names(wheel: zipfile.ZipFile) -> set[str]:
    return set(wheel.namelist())


def metadata(wheel: zipfile.ZipFile, name: str) -> str:
    [path] = [path for path in names(wheel) if path.endswith(f".dist-info/{name}")]
    return wheel.read(path).decode()


def test_it_holds_every_module_of_the_packages_and_nothing_else(wheel):
    built = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    sources = [
        Path(name) for name in built["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    ]
    expected = {
        f"{source.name}/{path.relative_to(ROOT / source).as_posix()}"
        for source in sources
        for path in (ROOT / source).rglob("*.py")
    }
    code = {name for name in names(wheel) if name.endswith(".py")}
    assert code == expected
    assert {path.name for path in (ROOT / "connectors").iterdir() if path.is_dir()} <= {
        source.name for source in sources
    } | {"__pycache__"}
    tops = {name.partition("/")[0] for name in names(wheel)}
    assert not tops & {"tests", "benchmarks", "connectors", "deploy", "docs", "tools"}


def test_it_holds_the_files_that_are_not_code(wheel):
    assert names(wheel) >= {
        "nudge_sync/py.typed",
        "nudge_sync/cli/template.toml",
        "nudge_sync/demo/data/metatool.npz",
        "nudge_sync/demo/data/NOTICE",
        "nudge_sync/evaluate/look.css",
        "nudge_sync/console/static/console.css",
        "nudge_sync/console/static/console.js",
        "nudge_sync/console/static/icon.svg",
        "nudge_sync/console/templates/base.html.j2",
    }
    assert wheel.getinfo("nudge_sync/demo/data/metatool.npz").file_size < 6_000_000
    assert "Apache License" in metadata(wheel, "licenses/LICENSE")
    assert not [name for name in names(wheel) if name.endswith((".pyc", ".log", "~"))]


def test_its_entry_points(wheel):
    lines = metadata(wheel, "entry_points.txt").splitlines()
    assert "nudge-sync = nudge_sync.cli.main:main" in lines
    connectors = lines[lines.index("[nudge_sync.connectors]") + 1 :]
    assert {line.partition(" = ")[0] for line in connectors if " = " in line} >= CONNECTORS


def test_what_it_depends_on(wheel):
    fields = Parser().parsestr(metadata(wheel, "METADATA"))
    required = fields.get_all("Requires-Dist") or []
    core = [line for line in required if "extra ==" not in line]
    clients = ("qdrant", "milvus", "torch", "fastapi", "matplotlib", "pandas")
    assert not [line for line in core if line.startswith(clients)]
    assert not [line for line in required if line.startswith("torch")]
    assert {*CONNECTORS, "all", "test", "lint"} <= set(fields.get_all("Provides-Extra") or [])
    assert fields["Requires-Python"] == "<3.14,>=3.11"
