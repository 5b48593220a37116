"""`nudge-sync demo`: a whole cycle on real data, and its rollback, in a throw-away database."""

from __future__ import annotations

from nudge_sync.demo.demo_cycle import DemoResult, run_demo

__all__ = ["DemoResult", "run_demo"]
