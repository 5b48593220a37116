"""An arm's list, compared with a search of a collection that really holds the arm's vectors."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nudge_sync.experiment.merge import Listed, Merged, merge_overlay
from nudge_sync.experiment.overlay import Overlay

DIMENSION = 3


@dataclass(frozen=True)
class World:
    """A collection, the vectors that some of its points have in one arm, and what passes."""

    metric: str
    live: np.ndarray
    moved: dict[int, np.ndarray]
    passing: frozenset[int]
    query: np.ndarray
    k: int

    def score(self, vectors: np.ndarray) -> np.ndarray:
        vectors, query = vectors.astype(np.float64), self.query.astype(np.float64)
        if self.metric == "euclid":
            return (-np.linalg.norm(vectors - query, axis=1)).astype(np.float32)
        products = vectors @ query
        if self.metric == "cosine":
            products /= np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
        return products.astype(np.float32)

    def search(self, vectors: np.ndarray, limit: int) -> Listed:
        """Return what an engine with these vectors answers: equal scores by their ids."""
        scores = self.score(vectors)
        ids = sorted(self.passing, key=lambda id_: (-scores[id_], str(id_)))
        best = ids[:limit]
        return Listed(best, [float(scores[id_]) for id_ in best], len(best) < limit)

    def search_arm(self) -> Listed:
        arm_vectors = self.live.copy()
        for id_, vector in self.moved.items():
            arm_vectors[id_] = vector
        return self.search(arm_vectors, self.k)

    def merge(self, depth: int, others: str = "ask") -> Merged:
        overlay = Overlay(
            list(self.moved),
            np.array(list(self.moved.values()), np.float32).reshape(-1, DIMENSION),
            self.metric,
        )
        steps = merge_overlay(
            self.search(self.live, depth), overlay, overlay.query(self.query), self.k, others
        )
        try:
            ids = next(steps)
            while True:
                assert others == "ask"
                ids = steps.send([id_ for id_ in ids if id_ in self.passing])
        except StopIteration as stop:
            return stop.value

    def merge_until_exact(self, others: str = "ask") -> tuple[Merged, int]:
        depth = self.k
        for _ in range(20):
            merged = self.merge(depth, others)
            if merged.is_exact:
                return merged, depth
            assert merged.depth > depth
            depth = merged.depth
        raise AssertionError("it never came to an end")


COORDINATES = np.array([-2.0, -1.0, -0.5, 0.25, 1.0, 1.5, 2.0], np.float32)
"""Few and exact, so that scores tie."""


@st.composite
def worlds(draw: st.DrawFn) -> World:
    count, k = draw(st.integers(1, 24)), draw(st.integers(1, 8))
    moved_count, passing_count = draw(st.integers(0, count)), draw(st.integers(0, count))
    metric = draw(st.sampled_from(["cosine", "dot", "euclid"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    moved = {
        int(id_): rng.choice(COORDINATES, DIMENSION) for id_ in rng.permutation(count)[:moved_count]
    }
    # Mostly, there is no filter.
    passing = rng.permutation(count)[: passing_count if rng.random() < 0.4 else count].tolist()
    live = rng.choice(COORDINATES, (count, DIMENSION))
    return World(metric, live, moved, frozenset(passing), rng.choice(COORDINATES, DIMENSION), k)


def assert_same_up_to_ties(world: World, merged: Merged) -> None:
    """Assert that the scores are those of the arm, and that each id has its score there.

    Which of several points with one score comes last is the engine's choice.
    """
    expected = world.search_arm()
    assert merged.scores == pytest.approx(expected.scores, abs=1e-6)
    arm_vectors = world.live.copy()
    for id_, vector in world.moved.items():
        arm_vectors[id_] = vector
    scores = world.score(arm_vectors)
    assert merged.scores == pytest.approx([scores[id_] for id_ in merged.ids], abs=1e-6)
    assert len(set(merged.ids)) == len(merged.ids)
    assert set(merged.ids) <= world.passing


@given(worlds())
def test_a_merged_list_is_that_of_a_collection_with_the_arm_s_vectors(world):
    merged, depth = world.merge_until_exact()
    assert_same_up_to_ties(world, merged)
    assert merged.depth <= depth


@given(worlds())
def test_a_list_of_the_depth_that_was_needed_is_exact_too(world):
    merged, _ = world.merge_until_exact()
    assert world.merge(max(merged.depth, 1)).is_exact


@given(worlds(), st.integers(1, 30))
def test_a_list_that_calls_itself_exact_is(world, depth):
    merged = world.merge(depth)
    if merged.is_exact:
        assert_same_up_to_ties(world, merged)


@given(worlds(), st.integers(1, 30))
def test_without_a_question_only_what_was_returned_is_shown_and_the_rest_is_counted(world, depth):
    merged = world.merge(depth, "leave")
    listed = set(world.search(world.live, depth).ids)
    assert set(merged.ids) <= listed
    if merged.is_exact and not merged.left_out:
        assert_same_up_to_ties(world, merged)


@given(worlds())
def test_unless_there_is_a_filter_points_of_the_overlay_are_in_without_a_question(world):
    unfiltered = replace(world, passing=frozenset(range(len(world.live))))
    merged, _ = unfiltered.merge_until_exact("admit")
    assert_same_up_to_ties(unfiltered, merged)
    assert not merged.left_out


@given(worlds(), st.integers(1, 30))
def test_with_admit_nothing_is_asked_and_a_list_that_calls_itself_exact_is(world, depth):
    unfiltered = replace(world, passing=frozenset(range(len(world.live))))
    merged = unfiltered.merge(depth, "admit")
    if merged.is_exact:
        assert_same_up_to_ties(unfiltered, merged)


def test_a_point_that_only_the_overlay_holds_comes_in_and_pushes_the_last_one_out():
    live = np.eye(3, dtype=np.float32)[[0, 0, 1, 2]]
    world = World("dot", live, {3: np.array([2, 0, 0], np.float32)}, frozenset(range(4)),
                  np.array([1, 0.5, 0], np.float32), 2)  # fmt: skip
    assert world.merge(2).ids == [3, 0]


def test_an_id_of_the_overlay_is_dropped_although_it_is_not_among_the_overlay_s_best():
    live = np.eye(3, dtype=np.float32)[[0, 0, 1]]
    world = World("dot", live, {0: np.array([0, 0, 1], np.float32)}, frozenset(range(3)),
                  np.array([1, 0.5, 0], np.float32), 1)  # fmt: skip
    assert not world.merge(1).is_exact
    assert world.merge(2).ids == [1]


def test_questions_end_where_a_longer_list_is_the_better_answer():
    count = 3000
    live = np.tile(np.array([[0, 1, 0]], np.float32), (count, 1))
    moved = {id_: np.array([1, 0, 0], np.float32) for id_ in range(100, count)}
    world = World("dot", live, moved, frozenset(range(100)), np.array([1, 0.5, 0], np.float32), 5)
    merged = world.merge(5)
    assert not merged.left_out
    assert merged.ids == world.search_arm().ids
