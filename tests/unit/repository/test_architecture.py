"""docs/architecture.md names what is there: files, functions, layers, states of a revision."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import get_args

import pytest

from nudge_sync.store.ledger import RevisionState

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
FLOWCHART, SEQUENCE, STATES = re.findall(r"^```mermaid\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
LAYER = re.compile(r'^  (\w+)\["<b>(\S+)</b><br/>(.*)"\]$', re.MULTILINE)
ROW = re.compile(r"^\| [^|]+ \| `(\S+)`(?:, `(\w+)`)? \|$", re.MULTILINE)
CHANGES = ROW.findall(PAGE.split("## Where do I change X")[1])


def names_defined_in(path: Path) -> set[str]:
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def test_every_path_in_the_text_exists():
    paths = set(re.findall(r"`((?:nudge_sync|connectors|tests|docs)/[\w./-]*)`", PAGE))
    assert len(paths) > 30
    assert [path for path in sorted(paths) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize(("path", "name"), CHANGES, ids=lambda part: part)
def test_what_is_to_be_changed_is_where_the_table_says(path, name):
    assert (ROOT / path).is_file()
    assert not name or name in names_defined_in(ROOT / path)


def test_the_table_is_read_whole():
    table = PAGE.split("| to change | begin at |\n")[1]
    assert len(CHANGES) == table.count("\n") - 1 >= 20


@pytest.mark.parametrize(("node", "place", "inside"), LAYER.findall(FLOWCHART))
def test_every_file_of_a_layer_exists(node, place, inside):
    layer = ROOT / "nudge_sync" / place
    assert place.rstrip("/").removesuffix(".py") == node
    assert layer.is_dir() if place.endswith("/") else layer.is_file()
    for name in re.findall(r"\w+(?:\.py|/)", inside.replace("<br/>", " ")):
        assert (layer / name).exists(), f"{place}{name}"


def test_every_layer_is_drawn():
    doors = {"feedback_log.py", "langchain.py", "llama_index.py", "nudge_ft.py"}
    left_out = {*doors, "__init__.py", "__main__.py", "testing"}
    package = ROOT / "nudge_sync"
    folders = {path.parent.name for path in package.glob("*/__init__.py")}
    files = {path.name for path in package.glob("*.py")}
    drawn = {place.rstrip("/") for _, place, _ in LAYER.findall(FLOWCHART)}
    assert drawn == (folders | files) - left_out


def test_arrows_go_through_the_layers_in_the_order_drawn():
    drawn = [node for node, _, _ in LAYER.findall(FLOWCHART)]
    chains = [line.split(" --> ") for line in FLOWCHART.splitlines() if "-->" in line]
    assert [node.strip() for chain in (chains[0], chains[1][1:]) for node in chain] == drawn


def test_the_order_is_the_one_that_imports_are_held_to():
    layering = ast.parse((Path(__file__).parent / "test_layering.py").read_text(encoding="utf-8"))
    [layers] = [
        ast.literal_eval(node.value)
        for node in layering.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "LAYERS"
    ]
    height = {
        layer: number for number, layers_beside in enumerate(layers) for layer in layers_beside
    }
    drawn = [node for node, _, _ in LAYER.findall(FLOWCHART)]
    assert set(drawn) == height.keys() - {"__main__"}
    assert drawn == sorted(drawn, key=lambda layer: -height[layer])


def test_the_participants_of_a_cycle_are_layers():
    drawn = {node for node, _, _ in LAYER.findall(FLOWCHART)}
    assert set(re.findall(r"participant \w as (\w+)", SEQUENCE)) - {"database"} <= drawn


def test_the_states_are_those_of_the_ledger():
    assert set(re.findall(r"--> (\w+)", STATES)) == set(get_args(RevisionState))
    described = re.findall(r"^\| `(\w+)` \| .* \| .* \|$", PAGE, re.MULTILINE)
    assert described == list(get_args(RevisionState))
