"""Milvus Lite: a server in this process, over one file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from threading import Lock

from nudge_sync.errors import ConfigError, Unreachable

SWAP_LOCK = Lock()
"""Held while a record is swapped: where threads write at once, Milvus Lite may lose a write, and
with it a claim. No other process has the file open.
"""
_HOLDERS_LOCK = Lock()
"""Held while a server is started, shared or stopped."""
_HOLDER_COUNTS: Counter[str] = Counter()
"""How many connections share each server, by its file, of those started here."""


class LiteServer:
    """The Milvus Lite server of one file, in this process.

    Connections to the same file share it. The last one to be released stops it, unless it ran
    before the first one came: then someone else in the process needs it.
    """

    def __init__(self, path: str) -> None:
        try:
            from milvus_lite.server_manager import server_manager_instance  # noqa: PLC0415
        except ImportError as error:
            raise ConfigError(
                "database.uri names a Milvus Lite file, but milvus-lite is not installed; "
                "install it with: pip install 'nudge-sync[milvus]'"
            ) from error
        self._manager = server_manager_instance
        self._path = str(Path(path).absolute())
        if not Path(self._path).parent.is_dir():
            raise ConfigError(f"database.uri: the folder of {path} does not exist")
        with _HOLDERS_LOCK:
            self._is_owner = bool(_HOLDER_COUNTS[self._path]) or not self._is_running()
            uri = self._manager.start_and_get_uri(self._path)
            if uri is None:
                raise Unreachable(
                    f"{path}: Milvus Lite cannot open it; is another process using it?"
                )
            if self._is_owner:
                _HOLDER_COUNTS[self._path] += 1
        self.address = str(uri).removeprefix("http://")

    def release(self) -> None:
        """Let go of the file, and stop its server with the last one that does."""
        with _HOLDERS_LOCK:
            if not self._is_owner:
                return
            _HOLDER_COUNTS[self._path] -= 1
            if _HOLDER_COUNTS[self._path] == 0:
                self._manager.release_server(self._path)

    def _is_running(self) -> bool:
        return self._path in getattr(self._manager, "_servers", {})
