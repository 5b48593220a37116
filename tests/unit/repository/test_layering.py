"""Arrows point one way: connectors know the core, the core knows no connector."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
CORE = ROOT / "nudge_sync"
CLIENTS = {"qdrant_client", "qdrant_edge", "pymilvus", "milvus_lite", "milvus", "grpc"}
PURE = [*sorted((CORE / "solve").rglob("*.py")), CORE / "metrics.py", CORE / "planning" / "plan.py"]
OUTSIDE = {
    "asyncio",
    "datetime",
    "http",
    "io",
    "logging",
    "multiprocessing",
    "os",
    "pathlib",
    "random",
    "requests",
    "rich",
    "shutil",
    "socket",
    "sqlite3",
    "subprocess",
    "sys",
    "tempfile",
    "time",
    "typer",
    "urllib",
    "warnings",
}
OUTSIDE_CALLS = {"open", "print", "input", "exec", "eval", "__import__"}
OUTSIDE_METHODS = {"load", "save", "savez", "fromfile", "tofile", "memmap", "seed", "default_rng"}


def imports(path: Path) -> set[str]:
    """Every module that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            found |= {node.module or "", *(f"{node.module}.{each.name}" for each in node.names)}
    return found


def tops(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imports(path)}


def names(path: Path) -> set[str]:
    """What a file calls: `open`, and `np.load` as `load`."""
    calls = [
        node.func
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    ]
    plain = {call.id for call in calls if isinstance(call, ast.Name)} & OUTSIDE_CALLS
    numpy = {
        call.attr
        for call in calls
        if isinstance(call, ast.Attribute)
        and ast.unparse(call.value) in {"np", "numpy", "np.random", "numpy.random"}
    }
    return plain | (numpy & OUTSIDE_METHODS)


def modules(folder: Path) -> list[Path]:
    found = sorted(folder.rglob("*.py"))
    assert found, f"nothing in {folder}"
    return found


def connectors() -> list[Path]:
    found = [each for each in sorted((ROOT / "connectors").iterdir()) if each.is_dir()]
    return [each for each in found if each.name != "__pycache__"]


@pytest.mark.parametrize("path", modules(CORE), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_core_imports_no_connector_and_no_client(path):
    known = {each.name for each in connectors()} | CLIENTS
    assert not tops(path) & known


@pytest.mark.parametrize("path", PURE, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_pure_core_does_no_io_no_logging_and_no_clock(path):
    assert not tops(path) & OUTSIDE
    assert not names(path)


@pytest.mark.parametrize("folder", connectors(), ids=lambda folder: folder.name)
def test_connectors_know_only_the_contract(folder):
    allowed = {"connector", "errors", "config", "testing"}
    for path in modules(folder):
        for name in imports(path):
            parts = name.split(".")
            if parts[0] == "nudge_sync" and len(parts) > 1:
                assert parts[1] in allowed, f"{path}: {name}"


def test_connectors_do_not_know_each_other():
    shared = {"nudge_sync_qdrant_common"}
    for folder in connectors():
        others = {each.name for each in connectors()} - {folder.name} - shared
        for path in modules(folder):
            assert not tops(path) & others, path


def test_connectors_do_not_log():
    for folder in connectors():
        for path in modules(folder):
            assert not tops(path) & {"logging", "asyncio", "typer", "rich"}, path


def test_connectors_is_no_package():
    assert not (ROOT / "connectors" / "__init__.py").exists()


def test_what_the_tests_would_catch(tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text(
        "def f():\n    import pymilvus.orm\n    from time import time\n    np.load(open('x'))\n"
    )
    assert tops(bad) >= {"pymilvus", "time"}
    assert names(bad) == {"open", "load"}
