"""The demo's data, and its split into two parts."""

from __future__ import annotations

import numpy as np

from nudge_sync.demo.requests import load_demo_data, split_requests


def test_the_data_is_whole_and_its_rows_are_unit_rows():
    tools, requests = load_demo_data()
    assert tools.vectors.shape == (199, 384)
    assert len(tools.names) == 199
    for vectors in (tools.vectors, requests.vectors):
        assert vectors.dtype == np.float32
        assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert all(requests.answers)
    assert set().union(*requests.answers) <= set(range(199))


def test_the_two_parts_share_no_request():
    _, requests = load_demo_data()
    train, held_out = split_requests(requests)
    assert (len(train.names), len(held_out.names)) == (4800, 1200)
    assert not set(train.names) & set(held_out.names)
    row = requests.names.index(train.names[0])
    assert train.answers[0] == requests.answers[row]
    assert np.array_equal(train.vectors[0], requests.vectors[row])
