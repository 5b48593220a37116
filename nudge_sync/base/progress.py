"""How long work says how far it has come, and is told to stop."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called after every batch with the stage, how much is done, and of how much; 0 if not known.

It may raise, for example Interrupted, to stop the work there.
"""


def ignore_progress(stage: str, done: int, total: int) -> None:
    """Do nothing: the Progress of a caller that does not want any."""
    del stage, done, total
