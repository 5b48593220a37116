"""Shards below one directory, opened when first asked for and then kept open."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from threading import RLock

from qdrant_edge import EdgeConfig, EdgeShard, UpdateOperation

from nudge_sync.connector import describe_near_names, require_room
from nudge_sync.errors import CollectionNotFound, DatabaseError, InputError
from nudge_sync_qdrant_edge.errors import translate_errors

_COLLECTION_NAME_PATTERN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")
"""Names that are safe as a directory's: nothing that leads out of the parent, nothing hidden."""
RESERVE_BYTES = 24 * 2**20
"""What has to stay free as vectors are written, beside three times their size: the log of writes,
payloads and indexes of a batch."""
SMALL_RESERVE_BYTES = 8 * 2**20
"""What a deletion, an entry of the ledger or a new shard (4 MiB) needs: less, so that a full disk
can be told of and cleared up."""
_CONFIG_FILE = "edge_config.json"
"""Where the engine writes a shard's configuration, in the shard's own directory."""


class Shards:
    """The open shards of a directory; one subdirectory a collection.

    The engine locks a shard for one process.
    """

    def __init__(self, path: Path, open_shards: Mapping[str, EdgeShard], *, sync: bool) -> None:
        self.path = path
        self.lock = RLock()
        """Held by what has to be one step in this process."""
        self._open_shards = dict(open_shards)
        self._borrowed_names = frozenset(open_shards)
        self._lent_names = set(open_shards)
        """Shards that others in this process may have updated, too."""
        self._unflushed: set[str] = set()
        """Shards that were updated here since they were last flushed."""
        self._sync = sync
        self._is_closed = False

    def find(self, name: str) -> EdgeShard | None:
        """Return the shard `name`, or None where there is no such directory.

        Raises Unreachable where another process has it open.
        """
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
        """Return the shard `name`. Raises CollectionNotFound."""
        shard = self.find(name)
        if shard is None:
            raise CollectionNotFound(
                f'there is no collection "{name}" in {self.path}{self._describe_others(name)}'
            )
        return shard

    def lend(self, name: str) -> EdgeShard:
        """Return the shard `name` for others to write to. Raises CollectionNotFound."""
        with self.lock:
            shard = self.get(name)
            self._lent_names.add(name)
            return shard

    def create(self, name: str, config: EdgeConfig) -> EdgeShard:
        """Make a new, empty shard. Raises InputError for a bad name, and where there is one."""
        if not _COLLECTION_NAME_PATTERN.fullmatch(name):
            raise InputError(
                f"{name[:80]!r} cannot name a collection here: use up to 200 letters from a to z, "
                "digits, dots, underscores and hyphens, no dot or hyphen first"
            )
        with self.lock, translate_errors(name):
            if self._has_shard(name):
                raise InputError(f'the collection "{name}" exists already in {self.path}')
            require_room(self.path, SMALL_RESERVE_BYTES)
            # Made aside and moved, so that a process killed here leaves no half of a shard.
            self.path.mkdir(parents=True, exist_ok=True)
            staging_path = self.path / f".new-{name}"
            shutil.rmtree(staging_path, ignore_errors=True)
            shard = EdgeShard.create(str(staging_path), config)
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
        """Return the shard's configuration: JSON text that the engine keeps beside the data."""
        self.get(name)
        with translate_errors(name):
            return (self.path / name / _CONFIG_FILE).read_text(encoding="utf-8")

    def update(
        self, name: str, operation: UpdateOperation, *, byte_count: int | None = None
    ) -> None:
        """Apply the operation. It survives a killed process; once flushed, a power cut too.

        byte_count: of the vectors in it; None for what stores none, such as a deletion.
        Raises DiskFull where there is not enough room for it: the engine would kill the process.
        """
        shard = self.get(name)
        require_room(
            self.path,
            SMALL_RESERVE_BYTES if byte_count is None else RESERVE_BYTES + 3 * byte_count,
        )
        with translate_errors(name):
            shard.update(operation)
        self._unflushed.add(name)

    def flush(self, last: str) -> None:
        """Write to disk what shards hold in memory, `last` after the others.

        Its records may refer to what the others hold, so they must not be kept without them.
        """
        with self.lock:
            if not self._sync:
                return
            for name in sorted(self._unflushed, key=last.__eq__):
                shard = self._open_shards[name]
                self._unflushed.discard(name)
                with translate_errors(name):
                    shard.flush()

    def close(self) -> None:
        """Flush what was updated, and close what was opened here; may be called twice."""
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
            # Flushing a shard that was only read would still wait for the disk.
            if name in self._unflushed | self._lent_names:
                shard.flush()
            if name not in self._borrowed_names:
                shard.close()

    def _describe_others(self, name: str) -> str:
        if not self.path.is_dir():
            return ": there is no such folder; see database.path"
        names = [entry.name for entry in self.path.iterdir() if self._has_shard(entry.name)]
        return describe_near_names(name, names)

    def _has_shard(self, name: str) -> bool:
        return (self.path / name / "segments").is_dir()

    def _load(self, name: str) -> EdgeShard:
        with translate_errors(name):
            return EdgeShard.load(str(self.path / name))
