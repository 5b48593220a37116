"""What the shipped source never does: unpickle, evaluate, start a shell, trust a certificate."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml"}
MODULES |= {"subprocess", "pty", "commands", "telnetlib", "ftplib", "xmlrpc"}
CALLS = {"eval", "exec", "compile", "__import__"}
METHODS = {"os.system", "os.popen", "os.execv", "os.spawnl", "tempfile.mktemp"}
METHODS |= {"np.fromfile", "pd.read_pickle", "ssl._create_unverified_context"}


def sources(root: Path) -> list[Path]:
    return sorted([*(root / "nudge_sync").rglob("*.py"), *(root / "connectors").rglob("*.py")])


def imported(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def faults(tree: ast.AST) -> Iterator[str]:
    yield from (f"imports {name}" for name in set(imported(tree)) & MODULES)
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name, given = ast.unparse(node.func), {word.arg: word.value for word in node.keywords}
        # A method of that name is something else: re.compile, model.eval.
        if isinstance(node.func, ast.Name) and name in CALLS:
            yield f"calls {name}"
        if name in METHODS:
            yield f"calls {name}"
        if name in {"np.load", "numpy.load", "np.lib.format.read_array", "np.memmap.load"}:
            allowed = given.get("allow_pickle")
            if not (isinstance(allowed, ast.Constant) and allowed.value is False):
                yield f"{name} without allow_pickle=False"
        if any(isinstance(v, ast.Constant) and v.value is True for k, v in given.items() if k in
               {"shell", "allow_pickle", "trust_remote_code"}):  # fmt: skip
            yield f"{name} with a dangerous True"
        if any(isinstance(v, ast.Constant) and v.value is False for k, v in given.items() if k in
               {"verify", "check_hostname"}):  # fmt: skip
            yield f"{name} without verification"


def test_the_source_does_none_of_it(root):
    found = {
        f"{path.relative_to(root)}: {fault}"
        for path in sources(root)
        for fault in faults(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert found == set()


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
def test_it_would_be_seen(text):
    assert [*faults(ast.parse(text))]


def test_every_record_that_is_read_passes_its_digest(root):
    """Whoever reads the sidecar's own vectors goes through `digest` or `shape`."""
    allowed = {"history.py", "shadow.py", "revisions.py", "lease.py", "drill.py", "leftovers.py"}
    allowed |= {"damage.py", "erasure.py"}
    core = root / "nudge_sync"
    readers = {
        path.name
        for path in core.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).split(".")[-1] in {"get", "scan"}
        and ast.unparse(node.func).split(".")[-2:-1]
        and ast.unparse(node.func).split(".")[-2] in {"originals", "history", "ledger", "records"}
    }
    assert readers <= allowed
