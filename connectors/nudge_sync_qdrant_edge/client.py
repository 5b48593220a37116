"""Shards below one directory, opened when first asked for and then kept open."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import RLock

from qdrant_edge import EdgeConfig, EdgeShard, UpdateOperation

from nudge_sync.errors import (
    CollectionNotFound,
    DatabaseError,
    InputError,
    NudgeSyncError,
    Unreachable,
)

_COLLECTION_NAME_PATTERN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")
_CONFIG_FILE = "edge_config.json"


class Shards:
    """The open shards of a directory; one subdirectory a collection.

    The engine locks a shard for one process. `lock` serialises what has to be one step.
    """

    def __init__(self, path: Path, open_shards: Mapping[str, EdgeShard], *, sync: bool) -> None:
        self.path = path
        self.lock = RLock()
        self._open_shards = dict(open_shards)
        self._borrowed_names = frozenset(open_shards)
        self._unflushed: set[str] = set()
        self._sync = sync
        self._is_closed = False

    def find(self, name: str) -> EdgeShard | None:
        """The shard `name`, or None where there is no such directory. Raises Unreachable."""
        with self.lock:
            if self._is_closed:
                raise DatabaseError(f"{self.path} was closed")
            if (
                name not in self._open_shards
                and _COLLECTION_NAME_PATTERN.fullmatch(name)
                and self._has_shard(name)
            ):
                self._open_shards[name] = self._load(name)
            return self._open_shards.get(name)

    def get(self, name: str) -> EdgeShard:
        """The shard `name`. Raises CollectionNotFound."""
        shard = self.find(name)
        if shard is None:
            raise CollectionNotFound(f'there is no collection "{name}" in {self.path}')
        return shard

    def create(self, name: str, config: EdgeConfig, *indexes: UpdateOperation) -> EdgeShard:
        """A new, empty shard; `indexes` are applied to it. Raises InputError."""
        if not _COLLECTION_NAME_PATTERN.fullmatch(name):
            raise InputError(
                f"{name[:80]!r} cannot name a collection here: use up to 200 letters, digits, "
                "dots, underscores and hyphens, no dot or hyphen first"
            )
        with self.lock, translate_errors(name):
            if self._has_shard(name):
                raise InputError(f'the collection "{name}" exists already in {self.path}')
            # Made aside and moved, so that a process killed here leaves no half of a shard.
            staging_path = self.path / f".new-{name}"
            shutil.rmtree(staging_path, ignore_errors=True)
            shard = EdgeShard.create(str(staging_path), config)
            for index in indexes:
                shard.update(index)
            shard.flush()
            shard.close()
            staging_path.rename(self.path / name)
            self._open_shards[name] = self._load(name)
            return self._open_shards[name]

    def drop(self, name: str) -> None:
        """Remove the shard and its files; nothing happens where there is none."""
        with self.lock:
            shard = self.find(name)
            if shard is None:
                return
            del self._open_shards[name]
            self._unflushed.discard(name)
            with translate_errors(name):
                shard.close()
                trash_path = self.path / f".old-{name}"
                shutil.rmtree(trash_path, ignore_errors=True)
                (self.path / name).rename(trash_path)
                shutil.rmtree(trash_path)

    def read_config(self, name: str) -> str:
        """The JSON text of the shard's configuration, which the engine keeps beside the data."""
        self.get(name)
        with translate_errors(name):
            return (self.path / name / _CONFIG_FILE).read_text(encoding="utf-8")

    def update(self, name: str, operation: UpdateOperation) -> None:
        """Apply the operation: it survives a killed process, and a power cut once flushed."""
        shard = self.get(name)
        with translate_errors(name):
            shard.update(operation)
        self._unflushed.add(name)

    def flush(self, last: str) -> None:
        """Put on disk what any shard was told, `last` after all others: it may tell of them."""
        with self.lock:
            if not self._sync:
                return
            for name in sorted(self._unflushed, key=last.__eq__):
                shard = self._open_shards[name]
                self._unflushed.discard(name)
                with translate_errors(name):
                    shard.flush()

    def close(self) -> None:
        """Flush everything, and close what was opened here; may be called twice."""
        with self.lock:
            if self._is_closed:
                return
            self._is_closed = True
            with ExitStack() as stack:
                for name, shard in self._open_shards.items():
                    stack.callback(self._release, name, shard)
            self._open_shards.clear()

    def _release(self, name: str, shard: EdgeShard) -> None:
        with translate_errors(name):
            shard.flush()
            if name not in self._borrowed_names:
                shard.close()

    def _has_shard(self, name: str) -> bool:
        return (self.path / name / "segments").is_dir()

    def _load(self, name: str) -> EdgeShard:
        with translate_errors(name):
            return EdgeShard.load(str(self.path / name))


@contextmanager
def translate_errors(name: str) -> Iterator[None]:
    """The engine's exceptions, which are all plain `Exception`, as nudge-sync's own."""
    try:
        yield
    except NudgeSyncError:
        raise
    except Exception as error:
        if "WouldBlock" in str(error):
            raise Unreachable(
                f'"{name}" is open in another process or database object, and Qdrant Edge allows '
                "one; close it there, or hand over the open shard"
            ) from error
        raise DatabaseError(f'"{name}": {error}') from error
