"""`python -m nudge_sync`: the command line."""

from __future__ import annotations

from nudge_sync.cli.main import main

main()
