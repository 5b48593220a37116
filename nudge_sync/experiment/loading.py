"""An experiment with its overlay, read from the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from nudge_sync.base.arrays import Float32
from nudge_sync.connector import PointId
from nudge_sync.errors import InputError
from nudge_sync.experiment.overlay import Overlay
from nudge_sync.store import checksum
from nudge_sync.store.experiments.candidate import scan_candidate
from nudge_sync.store.experiments.running import RunningExperiment
from nudge_sync.store.provenance import Ownership, classify_points
from nudge_sync.store.target import Target


@dataclass(frozen=True, slots=True)
class LoadedExperiment:
    """An experiment as applications search it."""

    running: RunningExperiment
    overlay: Overlay
    live_digests: dict[PointId, str]
    """Of each point of the overlay: the digest of what the collection held when it was loaded."""


def load_experiment(target: Target, running: RunningExperiment, max_bytes: int) -> LoadedExperiment:
    """Read the overlay of an experiment.

    canary: the candidate's vectors, of the points that still hold what they are to replace.
    holdback: the newest originals of the points that hold vectors of ours now.
    max_bytes: the most that vectors may take; raises InputError for more. Raises DamagedRecord.
    """
    points = (
        _read_candidate(target, running, max_bytes)
        if running.kind == "canary"
        else _read_originals(target, max_bytes)
    )
    ids, vectors, live_digests = points
    overlay = Overlay(ids, vectors, target.facts.metric)
    return LoadedExperiment(running, overlay, dict(zip(ids, live_digests, strict=True)))


def drop_changed_points(target: Target, loaded: LoadedExperiment) -> LoadedExperiment:
    """Return the experiment without the points that the application deleted or embedded again.

    The same object where there are none.
    """
    live_points = target.collection.read(loaded.overlay.ids)
    digests = dict(zip(live_points.ids, checksum.digest_vectors(live_points.vectors), strict=True))
    kept = [
        row
        for row, id_ in enumerate(loaded.overlay.ids)
        if digests.get(id_) == loaded.live_digests[id_]
    ]
    if len(kept) == len(loaded.overlay):
        return loaded
    ids = [loaded.overlay.ids[row] for row in kept]
    overlay = Overlay(ids, loaded.overlay.vectors[kept], loaded.overlay.metric)
    return replace(loaded, overlay=overlay, live_digests={id_: digests[id_] for id_ in ids})


def _read_candidate(
    target: Target, running: RunningExperiment, max_bytes: int
) -> tuple[list[PointId], Float32, list[str]]:
    _check_size(target, running.rows, max_bytes)
    ids: list[PointId] = []
    rows: list[Float32] = []
    replaced_digests: list[str] = []
    for records in scan_candidate(target, running.revision, running.rows):
        replaced = {record.document["id"]: record.document["replaced"] for record in records}
        live_points = target.collection.read(list(replaced))
        live_digests = dict(
            zip(live_points.ids, checksum.digest_vectors(live_points.vectors), strict=True)
        )
        for record in records:
            id_ = record.document["id"]
            if record.vector is not None and live_digests.get(id_) == replaced[id_]:
                ids.append(id_)
                rows.append(record.vector)
                replaced_digests.append(replaced[id_])
    return ids, _stack(rows, target.facts.dimension), replaced_digests


def _read_originals(target: Target, max_bytes: int) -> tuple[list[PointId], Float32, list[str]]:
    originals_by_point = target.shadow.read_originals()
    _check_size(target, len(originals_by_point), max_bytes)
    points = classify_points(target, list(originals_by_point), originals_by_point)
    moved = points.select(points.find_rows(Ownership.OURS))
    return moved.ids, moved.originals, checksum.digest_vectors(moved.live_vectors)


def _check_size(target: Target, rows: int, max_bytes: int) -> None:
    needed = rows * target.facts.dimension * np.dtype(np.float32).itemsize
    if needed > max_bytes:
        raise InputError(
            f"{rows} moved points take {needed} bytes and max_overlay_bytes is {max_bytes}; raise "
            "it where the application has the memory"
        )


def _stack(rows: Sequence[Float32], dimension: int) -> Float32:
    return np.stack(rows) if rows else np.zeros((0, dimension), np.float32)
