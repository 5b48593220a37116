"""The plans that an agent was shown, so that the one that a person agreed to is carried out."""

from __future__ import annotations

from pathlib import Path
from secrets import token_hex

from mcp.server.mcpserver.exceptions import ToolError

_KEPT_COUNT = 8
"""Plans that are kept; one may be as large as the vectors that it moves."""


class KeptPlans:
    """Plan files in a folder, the newest few, each with a name that cannot be guessed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._names: list[str] = []

    def reserve(self) -> tuple[str, Path]:
        """Return a new name, and the file that the plan is to be kept in; an old plan goes."""
        while len(self._names) >= _KEPT_COUNT:
            self._to_path(self._names.pop(0)).unlink(missing_ok=True)
        name = token_hex(8)
        self._names.append(name)
        return name, self._to_path(name)

    def find(self, name: str) -> Path:
        """Return the file of a plan. Raises ToolError where there is none of that name."""
        if name not in self._names or not self._to_path(name).exists():
            raise ToolError(
                "nothing was written: plan has to be the name that the tool plan gave, one of the "
                f"last {_KEPT_COUNT} since this server started"
            )
        return self._to_path(name)

    def _to_path(self, name: str) -> Path:
        return self._folder / f"{name}.plan"
