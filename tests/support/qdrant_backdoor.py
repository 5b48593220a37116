"""A Qdrant server or local mode through qdrant-client, for the conformance kit."""

from __future__ import annotations

import json

import numpy as np
from qdrant_client import QdrantClient
from qdrant_client.models import (
    CreateAlias,
    CreateAliasOperation,
    DeleteAlias,
    DeleteAliasOperation,
    Distance,
    Filter,
    FilterSelector,
    PointIdsList,
    PointStruct,
    VectorParams,
)

from nudge_sync.connector import Metric

DISTANCES = {"cosine": Distance.COSINE, "dot": Distance.DOT, "euclid": Distance.EUCLID}


class QdrantBackdoor:
    """See `Backdoor`. vector: "" is the default vector, and then there is no second one."""

    def __init__(self, client: QdrantClient, vector: str) -> None:
        self.client = client
        self.vector = vector

    def create(self, name: str, dimension: int, metric: Metric, *, integer_ids: bool) -> None:
        if self._is_left_over(name):
            self.client.delete(name, FilterSelector(filter=Filter()), wait=True)
            return
        self.drop(name)
        params = VectorParams(size=dimension, distance=DISTANCES[metric])
        other = VectorParams(size=3, distance=Distance.DOT)
        vectors = {self.vector: params, "other": other} if self.vector else params
        self.client.create_collection(name, vectors_config=vectors)

    def _is_left_over(self, name):
        """Return whether an earlier test left a collection of this layout."""
        if not self.client.collection_exists(name):
            return False
        vectors = self.client.get_collection(name).config.params.vectors
        return self.vector in vectors if isinstance(vectors, dict) else not self.vector

    def upsert(self, name, ids, vectors):
        points = [
            PointStruct(
                id=i,
                vector=self._name_vectors(row.tolist(), number),
                payload={"page": str(i), "nested": {"tags": [1, None, "é"]}, "third": 1 / 3},
            )
            for number, (i, row) in enumerate(zip(ids, vectors, strict=True))
        ]
        self.client.upsert(name, points, wait=True)

    def _name_vectors(self, row, number):
        return {self.vector: row, "other": [0.1, -2.5, number]} if self.vector else row

    def delete(self, name, ids):
        self.client.delete(name, PointIdsList(points=list(ids)), wait=True)

    def read(self, name, ids):
        points = self.client.retrieve(name, list(ids), with_payload=False, with_vectors=True)
        vector_by_id = {p.id: p.vector[self.vector] if self.vector else p.vector for p in points}
        return {i: np.array(row, np.float32) for i, row in vector_by_id.items()}

    def rest(self, name, ids):
        points = self.client.retrieve(name, list(ids), with_payload=True, with_vectors=True)
        others = {p.id: p.vector["other"] if self.vector else None for p in points}
        return {p.id: (json.dumps(p.payload, sort_keys=True), others[p.id]) for p in points}

    def count(self, name):
        return self.client.count(name, exact=True).count

    def drop(self, name):
        if self.client.collection_exists(name):
            self.client.delete_collection(name)

    def alias(self, alias, name):
        create = CreateAlias(alias_name=alias, collection_name=name)
        operations = [CreateAliasOperation(create_alias=create)]
        if any(each.alias_name == alias for each in self.client.get_aliases().aliases):
            delete = DeleteAliasOperation(delete_alias=DeleteAlias(alias_name=alias))
            operations = [delete, *operations]
        self.client.update_collection_aliases(operations)
