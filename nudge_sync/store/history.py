"""What each revision wrote to each point, and so what the collection held at any revision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nudge_sync.connector import Float32, PointId, Record, Records
from nudge_sync.store import checksum, schema


class History:
    """The history records of one collection.

    A record belongs to a revision and a point. Its vector is what the revision writes; its
    document holds the digests of the original that this vector was made from and of the vector
    that it replaces.
    """

    def __init__(self, records: Records, collection_name: str) -> None:
        """Read and write `records`; `collection_name` is theirs, for messages."""
        self.records = records
        self.collection_name = collection_name

    def add_rows(
        self,
        revision: int,
        ids: Sequence[PointId],
        vectors: Float32,
        replaced: Float32,
        originals: Float32,
    ) -> None:
        """Store what `revision` is about to write; all arrays are (n, d), a row a point.

        vectors: what is written.  replaced: what it is written over.  originals: what it was made
        from. Raises UnsupportedCollection for a point whose record could not be read again.
        """
        rows = zip(ids, vectors, replaced, originals, strict=True)
        records = [
            checksum.add_checksum(
                _format_key(revision, point),
                {
                    "revision": revision,
                    "id": point,
                    "original": checksum.digest_vector(original),
                    "replaced": checksum.digest_vector(old),
                },
                vector,
            )
            for point, vector, old, original in rows
        ]
        schema.refuse_unreadable(records, self.collection_name, schema.HistoryDocument)
        self.records.put(records)

    def scan_revision(self, revision: int) -> Iterator[list[Record]]:
        """Yield all records of one revision, with vectors, in batches. Raises DamagedRecord."""
        for batch in self.records.scan({"revision": revision}):
            yield schema.validate_records(
                batch, self.collection_name, schema.HistoryDocument, vectors=True
            )

    def scan_all(self) -> Iterator[list[Record]]:
        """Yield all records, without vectors, in batches. Raises DamagedRecord."""
        for batch in self.records.scan(vectors=False):
            yield schema.validate_records(
                batch, self.collection_name, schema.HistoryDocument, vectors=False
            )

    def read_by_keys(self, keys: Sequence[str]) -> list[Record]:
        """Return the records under these keys, without vectors. Raises DamagedRecord."""
        stored = self.records.get(keys, vectors=False)
        return schema.validate_records(
            stored, self.collection_name, schema.HistoryDocument, vectors=False
        )

    def find_latest(
        self, lineage: Sequence[int], ids: Sequence[PointId], *, vectors: bool
    ) -> dict[PointId, Record]:
        """Return for each id the record of the first revision in `lineage` that has one.

        Ids that no revision of `lineage` wrote are left out. Raises DamagedRecord.
        """
        latest: dict[PointId, Record] = {}
        remaining = list(ids)
        for revision in lineage:
            if not remaining:
                break
            latest |= self.read_records(revision, remaining, vectors=vectors)
            remaining = [point for point in remaining if point not in latest]
        return latest

    def read_records(
        self, revision: int, ids: Sequence[PointId], *, vectors: bool
    ) -> dict[PointId, Record]:
        """Return the records of one revision, by id, for those of `ids` that it wrote.

        5 and "5" share a key, where a collection was made anew with ids of the other type.
        """
        keys = [_format_key(revision, point) for point in ids]
        wanted = set(ids)
        stored = self.records.get(keys, vectors=vectors)
        records = schema.validate_records(
            stored, self.collection_name, schema.HistoryDocument, vectors=vectors
        )
        return {
            record.document["id"]: record for record in records if record.document["id"] in wanted
        }

    def read_keys(self, revision: int) -> dict[PointId, str]:
        """Return the keys of the records of one revision, by id."""
        return {
            record.document["id"]: record.key
            for batch in self.records.scan({"revision": revision}, vectors=False)
            for record in schema.validate_records(
                batch, self.collection_name, schema.HistoryDocument, vectors=False
            )
        }


def _format_key(revision: int, point: PointId) -> str:
    return f"{revision}:{point}"
