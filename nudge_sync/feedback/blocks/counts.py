"""How much of a log was read as blocks, and what became of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(slots=True)
class BlockCounts:
    """How the log was read."""

    reused: int = 0
    """Blocks that held."""
    made: int = 0
    """Blocks of times that had none."""
    remade: int = 0
    """Blocks made again: their records changed, or they were damaged or of another version."""
    damaged: int = 0
    """Blocks that failed their digest."""
    unsettled: int = 0
    """Times that got no block: their records were stored a moment ago or without a time, or hold
    what only they can say."""
    records_in_blocks: int = 0
    """Records that were not read, since a block stood for them."""
    records_read: int = 0

    def summary(self) -> dict[str, int]:
        """Return the fields that `--json` prints."""
        return asdict(self)
