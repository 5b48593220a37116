"""Points over REST, straight from NumPy to JSON.

The client's own models make a Python object of each number, and print it with the digits of a
float64: twice as many bytes for the server to read as a float32 needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from pydantic import BaseModel
from qdrant_client import QdrantClient
from qdrant_client.models import Filter, UpdateResult, WriteOrdering

from nudge_sync.connector import Float32, PointId


class UpdateAnswer(BaseModel):
    """What the server answers to an update, as far as it is looked at."""

    result: UpdateResult


def build_json_update(point_id: PointId, row: Float32, vector: str) -> dict[str, Any]:
    """Return what a request says of one point that gets a new vector.

    vector: its name; "" is the default one.
    """
    return {"id": point_id, "vector": {vector: row} if vector else row}


def send_json_updates(
    client: QdrantClient,
    name: str,
    updates: Sequence[Any],
    *,
    ordering: WriteOrdering,
    condition: Filter | None,
) -> UpdateResult:
    """Send new vectors, wait until they are stored, and return the server's answer.

    A number goes as the shortest text that is this float32 and no other.
    """
    body: dict[str, Any] = {"points": updates}
    if condition is not None:
        body["update_filter"] = condition.model_dump(mode="json", exclude_none=True)
    answer = client.http.client.request(
        type_=UpdateAnswer,
        method="PUT",
        url="/collections/{collection_name}/points/vectors",
        path_params={"collection_name": name},
        params={"wait": "true", "ordering": ordering.value},
        headers={"Content-Type": "application/json"},
        content=orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY),
    )
    return answer.result
