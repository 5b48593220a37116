"""Points over gRPC, straight between messages and NumPy.

The client's own models hold each number as a Python object, which takes longer to make than the
server takes to store a vector. A message's packed floats are their little-endian bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from qdrant_client import QdrantClient, grpc
from qdrant_client.conversions.conversion import GrpcToRest, RestToGrpc
from qdrant_client.models import Filter, ReadConsistencyType, UpdateResult, WriteOrdering

from nudge_sync.connector import Float32, PointId, Points
from nudge_sync_qdrant_common.ids import to_point_id

_PACKED_FLOATS_TAG = b"\x0a"
"""Field 1, of a length: how a message with nothing but packed floats begins."""


def fetch_points(
    client: QdrantClient,
    name: str,
    ids: Sequence[PointId],
    *,
    vector: str,
    dimension: int,
    consistency: ReadConsistencyType | int | None,
    timeout: int,
) -> Points:
    """Return the points that exist and have this vector, in the order of the answer.

    vector: its name; "" is the default one.
    """
    selector = grpc.WithVectorsSelector(enable=True)
    if vector:
        selector = grpc.WithVectorsSelector(include=grpc.VectorsSelector(names=[vector]))
    request = grpc.GetPoints(
        collection_name=name,
        ids=[RestToGrpc.convert_extended_point_id(point_id) for point_id in ids],
        with_payload=grpc.WithPayloadSelector(enable=False),
        with_vectors=selector,
        read_consistency=(
            None if consistency is None else RestToGrpc.convert_read_consistency(consistency)
        ),
    )
    answer: Any = client.grpc_points.Get(request, timeout=timeout)
    present_ids: list[PointId] = []
    rows: list[Float32] = []
    for point in answer.result:
        row = _read_vector(point.vectors, vector, dimension)
        if row is not None:
            present_ids.append(to_point_id(GrpcToRest.convert_point_id(point.id)))
            rows.append(row)
    return Points(present_ids, np.array(rows, dtype=np.float32).reshape(-1, dimension))


def build_update(point_id: PointId, row: Float32, vector: str) -> Any:
    """Return the message that gives one point its new vector."""
    data = _PACKED_FLOATS_TAG + _encode_length(row.nbytes) + row.astype("<f4").tobytes()
    dense = grpc.Vector(dense=grpc.DenseVector.FromString(data))
    vectors = grpc.Vectors(vector=dense)
    if vector:
        vectors = grpc.Vectors(vectors=grpc.NamedVectors(vectors={vector: dense}))
    return grpc.PointVectors(id=RestToGrpc.convert_extended_point_id(point_id), vectors=vectors)


def send_updates(
    client: QdrantClient,
    name: str,
    updates: Sequence[Any],
    *,
    ordering: WriteOrdering,
    condition: Filter | None,
    timeout: int,
) -> UpdateResult:
    """Send new vectors, wait until they are stored, and return the server's answer."""
    request = grpc.UpdatePointVectors(
        collection_name=name,
        wait=True,
        points=updates,
        ordering=RestToGrpc.convert_write_ordering(ordering),
        update_filter=None if condition is None else RestToGrpc.convert_filter(condition),
    )
    answer: Any = client.grpc_points.UpdateVectors(request, timeout=timeout)
    return GrpcToRest.convert_update_result(answer.result)


def _read_vector(vectors: Any, name: str, dimension: int) -> Float32 | None:
    output = vectors.vector
    if name:
        named = vectors.vectors.vectors
        if name not in named:
            return None
        output = named[name]
    if output.WhichOneof("vector") != "dense":
        # Before Qdrant 1.16 the numbers stand in the message itself.
        return np.array(output.data, dtype=np.float32) if len(output.data) else None
    size = 4 * dimension
    return np.frombuffer(output.dense.SerializeToString()[-size:], dtype="<f4")


def _encode_length(length: int) -> bytes:
    """Return a length as protobuf's varint: seven bits a byte, the lowest first."""
    encoded = bytearray()
    while length > 0x7F:  # noqa: PLR2004 - seven bits
        encoded.append(length & 0x7F | 0x80)
        length >>= 7
    encoded.append(length)
    return bytes(encoded)
