"""Milvus through pymilvus, for the conformance kit: what an application does."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
from pymilvus import DataType, MilvusClient, MilvusException

from nudge_sync.connector import Float32, Metric, PointId

METRIC_TYPES = {"cosine": "COSINE", "dot": "IP", "euclid": "L2"}
KEY_TYPES = {True: DataType.INT64, False: DataType.VARCHAR}
"""By whether ids are integers."""
PARTITIONS = ("_default", "first", "second")
"""Points are spread over them."""


class MilvusBackdoor:
    """See `Backdoor`. Every point has scalar, JSON, array and dynamic fields, and a partition.

    second_vector: the name of a further vector field; Milvus 2.3 holds only one.
    """

    def __init__(
        self, client: MilvusClient, vector: str = "vector", second_vector: str = ""
    ) -> None:
        self.client = client
        self.vector = vector
        self.second_vector = second_vector

    def create(self, name: str, dimension: int, metric: Metric, *, integer_ids: bool) -> None:
        if self.client.has_collection(name):
            self.delete_all(name)
            return
        schema = self.client.create_schema(auto_id=False, enable_dynamic_field=True)
        length = {} if integer_ids else {"max_length": 65_535}
        schema.add_field("key", KEY_TYPES[integer_ids], is_primary=True, **length)
        if self.second_vector:
            schema.add_field(self.second_vector, DataType.FLOAT_VECTOR, dim=3)
        schema.add_field(self.vector, DataType.FLOAT_VECTOR, dim=dimension)
        schema.add_field("page", DataType.VARCHAR, max_length=1000)
        schema.add_field("share", DataType.DOUBLE)
        schema.add_field("meta", DataType.JSON)
        schema.add_field("numbers", DataType.ARRAY, element_type=DataType.INT64, max_capacity=8)
        params = self.client.prepare_index_params()
        params.add_index(self.vector, index_type="FLAT", metric_type=METRIC_TYPES[metric])
        if self.second_vector:
            params.add_index(self.second_vector, index_type="FLAT", metric_type="IP")
        self.client.create_collection(
            name, schema=schema, index_params=params, consistency_level="Strong"
        )
        for partition in PARTITIONS[1:]:
            self.client.create_partition(name, partition)

    def delete_all(self, name: str) -> None:
        integers = self._has_integer_ids(name)
        everything = "key >= 0 or key < 0" if integers else 'key >= ""'
        rows = self.client.query(name, everything, ["key"], consistency_level="Strong")
        for start in range(0, len(rows), 1000):
            keys = [row["key"] for row in rows[start : start + 1000]]
            self.client.delete(name, filter=format_key_filter(keys))

    def upsert(self, name: str, ids: Sequence[PointId], vectors: Float32) -> None:
        for index, partition in enumerate(PARTITIONS):
            rows = [
                self.make_row(key, vectors[number], number)
                for number, key in enumerate(ids)
                if choose_partition(key) == index
            ]
            if rows:
                self.client.upsert(name, rows, partition_name=partition)

    def make_row(self, key: PointId, vector: Float32, number: int) -> dict:
        row = {
            "key": key,
            self.vector: vector,
            "page": f'page "{number}" é\n',
            "share": 1 / 3 + number,
            "meta": {"nested": {"tags": [1, None, "é"]}, "big": 2**53 + 1, "tenth": 0.1},
            "numbers": list(range(number % 8)),
            "dynamic": {"tags": ["a", None]},
            "whole number": 2.0,
        }
        return row | ({self.second_vector: [0.1, -2.5, number]} if self.second_vector else {})

    def delete(self, name: str, ids: Sequence[PointId]) -> None:
        self.client.delete(name, filter=format_key_filter(ids))

    def read(self, name: str, ids: Sequence[PointId]) -> dict[PointId, Float32]:
        rows = self._query(name, ids, [self.vector])
        return {row["key"]: np.array(row[self.vector], np.float32) for row in rows}

    def rest(self, name: str, ids: Sequence[PointId]) -> dict[PointId, tuple[str, str]]:
        stored = {}
        for partition in PARTITIONS:
            for row in self._query(name, ids, ["*"], partition_names=[partition]):
                key = row.pop("key")
                del row[self.vector]
                assert key not in stored, "in two partitions"
                stored[key] = (partition, json.dumps(row, sort_keys=True, default=str))
        return stored

    def count(self, name: str) -> int:
        rows = self.client.query(name, "", ["count(*)"], consistency_level="Strong")
        return rows[0]["count(*)"]

    def drop(self, name: str) -> None:
        self.client.drop_collection(name)

    def alias(self, alias: str, name: str) -> None:
        try:
            self.client.create_alias(name, alias)
        except MilvusException:
            self.client.alter_alias(name, alias)

    def drop_alias(self, alias: str) -> None:
        with suppress(MilvusException):
            self.client.drop_alias(alias)

    def _query(self, name, ids, fields, **options):
        rows = []
        for start in range(0, len(ids), 1000):
            filter_ = format_key_filter(ids[start : start + 1000])
            rows += self.client.query(
                name, filter_, ["key", *fields], consistency_level="Strong", **options
            )
        return rows

    def _has_integer_ids(self, name: str) -> bool:
        fields = self.client.describe_collection(name)["fields"]
        return next(field for field in fields if field["name"] == "key")["type"] == DataType.INT64


def format_key_filter(ids: Sequence[PointId]) -> str:
    """Return a filter, made without the connector's help; plain keys only."""
    assert all(isinstance(key, int) or "\\" not in key for key in ids)
    return f"key in [{', '.join(json.dumps(key) for key in ids)}]"


def choose_partition(key: PointId) -> int:
    """Return which partition a point is in."""
    return sum(str(key).encode()) % len(PARTITIONS)
