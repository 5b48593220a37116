"""A collection in plain dictionaries, to compare a real one with after each step.

It knows, of each point, the vector that the application wrote last, and of each revision, what it
was meant to leave. It knows nothing of shadow, history or fingerprints.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nudge_sync.store.ledger import Revision, find_head, find_pending_revisions

Bits = bytes
Vectors = dict[int, Bits]


@dataclass
class Model:
    """What a collection has to hold."""

    original: Vectors
    """Of each point that exists: the application's own vector."""
    before: Vectors = field(default_factory=dict)
    """What was live before the step in hand."""
    touched: set[int] = field(default_factory=set)
    """Points that the application wrote since a revision last did."""
    fresh: set[int] = field(default_factory=set)
    """Of these the ones that hold a vector nobody had seen before."""
    seen: set[tuple[int, Bits]] = field(default_factory=set)
    """Points with vectors that the application wrote before."""
    intents: dict[int, dict[int, tuple[Bits, Bits]]] = field(default_factory=dict)
    """Of each revision, by point: what it was meant to write, and the original behind that."""
    parents: dict[int, int] = field(default_factory=dict)
    origin: dict[tuple[int, Bits], Bits] = field(default_factory=dict)
    """Of each nudged vector of a point that was ever live: its original."""

    def __post_init__(self) -> None:
        self.seen |= set(self.original.items())

    def embed(self, point: int, vector: Bits, *, fresh: bool) -> None:
        """The application writes a vector of its own; not a fresh one if it wrote it before."""
        fresh = fresh and (point, vector) not in self.seen
        self.seen.add((point, vector))
        self.original[point] = vector
        self.touched.add(point)
        (self.fresh.add if fresh else self.fresh.discard)(point)

    def delete(self, point: int) -> None:
        """The application deletes a point."""
        del self.original[point]
        self.touched.discard(point)
        self.fresh.discard(point)

    def note(self, entries: list[Revision], meant: Vectors) -> None:
        """Learn of revisions that are new in the ledger; `meant`: what the step was to write."""
        for entry in entries:
            if entry.number in self.parents:
                continue
            self.parents[entry.number] = entry.parent
            wanted = meant if entry.kind == "apply" else self.held_at(entry.to)
            self.intents[entry.number] = {
                point: (vector, self.original[point])
                for point, vector in wanted.items()
                if point in self.original
            }
            if entry.kind == "apply":
                # Made from what the application wrote, so it may write over that from here on.
                self.fresh -= self.intents[entry.number].keys()

    def _seen(self, live: Vectors) -> None:
        """Learn which nudged vectors the application could have read by now."""
        for intent in self.intents.values():
            for point, (vector, original) in intent.items():
                if live.get(point) == vector:
                    self.origin.setdefault((point, vector), original)

    def held_at(self, revision: int) -> Vectors:
        """What each point that exists holds at a revision; the original where it was embedded
        again since.
        """
        return {point: self._at(revision, point) for point in self.original}

    def _at(self, revision: int, point: int) -> Bits:
        while revision:
            vector, original = self.intents[revision].get(point, (b"", b""))
            if vector:
                return vector if original == self.original[point] else self.original[point]
            revision = self.parents[revision]
        return self.original[point]

    def check(self, live: Vectors, entries: list[Revision], meant: Vectors) -> None:
        """What is live after a step is what it may be; `meant`: what the step was to write."""
        assert live.keys() == self.original.keys(), "a point came or went"
        self.note(entries, meant)
        self._seen(live)
        for point, vector in live.items():
            if vector == self.before[point]:
                continue
            assert vector in self._ours(point), f"{point} holds a vector that nobody wrote"
            assert point not in self.fresh, f"{point}: the application's write did not last"
            self.touched.discard(point)
            self.fresh.discard(point)
        if not find_pending_revisions(entries):
            self._check_settled(live, self.held_at(find_head(entries)))

    def _ours(self, point: int) -> set[Bits]:
        written = {intent[point][0] for intent in self.intents.values() if point in intent}
        return {*written, self.original[point]}

    def _check_settled(self, live: Vectors, wanted: Vectors) -> None:
        for point, vector in live.items():
            if point not in self.touched:
                assert vector == wanted[point], f"{point} is neither before nor after"
