"""The repository's own source as syntax trees, for the tests that hold its rules."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CORE = ROOT / "nudge_sync"
CONNECTORS = ROOT / "connectors"
SHIPPED = (CORE, CONNECTORS)
"""What the wheel holds."""
EVERYTHING = (*SHIPPED, ROOT / "tests", ROOT / "benchmarks", ROOT / "tools")


def list_modules(*folders: Path) -> list[Path]:
    """Return every Python file below `folders`, in a fixed order; there has to be one in each."""
    by_folder = [sorted(folder.rglob("*.py")) for folder in folders]
    assert all(by_folder), f"an empty folder among {folders}"
    return [path for paths in by_folder for path in paths]


def show_path(path: Path) -> str:
    """Return a path as it is written from the repository's root."""
    return path.relative_to(ROOT).as_posix()


@cache
def parse_module(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def name_module(path: Path) -> str:
    """Return the dotted name that a shipped file is imported by."""
    start = CONNECTORS if path.is_relative_to(CONNECTORS) else ROOT
    parts = path.relative_to(start).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def list_imports(tree: ast.AST) -> set[str]:
    """Return every dotted name that a file imports, wherever in it.

    `from a import b` gives `a` and `a.b`, since `b` may be a module.
    """
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            names |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def list_imported_modules(tree: ast.AST, known: Collection[str]) -> set[str]:
    """Return which of the `known` modules a file imports.

    Of `from a import b` that is `a.b` where that is a module, and `a` otherwise.
    """
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            modules |= {name if name in known else node.module or "" for name in names}
    return modules.intersection(known)


def list_packages(tree: ast.AST) -> set[str]:
    """Return the first part of every name that a file imports."""
    return {name.partition(".")[0] for name in list_imports(tree)}


def list_public_definitions(tree: ast.Module) -> Iterator[str]:
    """Yield the names of a module's functions, classes and constants that have no underscore."""
    for node in tree.body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                names = [node.name]
            case ast.Assign():
                names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            case ast.AnnAssign(target=ast.Name(id=name)):
                names = [name]
            case _:
                names = []
        yield from (name for name in names if not name.startswith("_"))


def list_texts(tree: ast.Module) -> Iterator[str]:
    """Yield each text in the file, with "…" for what an f-string puts in."""
    for node in ast.walk(tree):
        match node:
            case ast.Constant(value=str(text)):
                yield text
            case ast.JoinedStr(values=parts):
                yield "".join(
                    part.value if isinstance(part, ast.Constant) else "…" for part in parts
                )


def list_docstrings(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield line and text of each docstring, those of fields and constants too."""
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant(value=str(text))):
                yield node.lineno, text
