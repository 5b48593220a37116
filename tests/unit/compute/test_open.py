"""Which executor the settings give."""

from __future__ import annotations

import sys

import pytest

from nudge_sync.base.executor import LOCAL
from nudge_sync.base.progress import ignore_progress
from nudge_sync.compute.open import open_executor
from nudge_sync.errors import ConfigError
from nudge_sync.settings.compute import ComputeSettings


def test_without_an_engine_work_is_done_here():
    with open_executor(ComputeSettings(), 0, ignore_progress) as executor:
        assert executor is LOCAL


def test_an_engine_that_is_not_installed_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "nudge_sync.compute.dask_cluster", raising=False)
    monkeypatch.delitem(sys.modules, "nudge_sync.compute.dask_executor", raising=False)
    with (
        pytest.raises(ConfigError, match=r"pip install 'nudge-sync\[dask\]'"),
        open_executor(ComputeSettings(engine="dask"), 0, ignore_progress),
    ):
        pass
