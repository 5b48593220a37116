from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called after every batch with stage, done and total, 0 where nobody knows how many there are; may
raise to stop there."""


def ignore_progress(stage: str, done: int, total: int) -> None:
    """Progress for nobody."""
    del stage, done, total
