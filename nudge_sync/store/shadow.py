"""The shadow collection: what every moved point held before it was moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from nudge_sync.connector import Float32, PointId, Record, Records
from nudge_sync.errors import DamagedRecord, WriteNotVerified
from nudge_sync.store import checksum, schema
from nudge_sync.store.ledger import now_ms


@dataclass(frozen=True)
class StoredOriginal:
    """An original in the shadow, without its vector, which is read when it is needed."""

    key: str
    point: PointId
    revision: int
    """The revision that added it."""
    digest: str


OriginalsByPoint: TypeAlias = Mapping[PointId, Sequence[StoredOriginal]]
"""The originals that each point ever had, oldest first."""


class Shadow:
    """The originals of one collection; records are added and never replaced.

    A revision adds the originals of what it moves under keys of its own. So not even a process
    that was paused and wakes long after another took over can put an older original in the place
    of a newer one. Where its number was given before, what stands under its keys stays.
    """

    def __init__(self, records: Records, collection_name: str) -> None:
        """Read and write `records`; `collection_name` is theirs, for messages."""
        self.records = records
        self.collection_name = collection_name

    def add_originals(self, revision: int, ids: Sequence[PointId], vectors: Float32) -> None:
        """Store originals, `vectors` (n, d), and read them back, bit for bit.

        An original that is there already is left as it is. Raises UnsupportedCollection for a
        point whose record could not be read again, DamagedRecord where another original stands
        under its key, and WriteNotVerified; then nothing may be written over what the points hold.
        """
        records = [
            checksum.add_checksum(f"{revision}:{point}", _build_document(revision, point), vector)
            for point, vector in zip(ids, vectors, strict=True)
        ]
        schema.refuse_unreadable(records, self.collection_name, schema.OriginalDocument)
        kept = self._read_kept(records)
        self.records.put([record for record in records if record.key not in kept])
        stored = self.records.get([record.key for record in records])
        expected = [kept.get(record.key, record) for record in records]
        if [_to_bits(record) for record in stored] != [_to_bits(record) for record in expected]:
            raise WriteNotVerified(
                f'"{self.collection_name}": an original read back differs from what was put '
                "there; nothing was written to the collection"
            )

    def read_originals(self) -> dict[PointId, list[StoredOriginal]]:
        """Return the originals of every point that was ever moved, oldest first, by id.

        Raises DamagedRecord.
        """
        originals: dict[PointId, list[StoredOriginal]] = {}
        for batch in self.records.scan(vectors=False):
            for record in schema.validate_records(
                batch, self.collection_name, schema.OriginalDocument, vectors=False
            ):
                original = _parse_original(record)
                originals.setdefault(original.point, []).append(original)
        for versions in originals.values():
            versions.sort(key=lambda original: original.revision)
        return originals

    def read_point_ids(self) -> list[PointId]:
        """Return every point that was ever moved, in a fixed order."""
        return sorted(self.read_originals(), key=str)

    def read_vectors(self, originals: Sequence[StoredOriginal]) -> dict[str, Float32]:
        """Return the vectors of these originals, by key. Raises DamagedRecord."""
        keys = list(dict.fromkeys(original.key for original in originals))
        stored = self.records.get(keys)
        records = schema.validate_records(
            stored, self.collection_name, schema.OriginalDocument, vectors=True
        )
        vectors = {record.key: _require_vector(record) for record in records}
        for key in keys:
            if key not in vectors:
                raise DamagedRecord(f'record {key!r} is gone from "{self.collection_name}"')
        return vectors

    def _read_kept(self, records: Sequence[Record]) -> dict[str, Record]:
        """Return, by key, those of `records` that are stored already, as they are stored.

        Raises DamagedRecord where one holds another original.
        """
        own = {record.key: record for record in records}
        stored = schema.validate_records(
            self.records.get(list(own), vectors=False),
            self.collection_name,
            schema.OriginalDocument,
            vectors=False,
        )
        for record in stored:
            original, document = _parse_original(record), own[record.key].document
            if (original.point, original.digest) != (document["id"], document["vector"]):
                raise DamagedRecord(
                    f'record {record.key!r} in "{self.collection_name}" holds another original '
                    "than the one to be added, and is not replaced: the ledger gave its revision "
                    "a number that was given before. Nothing was written to the collection. Is "
                    "the ledger from an older backup? `nudge-sync verify` says so"
                )
        return {record.key: replace(record, vector=own[record.key].vector) for record in stored}

    def delete_originals(self, originals: Sequence[StoredOriginal]) -> None:
        """Delete these originals."""
        self.records.delete([original.key for original in originals])


def _parse_original(record: Record) -> StoredOriginal:
    document = record.document
    return StoredOriginal(record.key, document["id"], document["revision"], document["vector"])


def _build_document(revision: int, point: PointId) -> dict[str, PointId]:
    return {"id": point, "revision": revision, "at": now_ms()}


def _to_bits(record: Record) -> tuple[str, str, bytes]:
    return record.key, record.document["seal"], _require_vector(record).tobytes()


def _require_vector(record: Record) -> Float32:
    if record.vector is None:
        raise DamagedRecord(f"record {record.key!r} has lost its vector")
    return record.vector
