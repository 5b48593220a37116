"""Retrieval sets out of packages: which tool, function or sign does this text ask for.

Each builder returns documents, queries, and (query, document) pairs by their position. Texts are
taken as they are shipped; a query that names its document word for word is no test and is left
out. Nothing is random.
"""

from __future__ import annotations

import gzip
import html
import importlib
import inspect
import json
import re
import tarfile
from collections.abc import Callable, Iterator
from importlib.metadata import files
from pathlib import Path

MAX_QUERIES = 3000
"""Queries kept of a set, evenly spread: more make an embedding model run for hours."""
MIN_QUERY_WORDS = 3
"""Fewest words of a query that is a sentence."""
Texts = tuple[list[str], list[str], list[tuple[int, int]]]
NUMPY_STYLE_PACKAGES = ("numpy", "scipy", "pandas", "sklearn", "networkx")


class TextSet:
    """Documents and the queries that they answer, each text once."""

    def __init__(self) -> None:
        self.documents: dict[str, str] = {}
        self.answers: dict[str, set[str]] = {}

    def add_document(self, name: str, text: str) -> None:
        self.documents.setdefault(name, text)

    def add_query(self, text: str, name: str) -> None:
        if name in self.documents and text.lower() not in self.documents[name].lower():
            self.answers.setdefault(text, set()).add(name)

    def collect(self) -> Texts:
        """Return documents, at most MAX_QUERIES queries, and pairs of a query and an answer."""
        rows = {name: row for row, name in enumerate(self.documents)}
        step = max(1, -(-len(self.answers) // MAX_QUERIES))
        queries = list(self.answers)[::step]
        pairs = [
            (number, rows[name])
            for number, query in enumerate(queries)
            for name in sorted(self.answers[query])
        ]
        return list(self.documents.values()), queries, pairs


def build_aws() -> Texts:
    """Which of Amazon's services has the operation that a sentence describes."""
    found = TextSet()
    for path in list_package_files("botocore", "service-2.json.gz"):
        model = json.loads(gzip.decompress(path.read_bytes()))
        name = model["metadata"].get("serviceId", path.parts[-3])
        about = first_sentences(model.get("documentation", ""), 2)
        found.add_document(name, f"{model['metadata']['serviceFullName']}: {about}")
        for operation in model["operations"].values():
            add_sentence(found, operation.get("documentation", ""), name)
    return found.collect()


def build_google() -> Texts:
    """Which of Google's interfaces has the method that a sentence describes."""
    found = TextSet()
    for path in list_package_files("google-api-python-client", ".json"):
        if path.parent.name != "documents":
            continue
        model = json.loads(path.read_text())
        name = model.get("name", "")
        if not name or not model.get("description"):
            continue
        found.add_document(name, f"{model['title']}: {model['description']}")
        for description in iterate_method_descriptions(model):
            add_sentence(found, description, name)
    return found.collect()


def iterate_method_descriptions(resource: dict) -> Iterator[str]:
    for method in resource.get("methods", {}).values():
        yield method.get("description", "")
    for part in resource.get("resources", {}).values():
        yield from iterate_method_descriptions(part)


def build_bfcl() -> Texts:
    """Which function answers a request: the Berkeley Function Calling Leaderboard, single turns."""
    found, asked, called = TextSet(), {}, {}
    for path in list_package_files("bfcl-eval", ".json"):
        if "multi_turn" not in path.name and path.parent.name in {"data", "possible_answer"}:
            for row in read_json_lines(path):
                kind = called if "ground_truth" in row else asked
                kind[row["id"]] = row
    for row in asked.values():
        for function in row.get("function", ()):
            found.add_document(describe_function(function), describe_function(function))
    for number, row in asked.items():
        names = list_called_names(called.get(number, {}))
        for function in row.get("function", ()):
            if function["name"] in names:
                found.add_query(row["question"][0][-1]["content"], describe_function(function))
    return found.collect()


def read_json_lines(path: Path) -> Iterator[dict]:
    """Yield the rows of a file with one object a line; other files have none."""
    for line in path.read_text().splitlines():
        if line.startswith('{"id"'):
            yield json.loads(line)


def describe_function(function: dict) -> str:
    return f"{function['name']}: {function['description']}"


def list_called_names(row: dict) -> set[str]:
    calls = row.get("ground_truth", ())
    return {name for call in calls if isinstance(call, dict) for name in call}


def build_code() -> Texts:
    """Which function of a numerical package another function's "See Also" speaks of."""
    found, mentions = TextSet(), []
    for package in NUMPY_STYLE_PACKAGES:
        for name, text in iterate_docstrings(package):
            found.add_document(name, f"{name.split('.')[-1]}: {first_sentences(text, 2)}")
            mentions += [(one, package) for one in iterate_see_also(text)]
    by_ending: dict[tuple[str, str], str] = {}
    for name in found.documents:
        by_ending.setdefault((name.split(".")[0], name.split(".")[-1]), name)
    for (name, text), package in mentions:
        add_sentence(found, text, by_ending.get((package, name.split(".")[-1]), ""))
    return found.collect()


def iterate_docstrings(package: str) -> Iterator[tuple[str, str]]:
    """Yield the public functions and classes of a package and of its subpackages."""
    seen: set[int] = set()
    queue = [importlib.import_module(package)]
    while queue:
        module = queue.pop()
        for name, value in list_public_values(module):
            if id(value) in seen:
                continue
            seen.add(id(value))
            if inspect.ismodule(value):
                if value.__name__.startswith(f"{module.__name__}."):
                    queue.append(value)
            elif callable(value) and isinstance(value.__doc__, str):
                yield f"{package}.{name}", inspect.cleandoc(value.__doc__)


def list_public_values(module) -> list[tuple[str, object]]:
    names = [name for name in sorted(dir(module)) if not name.startswith("_")]
    return [(name, getattr(module, name, None)) for name in names]


def iterate_see_also(text: str) -> Iterator[tuple[str, str]]:
    """Yield names and descriptions of a numpydoc "See Also" section."""
    section = re.search(r"See Also\n-+\n(.*?)(\n\n[A-Z][a-z]+\n-+|\Z)", text, re.DOTALL)
    entries = re.compile(r"^([\w.]+)\s*:\s*(\S.*(?:\n[ ]+\S.*)*)", re.MULTILINE)
    for one in entries.finditer(section[1] if section else ""):
        yield one[1], " ".join(one[2].split())


def build_emoji(archive: Path) -> Texts:
    """Which signs a keyword stands for.  archive: of the npm package emojibase-data."""
    with tarfile.open(archive) as opened:
        rows = json.load(opened.extractfile("package/en/data.json"))
    found = TextSet()
    for row in rows:
        found.add_document(row["hexcode"], row["label"])
    for row in rows:
        for tag in row.get("tags", []):
            found.add_query(tag, row["hexcode"])
    return found.collect()


def add_sentence(found: TextSet, text: str, name: str) -> None:
    """Add the first sentence of a text as a query, where it is long enough to be one."""
    sentence = first_sentences(text, 1)
    if len(sentence.split()) >= MIN_QUERY_WORDS:
        found.add_query(sentence, name)


def first_sentences(text: str, count: int) -> str:
    plain = " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())
    return " ".join(re.split(r"(?<=[.!?])\s+", plain)[:count])


def list_package_files(package: str, ending: str) -> list[Path]:
    """Return the files of an installed package whose name has this ending, in order."""
    listed = files(package) or []
    return sorted(Path(str(one.locate())) for one in listed if str(one).endswith(ending))


BUILDERS: dict[str, Callable[..., Texts]] = {
    "aws": build_aws,
    "google": build_google,
    "bfcl": build_bfcl,
    "code": build_code,
    "emoji": build_emoji,
}
"""What builds each set; "emoji" takes the archive that `npm pack emojibase-data` writes."""
