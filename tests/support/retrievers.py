"""What the tests of the wrapped retrievers share: a query, a dead database, and stored clicks."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NoReturn

import pytest

from nudge_sync.config import FeedbackSettings
from nudge_sync.connector import Database
from nudge_sync.errors import Unreachable
from nudge_sync.feedback.judgements import read_judgements
from nudge_sync.store.target import open_target
from tests.support.feedback_store import read_stored_feedback
from tests.support.text_embeddings import DIMENSION, embed_text

QUERY = "swept wings"


def fail_to_connect() -> NoReturn:
    raise Unreachable


def check_logged_judgement(
    database: Database, shown: Sequence[Any], chosen: Any, known_ids: Collection[Any]
) -> None:
    """Check that one search of s1 and c1 for QUERY is stored, with `chosen` as its only answer."""
    [search], _ = read_stored_feedback(database)
    assert search.document["shown"] == list(shown)
    assert set(shown) <= set(known_ids)
    stored = {name: search.document[name] for name in ("text", "session_id", "client_id")}
    assert stored == {"text": QUERY, "session_id": "s1", "client_id": "c1"}
    target = open_target(database, "docs")
    judgements = read_judgements(target.queries, target.events, FeedbackSettings(), DIMENSION)
    assert judgements.point_ids == [chosen]
    assert judgements.query_vectors[0] == pytest.approx(embed_text(QUERY), abs=1e-6)
