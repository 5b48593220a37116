"""Each plot is one SVG element that can stand beside the others in a page."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from nudge_sync.evaluate import evidence
from nudge_sync.evaluate.methods import METHODS

figures = pytest.importorskip("nudge_sync.evaluate.figures", exc_type=ImportError)


@pytest.fixture(scope="module")
def pictures(finished_study, lines):
    angles = [(trial.method, trial.angles) for trial in finished_study.trials if len(trial.angles)]
    return [
        figures.draw_gain_per_method(lines, "ndcg@10", 0.95),
        figures.draw_gain_by_angle(evidence.measure_gain_by_angle(finished_study), "ndcg@10", 0.95),
        figures.draw_gain_by_judgements(
            evidence.measure_gain_by_judgements(finished_study), "ndcg@10", 0.95
        ),
        figures.draw_angle_histogram(angles),
    ]


def test_every_picture_is_well_formed_and_has_a_caption(pictures):
    for picture in pictures:
        element = re.sub(r"xlink:", "", picture.svg)
        assert ET.fromstring(element).tag.endswith("svg")
        assert picture.caption.endswith(".")


def test_ids_differ_between_pictures_and_references_stay_inside_one(pictures):
    ids = [set(re.findall(r'\bid="([^"]+)"', picture.svg)) for picture in pictures]

    assert len(set().union(*ids)) == sum(map(len, ids))
    for picture, own in zip(pictures, ids, strict=True):
        used = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', picture.svg))
        assert used <= own


def test_the_histogram_says_what_the_median_angle_is():
    picture = figures.draw_angle_histogram([("nudge-n", np.radians([1.0, 2.0, 6.0]))])

    assert "median 2.0°" in picture.svg


def test_every_method_has_a_style_of_its_own():
    assert set(figures.METHOD_STYLES) == set(METHODS)
    assert len(set(figures.METHOD_STYLES.values())) == len(METHODS)
    assert len({marker for _, marker in figures.METHOD_STYLES.values()}) == len(METHODS)
