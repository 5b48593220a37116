"""`nudge-sync demo`: a whole round on real data, in a database that is thrown away."""

from __future__ import annotations

from nudge_sync.demo.round import DemoResult, run_demo

__all__ = ["DemoResult", "run_demo"]
