"""A text embedded twice is one question, on one side of every split, whatever comes later."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nudge_sync.feedback.judgements import Judgements, read_judgements
from nudge_sync.feedback.same_questions import SAME_QUESTION_COSINE, find_first_asked
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.planning.held_out import number_questions
from nudge_sync.settings.feedback import FeedbackSettings
from tests.support.unit_vectors import make_unit_rows, normalise_rows


def add_noise(vectors: np.ndarray, size: float, seed: int) -> np.ndarray:
    """Return the vectors with each number changed by so large a share of itself at most."""
    noise = np.random.default_rng(seed).uniform(-size, size, vectors.shape)
    return normalise_rows(vectors * (1 + noise))


@given(st.integers(0, 2**32))
def test_it_is_the_earliest_of_all_that_are_nearly_equal(seed: int) -> None:
    rng = np.random.default_rng(seed)
    questions = rng.integers(0, 12, 60)
    vectors = add_noise(make_unit_rows(12, 16, 1)[questions], 1e-3, seed)
    rows, times = rng.integers(0, 60, 90), rng.integers(0, 30, 90).astype(float)
    asked = questions[rows]

    found = find_first_asked(vectors, rows.astype(np.int32), times)

    firsts = [min(np.flatnonzero(asked == one), key=lambda row: times[row]) for one in asked]
    assert found.tolist() == rows[firsts].tolist()


@pytest.mark.parametrize("size", [6e-8, 1e-6, 1e-3])
def test_noise_makes_no_other_question_among_many(size: float) -> None:
    once = make_unit_rows(3000, 384, 2)
    twice = np.concatenate([once, add_noise(once, size, 3)])
    rows = np.arange(6000, dtype=np.int32)
    if size > 1e-7:
        assert len(np.unique(number_questions(twice))) > 3500

    found = find_first_asked(twice, rows, np.zeros(6000))

    assert np.mean(found[3000:] == np.arange(3000)) > 0.999
    assert found[:3000].tolist() == list(range(3000))


def test_other_wordings_keep_their_vectors() -> None:
    vectors = make_unit_rows(200, 16, 4)
    near = add_noise(vectors, 0.2, 5)
    assert (np.einsum("ij,ij->i", vectors, near) < SAME_QUESTION_COSINE).all()
    rows = np.arange(400, dtype=np.int32)
    assert (find_first_asked(np.concatenate([vectors, near]), rows, np.zeros(400)) == rows).all()


def read(new_records, vectors: dict[str, np.ndarray]) -> Judgements:
    queries, events = new_records(), new_records()
    for number, (name, vector) in enumerate(vectors.items()):
        search = Search(name, vector.astype(np.float32), timestamp=1.0 + number)
        queries.put([to_search_record(search)])
        events.put([to_event_record(Event(name, "relevant", number))])
    return read_judgements(queries, events, FeedbackSettings(), 64)


def test_later_searches_move_no_question_to_another_side(new_records) -> None:
    first = make_unit_rows(40, 64, 6)
    # Their ids sort before those of the first searches.
    later = add_noise(first, 1e-3, 7)
    before = read(new_records, {f"z{row}": vector for row, vector in enumerate(first)})
    after = read(
        new_records,
        {f"z{row}": vector for row, vector in enumerate(first)}
        | {f"a{row}": vector for row, vector in enumerate(later)},
    )

    sides = {
        name: vector.tobytes()
        for name, vector in zip(after.query_ids, after.query_vectors, strict=True)
    }
    assert sides == {
        prefix + name[1:]: vector.tobytes()
        for name, vector in zip(before.query_ids, before.query_vectors, strict=True)
        for prefix in "za"
    }
    assert len(np.unique(number_questions(after.query_vectors))) == 40
