"""Imports point one way: each layer knows those below it, and connectors know the contract alone.

What an import inside a function or under TYPE_CHECKING names counts too.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.support.source_code import (
    CONNECTORS,
    CORE,
    ROOT,
    SHIPPED,
    list_imported_modules,
    list_imports,
    list_modules,
    list_packages,
    name_module,
    parse_module,
    show_path,
)

LAYERS = (
    {"errors"},
    {"base"},
    {"metrics"},
    {"connector"},
    {"settings", "source"},
    {"config"},
    {"solve", "compute"},
    {"store"},
    {"tuning"},
    {"feedback"},
    {"experiment"},
    {"planning"},
    {"writing"},
    {"evaluate"},
    {"cycle"},
    {"canary"},
    {"console"},
    {"serve", "demo"},
    {"cli"},
    {"__main__"},
)
"""Files and folders of nudge_sync, bottom up: each may import what stands in the sets before its
own. Those that share a set do not know each other."""
DOORS = {
    "testing": ("feedback", set()),
    "nudge_ft": ("tuning", set()),
    "feedback_log": ("feedback", set()),
    "langchain": ("experiment", {"feedback_log"}),
    "llama_index": ("experiment", {"feedback_log"}),
    "__init__": ("experiment", {"feedback_log"}),
}
"""What applications and plug-in authors import: the highest layer that a door may use, and other
doors. No layer uses a door."""
WITHOUT_DATABASE = {
    "solve": {"errors", "base", "metrics"},
    "tuning": {"errors", "base", "metrics", "solve"},
}
"""Layers that work on arrays alone, and everything of nudge_sync that they may import."""
CONTRACT = {"connector", "errors", "config", "testing"}
"""What a connector may know of nudge_sync. Of config that is the type of its own section."""
SHARED_BY_CONNECTORS = {"nudge_sync_qdrant_common"}
CLIENTS = {"qdrant_client", "qdrant_edge", "pymilvus", "milvus_lite", "milvus", "grpc"}
PURE = [*list_modules(CORE / "solve"), CORE / "metrics.py", CORE / "planning" / "plan.py"]
IMPURE_PACKAGES = {
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
IMPURE_CALLS = {"open", "print", "input", "exec", "eval", "__import__"}
IMPURE_NUMPY = {"load", "save", "savez", "fromfile", "tofile", "memmap", "seed", "default_rng"}


def list_allowed(place: str) -> set[str]:
    """Return the files and folders of nudge_sync that one of them may import."""
    highest, doors = DOORS.get(place, (None, set()))
    allowed = {place} | doors
    for layer in LAYERS:
        if highest is None and place in layer:
            return allowed
        allowed |= layer
        if highest in layer:
            return allowed
    raise AssertionError(f"nudge_sync/{place} stands in no layer; add it where it belongs")


def list_places(tree: ast.AST) -> set[str]:
    """Return the files and folders of nudge_sync that a syntax tree imports from."""
    places = {path.stem for path in CORE.iterdir()}
    names = [name.split(".") for name in list_imports(tree)]
    inside = [parts for parts in names if parts[0] == "nudge_sync"]
    # A name that is no place comes from nudge_sync/__init__.py: `from nudge_sync import finetune`.
    return {parts[1] if parts[1] in places else "__init__" for parts in inside if len(parts) > 1}


def list_impure_calls(tree: ast.AST) -> set[str]:
    """Return which calls read, write or draw at random: `open`, and `np.load` as `load`."""
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    plain = {call.id for call in calls if isinstance(call, ast.Name)} & IMPURE_CALLS
    numpy = {
        call.attr
        for call in calls
        if isinstance(call, ast.Attribute)
        and ast.unparse(call.value) in {"np", "numpy", "np.random", "numpy.random"}
    }
    return plain | (numpy & IMPURE_NUMPY)


def build_import_graph(trees: Mapping[str, ast.AST]) -> dict[str, set[str]]:
    """Return module -> the modules among `trees` that it imports, by their dotted names."""
    return {name: list_imported_modules(tree, trees) - {name} for name, tree in trees.items()}


def find_circle(graph: Mapping[str, set[str]]) -> list[str]:
    """Return modules that import each other in a circle, the first one again at the end, or []."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        return circle[::-1]
    return []


def list_connectors() -> list[Path]:
    folders = [path for path in sorted(CONNECTORS.iterdir()) if path.is_dir()]
    return [path for path in folders if path.name != "__pycache__"]


@pytest.mark.parametrize("path", list_modules(CORE), ids=show_path)
def test_a_file_imports_only_from_the_layers_below_its_own(path):
    place = path.relative_to(CORE).parts[0].removesuffix(".py")
    arrows_back = list_places(parse_module(path)) - list_allowed(place)
    assert not arrows_back, f"{show_path(path)} imports nudge_sync.{arrows_back}"


def test_every_layer_is_there_once():
    listed = [*(place for layer in LAYERS for place in layer), *DOORS]
    there = {
        path.stem
        for path in CORE.iterdir()
        if path.suffix == ".py" or (path.is_dir() and path.name != "__pycache__")
    }
    assert sorted(listed) == sorted(there)


@pytest.mark.parametrize(("place", "allowed"), WITHOUT_DATABASE.items())
def test_what_works_on_arrays_knows_no_database(place, allowed):
    for path in list_modules(CORE / place):
        assert list_places(parse_module(path)) <= {place, *allowed}, show_path(path)


def test_no_files_import_each_other_in_a_circle():
    trees = {name_module(path): parse_module(path) for path in list_modules(*SHIPPED)}
    assert find_circle(build_import_graph(trees)) == []


@pytest.mark.parametrize("path", list_modules(CORE), ids=show_path)
def test_the_core_imports_no_connector_and_no_client(path):
    known = {folder.name for folder in list_connectors()} | CLIENTS
    assert not list_packages(parse_module(path)) & known


@pytest.mark.parametrize("path", PURE, ids=show_path)
def test_the_pure_core_does_no_io_no_logging_and_no_clock(path):
    tree = parse_module(path)
    assert not list_packages(tree) & IMPURE_PACKAGES
    assert not list_impure_calls(tree)


@pytest.mark.parametrize("path", list_modules(CONNECTORS), ids=show_path)
def test_connectors_know_only_the_contract(path):
    assert list_places(parse_module(path)) <= CONTRACT


@pytest.mark.parametrize("folder", list_connectors(), ids=lambda folder: folder.name)
def test_connectors_do_not_know_each_other(folder):
    others = {each.name for each in list_connectors()} - {folder.name} - SHARED_BY_CONNECTORS
    for path in list_modules(folder):
        assert not list_packages(parse_module(path)) & others, show_path(path)


@pytest.mark.parametrize("path", list_modules(CONNECTORS), ids=show_path)
def test_connectors_do_not_log(path):
    assert not list_packages(parse_module(path)) & {"logging", "asyncio", "typer", "rich"}


def test_connectors_is_no_package():
    assert not (ROOT / "connectors" / "__init__.py").exists()


def test_what_the_tests_would_catch():
    tree = ast.parse(
        "import nudge_sync.cli.app\n"
        "def f():\n"
        "    import pymilvus.orm\n"
        "    from time import time\n"
        "    from nudge_sync import feedback, FeedbackLog\n"
        "    np.load(open('x'))\n"
    )
    assert list_packages(tree) == {"nudge_sync", "pymilvus", "time"}
    assert list_impure_calls(tree) == {"open", "load"}
    assert list_places(tree) == {"cli", "feedback", "__init__"}
    assert not list_places(tree) & list_allowed("solve")
    assert "serve" not in list_allowed("demo")
    assert "langchain" not in list_allowed("cli")
    with pytest.raises(AssertionError, match="stands in no layer"):
        list_allowed("utils")


def test_a_circle_would_be_named():
    sources = {
        "p": "from p.a import name",
        "p.a": "from p import b",
        "p.b": "def late():\n    import p.c",
        "p.c": "from p.a import name",
        "p.d": "import p.a",
    }
    graph = build_import_graph({name: ast.parse(text) for name, text in sources.items()})
    assert sorted(find_circle(graph)[1:]) == ["p.a", "p.b", "p.c"]
    del graph["p.c"]
    assert find_circle(graph) == []
