"""Fifteen cycles of `benchmarks/soak.py`: nothing strays and nothing piles up."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def soak(root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    # The program puts the checkout in front of the path, which ends with the test.
    monkeypatch.setattr(sys, "path", [*sys.path])
    spec = importlib.util.spec_from_file_location("soak", root / "benchmarks" / "soak.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "soak", module)
    spec.loader.exec_module(module)
    return module


def test_nothing_strays_and_nothing_piles_up(soak: ModuleType) -> None:
    done = soak.soak(15)
    assert done.applied > 5
    assert (done.strayed, done.farthest) == (0, 0.0)
    assert done.shadow <= len(done.judged)
    # Each revision writes the judged points and those that go back.
    assert done.history <= (soak.KEPT + 2) * len(done.judged)
    assert done.identical
