"""A public name has one home, and no name uses a word that the glossary retired."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path

import pytest

from tests.support.source_code import (
    CONNECTORS,
    CORE,
    ROOT,
    SHIPPED,
    list_modules,
    list_public_definitions,
    parse_module,
    show_path,
)

GLOSSARY = ROOT / "docs" / "glossary.md"
VERBS = CORE / "cli" / "verbs"
SAME_NAME_BY_DESIGN = {
    # One class for each framework, so that applications of both read alike.
    "LoggedRetriever": {"nudge_sync/langchain.py", "nudge_sync/llama_index.py"},
    # `nudge_sync.connector.connect` opens what the entry point of that name makes.
    "connect": {"nudge_sync/connector/entry_points.py"},
}
"""Public names with several homes, and those homes. Beside them: each function of
cli/verbs, which is named like the command, often as the function that it calls; and what has one
role in several connectors (see `have_one_role`)."""


def collect_homes(paths: list[Path]) -> dict[str, set[str]]:
    """Return public name -> the files that define it at their top level, verbs left out."""
    homes: dict[str, set[str]] = {}
    for path in paths:
        body = parse_module(path).body
        if path.is_relative_to(VERBS):
            body = [node for node in body if not isinstance(node, ast.FunctionDef)]
        for name in list_public_definitions(ast.Module(body, [])):
            homes.setdefault(name, set()).add(show_path(path))
    return homes


def have_one_role(left: str, right: str) -> bool:
    """Return whether two files are the same part of two connectors: packages of their own, in
    which the same part has the same file name and the same names in it.
    """
    paths = Path(left), Path(right)
    in_connectors = all(path.parts[0] == CONNECTORS.name for path in paths)
    return in_connectors and paths[0].name == paths[1].name and paths[0].parent != paths[1].parent


def find_second_homes(homes: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Return the names that are defined in two places that may not share them, and where."""
    second_homes: dict[str, set[str]] = {}
    for name, paths in homes.items():
        for left, right in combinations(sorted(paths - SAME_NAME_BY_DESIGN.get(name, set())), 2):
            if not have_one_role(left, right):
                second_homes.setdefault(name, set()).update({left, right})
    return second_homes


def read_retired_words(text: str) -> tuple[set[str], set[str]]:
    """Return what the glossary's first table rules out: words that no name may hold as a part, and
    whole names.
    """
    table, *_ = text.partition("| concept | word | instead of |")[2].split("\n\n")
    cells = [line.strip("| ").split("|")[-1] for line in table.splitlines()[2:]]
    words = {word for cell in cells for word in re.findall(r"`([^`]+)`", cell)}
    whole_names = {word for word in words if "_" in word or word.startswith(".")}
    return words - whole_names, {name.removeprefix(".") for name in whole_names}


def read_border_words(text: str) -> set[str]:
    """Return the words that fields of JSON, TOML and stored records keep."""
    [sentence] = re.findall(r"are borders,\s+and\s+keep\s+their\s+words:([^.]+)\.", text)
    return set(re.findall(r"`(\w+)`", sentence))


def split_name(name: str) -> list[str]:
    """Return the words of a name in lower case: split at underscores and where the case changes."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)
    return [word.lower() for word in words]


def list_given_names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield line and text of each name that a file gives to a function, class, argument, attribute
    or variable; fields of classes too, since they are attributes.
    """
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.lineno, node.name
            case ast.arg():
                yield node.lineno, node.arg
            case ast.Name(ctx=ast.Store()):
                yield node.lineno, node.id
            case ast.Attribute(ctx=ast.Store()):
                yield node.lineno, node.attr
            case ast.alias(asname=str(name)) | ast.ExceptHandler(name=str(name)):
                yield node.lineno, name


def list_border_lines(tree: ast.AST) -> set[int]:
    """Return the lines on which classes declare fields, which may be fields of JSON or records."""
    return {
        node.lineno
        for owner in ast.walk(tree)
        if isinstance(owner, ast.ClassDef)
        for node in owner.body
        if isinstance(node, ast.AnnAssign)
    }


def find_retired_names(tree: ast.AST, glossary: str) -> list[str]:
    """Return `line: name` for each name that a file gives and the glossary rules out."""
    words, whole_names = read_retired_words(glossary)
    border_words, border_lines = read_border_words(glossary), list_border_lines(tree)
    return [
        f"{line}: {name}"
        for line, name in list_given_names(tree)
        if (name in whole_names or words.intersection(split_name(name)))
        and not (line in border_lines and name in border_words)
    ]


def test_a_public_name_has_one_home():
    assert find_second_homes(collect_homes(list_modules(*SHIPPED))) == {}


def test_what_has_several_homes_by_design_has_them():
    homes = collect_homes(list_modules(*SHIPPED))
    for name, paths in SAME_NAME_BY_DESIGN.items():
        assert paths <= homes[name], name
        assert len(homes[name]) > 1, name


@pytest.mark.parametrize("path", list_modules(*SHIPPED), ids=show_path)
def test_no_name_uses_a_retired_word(path):
    assert find_retired_names(parse_module(path), GLOSSARY.read_text(encoding="utf-8")) == []


EXAMPLE = """
its words keep: fields of JSON are borders, and keep their words: `standing`, `held`.

| concept | word | instead of |
|---|---|---|
| expected gain | expected_gain | `hope`, `hoped` |
| rank | rank | |
| write set | write_set | `.Change`, `carry_out` |
| ownership | ownership | `standing` |

| other | table | `rank` |
"""


def test_the_table_is_read():
    words, whole_names = read_retired_words(EXAMPLE)
    assert words == {"hope", "hoped", "standing"}
    assert whole_names == {"Change", "carry_out"}
    assert read_border_words(EXAMPLE) == {"standing", "held"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("hopedGain", ["hoped", "gain"]),
        ("_hoped", ["hoped"]),
        ("IS_HOPED", ["is", "hoped"]),
        ("hopeless", ["hopeless"]),
        ("HTTPServer2", ["http", "server", "2"]),
    ],
)
def test_a_name_is_split_where_its_words_end(name, words):
    assert split_name(name) == words


@pytest.mark.parametrize(
    "text",
    [
        "def hoped_gain(): ...",
        "class Change: ...",
        "def f(hope): ...",
        "hope = 1",
        "self.hope = 1",
        "for _hoped in x: ...",
        "with x as hope: ...",
        "import x as hope",
        "[1 for hope in x]",
        "f(x := lambda hope: 1)",
        "standing = 1",
        "class A:\n    standings_hoped: int",
    ],
)
def test_a_retired_word_would_be_seen(text):
    assert find_retired_names(ast.parse(text), EXAMPLE)


def test_what_may_stay():
    text = "class RankChange:\n    standing: int\n\nhopeless = f(standing=1).hope"
    assert find_retired_names(ast.parse(text), EXAMPLE) == []


def test_a_second_home_would_be_seen():
    homes = {
        "a": {"nudge_sync/x.py", "nudge_sync/y.py"},
        "b": {"connectors/p/rows.py", "connectors/q/rows.py"},
        "c": {"connectors/p/rows.py", "connectors/q/query.py"},
        "d": {"connectors/p/rows.py", "nudge_sync/rows.py"},
        "e": {"nudge_sync/x.py"},
    }
    assert find_second_homes(homes).keys() == {"a", "c", "d"}
