"""Qdrant, as a server or in qdrant-client's local mode: `pip install nudge-sync[qdrant]`."""

from nudge_sync_qdrant.database import QdrantDatabase, connect
from nudge_sync_qdrant.ingest import ingest

__all__ = ["QdrantDatabase", "connect", "ingest"]
