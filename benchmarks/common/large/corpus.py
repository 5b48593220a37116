"""A made-up collection of any size, drawn block by block, with queries on a fixed part of it.

Vectors lie in topics, on few directions of falling weight as those of embedding models do: a point
is its topic's centre and a part of its own in `LATENT` directions, and a little noise in all. The
judged points come in groups of four on one subject, spread evenly over the ids; four queries ask
for each group, in words that differ from the documents' in a way that these queries share, which is
what nudging learns. Judged points and queries are the same whatever the collection's size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nudge_sync.connector import Float32

LATENT = 96
"""Directions that the vectors vary in."""
TOPICS = 2000
GROUP = 4
BLOCK = 20_000
"""Points that are drawn at a time."""
_TOPIC_SHARE, _SUBJECT_SHARE = 0.5, 0.7
"""Of a point's variance that its topic has, and of what is left that its subject has."""
_WORDING = 1.8
"""Length of what is peculiar to the words of a group's queries, beside vectors of length 1."""
_ASKING = 0.8
"""Length of what is peculiar to one query."""
_NOISE = 0.1
"""Length of the noise outside the latent directions."""


@dataclass(frozen=True)
class MadeUpCorpus:
    """`count` points with ids 0 to count - 1, of which `judged` answer `judged` queries."""

    count: int
    judged: int
    dimension: int = 384

    @cached_property
    def judged_ids(self) -> list[int]:
        """The ids of the judged points: every so many, the first of them 0."""
        return list(range(0, self.judged * self._step, self._step))

    @cached_property
    def judged_vectors(self) -> Float32:
        """(judged, dimension): what the judged points hold."""
        random = np.random.default_rng(1)
        groups = self._draw_topic_points(random, -(-self.judged // GROUP))
        subject = np.repeat(groups, GROUP, axis=0)[: self.judged]
        own = self._draw_latent(random, self.judged)
        mixed = np.sqrt(_SUBJECT_SHARE) * subject + np.sqrt(1 - _SUBJECT_SHARE) * own
        return self._embed(random, mixed)

    @cached_property
    def queries(self) -> Float32:
        """(judged, dimension): query j asks for the points of the rows `find_answers(j)`."""
        random = np.random.default_rng(2)
        groups = np.arange(self.judged) // GROUP
        subjects = np.add.reduceat(self.judged_vectors, np.arange(0, self.judged, GROUP))
        wording = self._draw_directions(random, len(subjects))
        asking = self._draw_directions(random, self.judged)
        drawn = unit_rows(subjects)[groups] + _WORDING * wording[groups] + _ASKING * asking
        return unit_rows(drawn)

    def find_answers(self, row: int) -> range:
        """Return the rows of `judged_vectors` that answer a query: those of its group."""
        first = row - row % GROUP
        return range(first, min(first + GROUP, self.judged))

    def blocks(self) -> Iterator[tuple[range, Float32]]:
        """Yield the ids and the vectors of all points, in order."""
        for number, start in enumerate(range(0, self.count, BLOCK)):
            ids = range(start, min(start + BLOCK, self.count))
            random = np.random.default_rng([3, number])
            vectors = self._embed(random, self._draw_topic_points(random, len(ids)))
            for row, point in enumerate(ids):
                if point % self._step == 0 and point // self._step < self.judged:
                    vectors[row] = self.judged_vectors[point // self._step]
            yield ids, vectors

    @property
    def _step(self) -> int:
        return max(1, self.count // self.judged)

    @cached_property
    def _topics(self) -> Float32:
        return self._draw_latent(np.random.default_rng(4), TOPICS)

    @cached_property
    def _directions(self) -> Float32:
        """(LATENT, dimension): orthonormal rows."""
        drawn = np.random.default_rng(5).standard_normal((self.dimension, LATENT))
        return np.ascontiguousarray(np.linalg.qr(drawn)[0].T, np.float32)

    def _draw_latent(self, random: np.random.Generator, count: int) -> Float32:
        """Return (count, LATENT), about of length 1, less and less along the later directions."""
        weights = (1 / np.sqrt(np.arange(1, LATENT + 1))).astype(np.float32)
        drawn = random.standard_normal((count, LATENT), np.float32) * weights
        return drawn / np.linalg.norm(weights)

    def _draw_directions(self, random: np.random.Generator, count: int) -> Float32:
        """Return (count, dimension) of length 1, along no latent direction more than another."""
        return unit_rows(random.standard_normal((count, LATENT), np.float32) @ self._directions)

    def _draw_topic_points(self, random: np.random.Generator, count: int) -> Float32:
        topics = self._topics[random.integers(0, TOPICS, count)]
        own = self._draw_latent(random, count)
        return np.sqrt(_TOPIC_SHARE) * topics + np.sqrt(1 - _TOPIC_SHARE) * own

    def _embed(self, random: np.random.Generator, latent: Float32) -> Float32:
        noise = random.standard_normal((len(latent), self.dimension), np.float32)
        return unit_rows(latent @ self._directions + _NOISE / np.sqrt(self.dimension) * noise)


def unit_rows(rows: Float32) -> Float32:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)
