"""Judgements imported from memory."""

import numpy as np

from nudge_sync.feedback.ingest.importer import import_rows
from nudge_sync.feedback.ingest.sources import build_judgement_source
from tests.support.feedback_files import DIMENSION


def test_judgements_in_memory_are_stored_with_their_queries(destination):
    vectors = np.eye(2, DIMENSION, dtype=np.float32)
    source = build_judgement_source(["a", "b"], vectors, {"a": {1: 2.0, 2: 0.0}, "b": {3: 1.0}})
    assert source.estimate_rows() == 2 + 3
    report = import_rows([source], destination)
    assert (report.searches, report.events, report.rejected) == (2, 3, 0)
    assert destination.queries.kept["b"].vector.tobytes() == vectors[1].tobytes()
    grades = {
        (record.document["query_id"], record.document["object_id"]): record.document["grade"]
        for record in destination.events.kept.values()
    }
    assert grades == {("a", 1): 2.0, ("a", 2): 0.0, ("b", 3): 1.0}
    assert import_rows([source], destination).unchanged == 5
