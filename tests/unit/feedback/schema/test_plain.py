"""Values of applications as those of a JSON row."""

from uuid import UUID

import numpy as np

from nudge_sync.feedback.schema.plain import to_plain_row


def test_numbers_and_ids_of_clients_become_those_of_json():
    uuid = UUID("0f2a6e8c-9f0d-4b57-8f0e-1f8f6f6a3a10")
    row = {"query_id": uuid, "shown": (np.int64(3), uuid), "time": np.float64(1.5), "text": None}
    plain = to_plain_row(row)
    assert plain == {"query_id": str(uuid), "shown": [3, str(uuid)], "time": 1.5, "text": None}
    assert (type(plain["shown"][0]), type(plain["time"])) == (int, float)


def test_vectors_and_propensities_become_arrays():
    plain = to_plain_row({"query_vector": (1, 2), "propensities": [np.float32(0.5)]})
    assert (plain["query_vector"].dtype, plain["propensities"].tolist()) == (np.float64, [0.5])
