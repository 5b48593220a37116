"""Qdrant, as a server or in qdrant-client's local mode: `pip install nudge-sync[qdrant]`."""

from nudge_sync_qdrant.admission import admit_points, admit_points_async
from nudge_sync_qdrant.database import QdrantDatabase, connect
from nudge_sync_qdrant.ingest import ingest

__all__ = ["QdrantDatabase", "admit_points", "admit_points_async", "connect", "ingest"]
