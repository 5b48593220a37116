"""The command line: `nudge-sync VERB`. Each verb imports what it needs when it runs."""

from __future__ import annotations

from nudge_sync.cli.main import main

__all__ = ["main"]
