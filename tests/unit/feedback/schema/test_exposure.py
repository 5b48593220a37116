"""Exposures: what an experiment did to a search, as fields of a row and of a document."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nudge_sync.errors import InputError
from nudge_sync.feedback.schema.exposure import Exposure, parse_exposure, to_exposure_fields
from nudge_sync.feedback.schema.rows import parse_row

COUNTS = st.integers(0, 5)


@st.composite
def exposures(draw: st.DrawFn) -> tuple[Exposure, int]:
    count = draw(COUNTS)
    teams = st.lists(st.sampled_from(["control", "treatment", "both"]), min_size=count)
    flags = st.lists(st.booleans(), min_size=count)
    exposure = Exposure(
        draw(st.text(min_size=1, max_size=200).filter(lambda text: text.isprintable())),
        draw(st.sampled_from(["control", "treatment", "interleaved"])),
        tuple(draw(st.just([]) | teams.map(lambda items: items[:count]))),
        tuple(draw(st.just([]) | flags.map(lambda items: items[:count]))),
        draw(st.sampled_from(["", "deadline", "error"])),
    )
    return exposure, count


@given(exposures())
def test_an_exposure_comes_back_from_json(drawn):
    exposure, count = drawn
    fields = json.loads(json.dumps(to_exposure_fields(exposure)))
    assert parse_exposure(fields, count) == exposure


@pytest.mark.parametrize("fields", [{}, {"experiment": None}, {"experiment": "", "teams": []}])
def test_a_search_outside_of_experiments_has_none(fields):
    assert parse_exposure(fields, 2) is None


def test_fields_without_their_experiment_are_refused():
    with pytest.raises(InputError, match="needs an experiment"):
        parse_exposure({"arm": "control"}, 0)


def test_teams_come_one_for_each_shown_id():
    fields = {"experiment": "canary:1", "arm": "interleaved", "teams": ["both"]}
    with pytest.raises(InputError, match="one value for each shown id"):
        parse_exposure(fields, 2)


def test_a_row_names_its_exposure_in_plain_fields():
    row = {
        "query_id": "q1",
        "query_vector": [1.0, 0.0],
        "shown": [4, 9],
        "experiment": "holdback:12",
        "arm": "interleaved",
        "teams": ["control", "both"],
        "moved": [True, False],
    }
    exposure = Exposure("holdback:12", "interleaved", ("control", "both"), (True, False))
    assert parse_row(row, 2).exposure == exposure
