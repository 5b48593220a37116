"""What is sent to a Qdrant server over REST: each float32 with all its bits, and what was asked."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("qdrant_client")

from qdrant_client.models import FieldCondition, Filter, MatchValue, UpdateStatus, WriteOrdering

from nudge_sync.connector import connect
from nudge_sync.errors import DatabaseError
from nudge_sync_qdrant.rest_points import build_json_update, send_json_updates
from tests.support.canned_server import Answers, start_server
from tests.support.unit_vectors import make_unit_rows

COMPLETED = {"result": {"operation_id": 1, "status": "completed"}, "status": "ok", "time": 0.1}


@pytest.fixture
def server():
    with start_server(Answers) as handler:
        handler.body = COMPLETED
        yield handler


def send(handler, rows, vector="", condition=None):
    database = connect("qdrant", handler.section)
    updates = [build_json_update(number, row, vector) for number, row in enumerate(rows)]
    connection = database.connection
    with connection.translate_errors('"docs"'):
        return send_json_updates(
            connection.client,
            "docs/a",
            updates,
            ordering=WriteOrdering.STRONG,
            condition=condition,
        )


def test_numbers_arrive_bit_for_bit_and_short(server):
    rows = make_unit_rows(50, 64, seed=1)
    rows[0, :6] = [1e-45, -1e-40, 3e18, -0.0, 2**-126, np.finfo(np.float32).max]
    assert send(server, rows).status == UpdateStatus.COMPLETED
    path, _, body = server.seen[-1]
    assert path == "/collections/docs%2Fa/points/vectors?wait=true&ordering=strong"
    points = json.loads(body)["points"]
    assert [point["id"] for point in points] == list(range(50))
    read = np.array([point["vector"] for point in points], dtype=np.float32)
    assert read.tobytes() == rows.tobytes()
    # The client prints a float64's digits.
    assert len(body) < 0.7 * len(json.dumps({"points": [row.tolist() for row in rows]}))


def test_a_named_vector_and_a_condition(server):
    holds_token = FieldCondition(key="mark", match=MatchValue(value="abc"))
    send(server, make_unit_rows(1, 4, seed=1), "title", Filter(must=[holds_token]))
    body = json.loads(server.seen[-1][2])
    assert list(body["points"][0]["vector"]) == ["title"]
    assert body["update_filter"] == {"must": [{"key": "mark", "match": {"value": "abc"}}]}


def test_an_answer_that_is_none_is_an_error(server):
    server.body = {"result": "taken", "status": "ok"}
    with pytest.raises(DatabaseError, match="not one that this qdrant-client understands"):
        send(server, make_unit_rows(1, 4, seed=1))
