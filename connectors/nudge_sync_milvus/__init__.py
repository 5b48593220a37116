"""Milvus servers and Milvus Lite for nudge-sync: `pip install nudge-sync[milvus]`.

Milvus's words for the project's: a *point* is an entity, its *id* the primary key, its *vector* a
vector field, its *payload* the scalar, JSON, array and dynamic fields.
"""

from nudge_sync_milvus.admission import admit_points
from nudge_sync_milvus.collection import MilvusCollection
from nudge_sync_milvus.database import MilvusDatabase, connect
from nudge_sync_milvus.ingest import ingest
from nudge_sync_milvus.records import MilvusRecords
from nudge_sync_milvus.settings import MilvusSettings

__all__ = [
    "MilvusCollection",
    "MilvusDatabase",
    "MilvusRecords",
    "MilvusSettings",
    "admit_points",
    "connect",
    "ingest",
]
