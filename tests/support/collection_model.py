"""A collection in plain dictionaries, to compare a real one with after each step.

It knows of each point the vector that the application wrote last, and of each revision what it was
meant to write. It knows nothing of shadow, history or digests.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nudge_sync.store.ledger import Revision, find_head, find_pending_revisions

VectorBytes = bytes
Vectors = dict[int, VectorBytes]


@dataclass
class CollectionModel:
    """What a collection may hold after each step."""

    originals: Vectors
    """Of each point that exists: the application's own vector."""
    live_before: Vectors = field(default_factory=dict)
    """What was live before the current step."""
    rewritten_points: set[int] = field(default_factory=set)
    """Points that the application wrote since a revision last did."""
    protected_points: set[int] = field(default_factory=set)
    """Those of them that hold a vector nobody had seen before: no revision may overwrite it."""
    written_before: set[tuple[int, VectorBytes]] = field(default_factory=set)
    """Points with vectors that the application wrote at any time."""
    intents: dict[int, dict[int, tuple[VectorBytes, VectorBytes]]] = field(default_factory=dict)
    """Of each revision, by point: the vector it was meant to write, and the original of that."""
    parents: dict[int, int] = field(default_factory=dict)
    nudged_to_original: dict[tuple[int, VectorBytes], VectorBytes] = field(default_factory=dict)
    """Of each nudged vector of a point that was ever live: its original."""

    def __post_init__(self) -> None:
        self.written_before |= set(self.originals.items())

    def write(self, point: int, vector: VectorBytes, *, is_new: bool) -> None:
        """Take in that the application wrote a vector.

        is_new: whether nobody had seen it before; one that it wrote earlier never is.
        """
        is_new = is_new and (point, vector) not in self.written_before
        self.written_before.add((point, vector))
        self.originals[point] = vector
        self.rewritten_points.add(point)
        (self.protected_points.add if is_new else self.protected_points.discard)(point)

    def delete(self, point: int) -> None:
        """Take in that the application deleted a point."""
        del self.originals[point]
        self.rewritten_points.discard(point)
        self.protected_points.discard(point)

    def add_revisions(self, entries: list[Revision], intended: Vectors) -> None:
        """Take in what is new in the ledger; `intended` is what the step was to write."""
        for entry in entries:
            if entry.number in self.parents:
                continue
            self.parents[entry.number] = entry.parent
            vectors = intended if entry.kind == "apply" else self.vectors_at(entry.to)
            self.intents[entry.number] = {
                point: (vector, self.originals[point])
                for point, vector in vectors.items()
                if point in self.originals
            }
            if entry.kind == "apply":
                # Made from what the application wrote, it may overwrite that from here on.
                self.protected_points -= self.intents[entry.number].keys()

    def _record_live_vectors(self, live: Vectors) -> None:
        """Take in which nudged vectors the application could have read by now."""
        for intent in self.intents.values():
            for point, (vector, original) in intent.items():
                if live.get(point) == vector:
                    self.nudged_to_original.setdefault((point, vector), original)

    def vectors_at(self, revision: int) -> Vectors:
        """Return what each existing point holds at a revision.

        That is its original where the application embedded it again since.
        """
        return {point: self._vector_at(revision, point) for point in self.originals}

    def _vector_at(self, revision: int, point: int) -> VectorBytes:
        while revision:
            vector, original = self.intents[revision].get(point, (b"", b""))
            if vector:
                return vector if original == self.originals[point] else self.originals[point]
            revision = self.parents[revision]
        return self.originals[point]

    def check(self, live: Vectors, entries: list[Revision], intended: Vectors) -> None:
        """Assert that everything live after a step may be; `intended` is what it was to write."""
        assert live.keys() == self.originals.keys(), "a point came or went"
        self.add_revisions(entries, intended)
        self._record_live_vectors(live)
        for point, vector in live.items():
            if vector == self.live_before[point]:
                continue
            assert vector in self._allowed_vectors(point), (
                f"{point} holds a vector that nobody wrote"
            )
            assert point not in self.protected_points, (
                f"{point}: the application's write did not last"
            )
            self.rewritten_points.discard(point)
            self.protected_points.discard(point)
        if not find_pending_revisions(entries):
            self._check_settled(live, self.vectors_at(find_head(entries)))

    def _allowed_vectors(self, point: int) -> set[VectorBytes]:
        written = {intent[point][0] for intent in self.intents.values() if point in intent}
        return {*written, self.originals[point]}

    def _check_settled(self, live: Vectors, expected: Vectors) -> None:
        for point, vector in live.items():
            if point not in self.rewritten_points:
                assert vector == expected[point], f"{point} is neither before nor after"
