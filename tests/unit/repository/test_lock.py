"""One file says which release of each package CI installs, within the project's ranges."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.support.source_code import ROOT

CONSTRAINTS = ROOT / "requirements" / "constraints.txt"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture
def lock() -> ModuleType:
    spec = importlib.util.spec_from_file_location("lock", ROOT / "tools" / "lock.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read_pins() -> dict[str, Version]:
    """Return package -> the one release of it."""
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    pins = [line.split("==") for line in lines if not line.startswith("#")]
    return {name: Version(version) for name, version in pins}


def list_requirements() -> list[Requirement]:
    """Return what the project asks for, in all its extras."""
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    return [Requirement(text) for group in groups for text in group]


@pytest.mark.parametrize("requirement", list_requirements(), ids=str)
def test_what_the_project_asks_for_is_pinned_within_its_range(requirement: Requirement) -> None:
    name = canonicalize_name(requirement.name)
    if name != PROJECT["name"]:
        assert read_pins()[name] in requirement.specifier


def test_what_builds_the_project_is_pinned_too() -> None:
    assert {"hatchling", "editables", "pathspec", "pluggy", "trove-classifiers"} <= set(read_pins())


def test_every_line_is_one_release_and_no_address() -> None:
    text = CONSTRAINTS.read_text(encoding="utf-8")
    pins = re.findall(r"^[a-z0-9.-]+==[0-9][\w.+!-]*$", text, re.MULTILINE)
    assert len(pins) == len([line for line in text.splitlines() if not line.startswith("#")])
    assert "://" not in text
    assert pins == sorted(pins, key=lambda pin: pin.partition("==")[0])


def test_a_report_of_pip_becomes_pins(lock: ModuleType) -> None:
    packages = [("nudge-sync", "0.1.0"), ("Jinja2", "3.1.6"), ("typing_extensions", "4.16")]
    report = {
        "install": [{"metadata": {"name": name, "version": version}} for name, version in packages]
    }
    pins = lock.read_report(report)
    assert lock.format_pins(pins) == "jinja2==3.1.6\ntyping-extensions==4.16\n"


def test_a_command_that_fails_ends_with_its_words(lock: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"ls .*nothing"):
        lock.run("ls", str(tmp_path / "nothing"))
    assert lock.run("echo", "done") == "done\n"
