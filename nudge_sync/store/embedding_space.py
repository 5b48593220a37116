"""The embedding space of a collection: a fingerprint of what the application embeds documents with.

Its record stands in the ledger. It holds, of a few points, the digest of the vector that the
application gave them and how that vector projects on fixed random directions: enough to say later
whether the points were embedded again, and whether by another model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace

import numpy as np

from nudge_sync.base.arrays import Float32, Float64
from nudge_sync.connector import PointId
from nudge_sync.errors import LeaseLost
from nudge_sync.solve.geometry import unit
from nudge_sync.store import checksum, schema
from nudge_sync.store.target import Target

SPACE_KEY = "space"
"""The key of its record, which stands in the ledger."""
SAMPLE_SIZE = 64
"""Points that a fingerprint remembers."""
SKETCH_SIZE = 16
"""Directions that a vector is projected on: the cosine of two vectors comes out within about a
quarter, and the median over a sample much closer."""
_MAX_ID_LENGTH = 200
"""Characters of an id, so that the record fits into a field of any database."""
_DIRECTIONS_SEED = b"nudge-sync embedding space"


@dataclass(frozen=True)
class SampledPoint:
    """What the application embedded a point as."""

    __pydantic_config__ = schema.FORBID_EXTRA

    id: schema.StoredPointId
    digest: schema.Digest
    """Of the vector's bits."""
    sketch: list[float]
    """(SKETCH_SIZE,): the unit vector's projections."""


@dataclass(frozen=True)
class EmbeddingSpace:
    """What the documents are embedded with, as far as it was seen to change."""

    __pydantic_config__ = schema.FORBID_EXTRA

    number: schema.Count = 1
    """1 for the first, one more for each change of the model."""
    since: schema.TimestampMs = 0
    """When the last change was noticed: searches from before it are of a former space."""
    revision: schema.Count = 0
    """The last revision at that time: originals from before it are of a former space."""
    sample: list[SampledPoint] = field(default_factory=list)
    generation: schema.Count = 0


def read_space(target: Target) -> EmbeddingSpace:
    """Return the space that the ledger knows; the first, without a sample, where it knows none.

    Raises DamagedRecord.
    """
    for record in target.ledger_records.get([SPACE_KEY]):
        checksum.verify_checksums([record], target.ledger_name)
        content = record.document.get("space")
        return schema.parse_content(EmbeddingSpace, content, record, target.ledger_name)
    return EmbeddingSpace()


def store_space(target: Target, former: EmbeddingSpace, space: EmbeddingSpace) -> None:
    """Store `space` in place of `former`, unless they are equal. The caller holds the lease.

    Raises LeaseLost if somebody else changed the record meanwhile.
    """
    updated = replace(space, generation=former.generation + 1)
    if replace(updated, generation=former.generation) == former:
        return
    document = {"kind": "space", "generation": updated.generation, "space": asdict(updated)}
    record = checksum.add_checksum(SPACE_KEY, document)
    if not target.ledger_records.swap(record, former.generation or None):
        raise LeaseLost(
            f'the embedding space in "{target.ledger_name}" was changed by another process; '
            "nothing more was written"
        )


def choose_sample(ids: Iterable[PointId], size: int) -> list[PointId]:
    """Return `size` of the ids: always the same of the same, and mostly the same of similar."""
    usable = {id_ for id_ in ids if len(str(id_)) <= _MAX_ID_LENGTH}
    return sorted(usable, key=lambda id_: checksum.digest_bytes(repr(id_).encode()))[:size]


def sample_points(ids: Sequence[PointId], originals: Float32) -> list[SampledPoint]:
    """Return what is remembered of points whose originals are `originals` (n, d)."""
    digests, sketches = checksum.digest_vectors(originals), sketch_vectors(originals)
    return [
        SampledPoint(id_, digest, [round(float(value), 4) for value in sketch])
        for id_, digest, sketch in zip(ids, digests, sketches, strict=True)
    ]


def sketch_vectors(vectors: Float32) -> Float64:
    """Return (n, SKETCH_SIZE): the projections of the unit rows of `vectors` (n, d).

    The directions are rows of signs, the same for every collection of that dimension.
    """
    dimension = vectors.shape[1]
    bits = hashlib.shake_256(_DIRECTIONS_SEED).digest(SKETCH_SIZE * ((dimension + 7) // 8))
    rows = np.frombuffer(bits, np.uint8).reshape(SKETCH_SIZE, -1)
    signs = np.unpackbits(rows, axis=1)[:, :dimension] * 2.0 - 1.0
    sketches: Float64 = unit(vectors) @ signs.T
    return sketches


def cosines(left: Float64, right: Float64) -> Float64:
    """Return (n,): the cosine between rows of two arrays (n, d); 0 where a row is zero."""
    values: Float64 = (unit(left) * unit(right)).sum(axis=1)
    return values
