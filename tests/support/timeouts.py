"""How long a test waits for something that is sure to happen."""

from __future__ import annotations

TIMEOUT_SECONDS = 300
"""Long enough for a busy machine: it passes only where something hangs."""
