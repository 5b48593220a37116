"""The picture of a point, and where revisions put it."""

from __future__ import annotations

import numpy as np
import pytest

from nudge_sync import cycle
from nudge_sync.errors import InputError
from nudge_sync.evaluate.inspection.point_picture import (
    draw_point,
    project_to_plane,
    trace_point,
)
from nudge_sync.evaluate.inspection.rank_states import rank_states
from tests.support.sample_collection import SETTINGS, open_sample_collection


@pytest.fixture(scope="module")
def nudged(tmp_path_factory):
    with open_sample_collection("memory", tmp_path_factory.mktemp("picture")) as sample:
        sample.add_judgements()
        cycle.apply(sample.target(), SETTINGS)
        yield sample


def test_a_plane_shows_what_lies_in_one():
    rng = np.random.default_rng(0)
    spots = rng.normal(size=(20, 2))
    axes = np.linalg.qr(rng.normal(size=(16, 2)))[0]
    plane, shown_share = project_to_plane((spots @ axes.T).astype(np.float32))
    distances = np.linalg.norm(spots[:, None] - spots[None], axis=2)
    assert np.linalg.norm(plane[:, None] - plane[None], axis=2) == pytest.approx(
        distances, abs=1e-5
    )
    assert shown_share == pytest.approx(1.0)


@pytest.mark.parametrize("count", [1, 2])
def test_one_vector_and_two_have_a_plane_too(count):
    plane, shown_share = project_to_plane(np.eye(4, dtype=np.float32)[:count])
    assert plane.shape == (count, 2)
    assert shown_share == pytest.approx(1.0)


def test_the_point_its_queries_and_neighbours_are_drawn(nudged):
    picture = draw_point(nudged.target(), 3, nudged.data.queries[:2], ["first", "second"])
    kinds = [item.kind for item in picture.items]
    assert kinds.count("query") == 2
    assert kinds.count("point") == 1
    assert kinds.count("neighbour") >= 8
    [point] = [item for item in picture.items if item.kind == "point"]
    assert (point.label, point.start != point.end) == ("3", True)
    assert 0 < picture.shown_share <= 1


def test_each_revision_says_how_far_it_put_the_point(nudged):
    target = nudged.target()
    [move] = trace_point(target, target.open_ledger().entries(), 3)
    original, live = nudged.data.vectors[3], nudged.read_vectors([3])[0]
    assert move.revision == 1
    assert move.angle == pytest.approx(float(np.arccos(original @ live)), abs=1e-3)
    assert trace_point(target, target.open_ledger().entries(), 399) == []


def test_a_search_is_ranked_in_each_state_as_by_brute_force(nudged):
    target, query = nudged.target(), nudged.data.queries[5]
    rankings = rank_states(target, query, None, depth=10, progress=lambda *_: None)
    for vectors, answers in (
        (nudged.data.vectors, rankings.originals),
        (nudged.read_vectors(), rankings.live),
    ):
        assert [answer.point for answer in answers] == np.argsort(-(vectors @ query))[:10].tolist()
    assert rankings.planned is None
    assert {answer.angle for answer in rankings.originals} == {0.0}
    assert max(answer.angle for answer in rankings.live) > 0


@pytest.mark.parametrize("query", [np.zeros(32, np.float32), np.ones(3, np.float32)])
def test_a_search_without_a_usable_vector_is_refused(nudged, query):
    with pytest.raises(InputError, match="no vector"):
        rank_states(nudged.target(), query, None, depth=10, progress=lambda *_: None)
