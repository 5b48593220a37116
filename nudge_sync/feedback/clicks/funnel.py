from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FunnelStage:
    """What one stage kept and what it removed, and why."""

    name: str
    kept: int
    removed: int
    reason: str
