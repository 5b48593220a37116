"""What the author of a feedback source imports: the contract, and how sources are found.

Nothing here needs a database. `docs/feedback/sources.md` says how to write a source.
"""

from nudge_sync.connector.secrets import (
    read_secret,
    refuse_secrets_in_address,
    refuse_secrets_in_table,
)
from nudge_sync.connector.settings import Section, validate_settings
from nudge_sync.errors import SourceError, SourceUnreachable
from nudge_sync.source.contract import (
    MACHINE_PREFIX,
    MAX_CURSOR_LENGTH,
    MAX_PAGE_ROWS,
    FeedbackSource,
    OpenFeedbackSource,
    Page,
    Row,
    SourceFacts,
    UnknownField,
)
from nudge_sync.source.cursors import format_cursor, parse_cursor
from nudge_sync.source.entry_points import (
    SOURCE_ENTRY_POINT_GROUP,
    list_source_kinds,
    open_feedback_source,
)

__all__ = [
    "MACHINE_PREFIX",
    "MAX_CURSOR_LENGTH",
    "MAX_PAGE_ROWS",
    "SOURCE_ENTRY_POINT_GROUP",
    "FeedbackSource",
    "OpenFeedbackSource",
    "Page",
    "Row",
    "Section",
    "SourceError",
    "SourceFacts",
    "SourceUnreachable",
    "UnknownField",
    "format_cursor",
    "list_source_kinds",
    "open_feedback_source",
    "parse_cursor",
    "read_secret",
    "refuse_secrets_in_address",
    "refuse_secrets_in_table",
    "validate_settings",
]
