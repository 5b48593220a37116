"""What the author of a connector imports: the contract, and what every connector needs to keep it.

Nothing here needs a database or its client. `docs/connectors.md` says how to write a connector.
"""

from nudge_sync.base.arrays import Float32
from nudge_sync.connector.contract import (
    LARGEST_ANSWER,
    Collection,
    CollectionFacts,
    Connect,
    Database,
    DatabaseFacts,
    Document,
    DocumentReader,
    Health,
    Hits,
    Metric,
    PointId,
    Points,
    Record,
    Records,
    Scalar,
    Where,
    WriteReport,
)
from nudge_sync.connector.entry_points import ENTRY_POINT_GROUP, connect, connector_names
from nudge_sync.connector.near_names import describe_near_names
from nudge_sync.connector.records import check_records, has_generation, is_match
from nudge_sync.connector.replication import (
    ReplicatedDatabase,
    Replication,
    find_replication,
    open_records_beside,
)
from nudge_sync.connector.rights import GuardedDatabase
from nudge_sync.connector.room import require_room
from nudge_sync.connector.secrets import (
    VariableName,
    read_secret,
    refuse_secrets_in_address,
    refuse_secrets_in_table,
)
from nudge_sync.connector.serving import PayloadReader, ServingCollection
from nudge_sync.connector.settings import Section, resolve_path, validate_settings
from nudge_sync.connector.sizes import SizedDatabase, find_size
from nudge_sync.connector.vectors import (
    TOLERANCE,
    check_queries,
    check_write,
    decode_vector,
    encode_vector,
    is_same_vector,
    merge_reports,
)
from nudge_sync.connector.versions import parse_version

__all__ = [
    "ENTRY_POINT_GROUP",
    "LARGEST_ANSWER",
    "TOLERANCE",
    "Collection",
    "CollectionFacts",
    "Connect",
    "Database",
    "DatabaseFacts",
    "Document",
    "DocumentReader",
    "Float32",
    "GuardedDatabase",
    "Health",
    "Hits",
    "Metric",
    "PayloadReader",
    "PointId",
    "Points",
    "Record",
    "Records",
    "ReplicatedDatabase",
    "Replication",
    "Scalar",
    "Section",
    "ServingCollection",
    "SizedDatabase",
    "VariableName",
    "Where",
    "WriteReport",
    "check_queries",
    "check_records",
    "check_write",
    "connect",
    "connector_names",
    "decode_vector",
    "describe_near_names",
    "encode_vector",
    "find_replication",
    "find_size",
    "has_generation",
    "is_match",
    "is_same_vector",
    "merge_reports",
    "open_records_beside",
    "parse_version",
    "read_secret",
    "refuse_secrets_in_address",
    "refuse_secrets_in_table",
    "require_room",
    "resolve_path",
    "validate_settings",
]
