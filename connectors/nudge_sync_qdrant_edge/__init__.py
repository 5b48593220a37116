"""Qdrant's own engine in this process: `pip install nudge-sync[qdrant-edge]`."""

from nudge_sync_qdrant_edge.database import EdgeDatabase, connect
from nudge_sync_qdrant_edge.ingest import ingest

__all__ = ["EdgeDatabase", "connect", "ingest"]
