"""What each revision wrote to each point, and so what the collection held at any revision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from nudge_sync.connector import Float32, PointId, Record, Records
from nudge_sync.store import checksum, schema


class History:
    """The history records of one collection.

    A record belongs to a revision and a point. Its vector is what the revision writes; its
    document holds the digest of the original that vector was made from and of the vector that it
    replaces.
    """

    def __init__(self, records: Records, place: str) -> None:
        self.records = records
        self._place = f"{place}__nudge_history"

    def note(
        self,
        revision: int,
        ids: Sequence[PointId],
        vectors: Float32,
        replaced: Float32,
        originals: Float32,
    ) -> None:
        """Store what `revision` is about to write: rows of `vectors` over rows of `replaced`."""
        rows = zip(ids, vectors, replaced, originals, strict=True)
        self.records.put(
            [
                checksum.sealed(
                    _key(revision, point),
                    {
                        "revision": revision,
                        "id": point,
                        "original": checksum.of_vector(original),
                        "replaced": checksum.of_vector(old),
                    },
                    vector,
                )
                for point, vector, old, original in rows
            ]
        )

    def of(self, revision: int) -> Iterator[list[Record]]:
        """All records of one revision, with vectors, in batches. Raises DamagedRecord."""
        for batch in self.records.scan({"revision": revision}):
            yield schema.opened(batch, self._place, schema.HistoryLine, vectors=True)

    def latest(
        self, line: Sequence[int], ids: Sequence[PointId], *, vectors: bool
    ) -> dict[PointId, Record]:
        """For each id the record of the first revision in `line` that has one.

        Ids that no revision of `line` touched are left out. Raises DamagedRecord.
        """
        found: dict[PointId, Record] = {}
        left = list(ids)
        for revision in line:
            if not left:
                break
            found |= self.at(revision, left, vectors=vectors)
            left = [point for point in left if point not in found]
        return found

    def at(self, revision: int, ids: Sequence[PointId], *, vectors: bool) -> dict[PointId, Record]:
        """The records of one revision for those of `ids` that it touched."""
        keys = [_key(revision, point) for point in ids]
        stored = self.records.get(keys, vectors=vectors)
        records = schema.opened(stored, self._place, schema.HistoryLine, vectors=vectors)
        return {record.document["id"]: record for record in records}

    def forget(self, revision: int) -> int:
        """Delete all records of one revision; returns how many there were."""
        keys = [
            record.key
            for batch in self.records.scan({"revision": revision}, vectors=False)
            for record in batch
        ]
        self.records.delete(keys)
        return len(keys)

    def keys(self, revision: int) -> dict[PointId, str]:
        """The points that a revision noted, and the keys of their records."""
        return {
            record.document["id"]: record.key
            for batch in self.records.scan({"revision": revision}, vectors=False)
            for record in schema.opened(batch, self._place, schema.HistoryLine, vectors=False)
        }


def _key(revision: int, point: PointId) -> str:
    return f"{revision}:{point}"
