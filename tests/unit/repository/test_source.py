"""What the shipped source never does: unpickle, evaluate, start a shell, trust a certificate."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.source_code import (
    CORE,
    SHIPPED,
    list_imports,
    list_modules,
    list_packages,
    parse_module,
    show_path,
)

MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml"}
MODULES |= {"subprocess", "pty", "commands", "telnetlib", "ftplib", "xmlrpc"}
CALLS = {"eval", "exec", "compile", "__import__"}
METHODS = {"os.system", "os.popen", "os.execv", "os.spawnl", "tempfile.mktemp"}
METHODS |= {"np.fromfile", "pd.read_pickle", "ssl._create_unverified_context"}
ARRAY_LOADERS = {"np.load", "numpy.load", "np.lib.format.read_array", "np.memmap.load"}
DANGEROUS_OPTIONS = {
    "shell": True,
    "allow_pickle": True,
    "trust_remote_code": True,
    "verify": False,
    "check_hostname": False,
}
ALLOWED = {
    # One program, of nudge-sync's own, whose arguments are a number and a folder made for it.
    "nudge_sync/compute/dask_cluster.py": {"imports subprocess"},
}
RECORD_READ = re.compile(r"\b(ledger_records|(shadow|history|ledger|self)\.records)\.(get|scan)$")


def find_faults(tree: ast.AST) -> Iterator[str]:
    """Yield each import and each call that the shipped source never makes."""
    yield from (f"imports {name}" for name in list_packages(tree) & MODULES)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from find_call_faults(node)


def find_call_faults(call: ast.Call) -> Iterator[str]:
    """Yield what is wrong with one call."""
    name = ast.unparse(call.func)
    constants = {
        option.arg: option.value.value
        for option in call.keywords
        if isinstance(option.value, ast.Constant)
    }
    # A method of that name is something else: re.compile, model.eval.
    if name in METHODS or (isinstance(call.func, ast.Name) and name in CALLS):
        yield f"calls {name}"
    if name in ARRAY_LOADERS and constants.get("allow_pickle") is not False:
        yield f"{name} without allow_pickle=False"
    for option, dangerous in DANGEROUS_OPTIONS.items():
        if constants.get(option) is dangerous:
            yield f"{name} with {option}={dangerous}"


@pytest.mark.parametrize("path", list_modules(*SHIPPED), ids=show_path)
def test_the_source_does_none_of_it(path: Path) -> None:
    faults = {*find_faults(parse_module(path))}
    assert faults == ALLOWED.get(show_path(path), set())


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from yaml import load",
        "import os, marshal as m",
        "eval('1')",
        "np.load(x)",
        "np.load(x, allow_pickle=True)",
        "np.load(x, allow_pickle=allowed)",
        "os.system('x')",
        "run(x, shell=True)",
        "get(x, verify=False)",
    ],
)
def test_it_would_be_seen(text: str) -> None:
    assert [*find_faults(ast.parse(text))]


def list_record_reads(tree: ast.AST) -> list[str]:
    """Return the calls that read records of the sidecar's own: of shadow, history or ledger."""
    calls = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [call for call in calls if RECORD_READ.search(call)]


@pytest.mark.parametrize("path", list_modules(CORE), ids=show_path)
def test_a_record_is_read_where_its_checksum_is_verified(path: Path) -> None:
    """In store/, by modules that know checksums: whoever is outside asks one of those."""
    tree = parse_module(path)
    if path.is_relative_to(CORE / "store"):
        verifies = {"nudge_sync.store.checksum", "nudge_sync.store.schema"} & list_imports(tree)
        assert verifies or not list_record_reads(tree)
    elif not path.is_relative_to(CORE / "testing"):
        assert list_record_reads(tree) == []


@pytest.mark.parametrize(
    "call",
    [
        "target.ledger_records.get([key])",
        "target.shadow.records.scan()",
        "ledger.records.scan(where, vectors=False)",
        "history.records.get(keys)",
    ],
)
def test_a_read_elsewhere_would_be_seen(call: str) -> None:
    assert list_record_reads(ast.parse(call))
