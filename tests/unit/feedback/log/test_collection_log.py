"""The log that a cycle learns from is the one that is explained and counted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nudge_sync.config import CollectionSettings, GateSettings
from nudge_sync.feedback.log.collection_log import load_collection_log
from nudge_sync.feedback.schema.records import Search, to_search_record
from nudge_sync.store.embedding_space import read_space, store_space
from nudge_sync.store.target import open_target
from nudge_sync.testing.memory import MemoryDatabase, MemoryStore

DIMENSION, CHANGED_AT = 4, 1_700_000_000.0


def test_searches_from_before_a_change_of_model_are_left_out_unless_all_is_taken():
    store = MemoryStore()
    store.create("docs", DIMENSION)
    target = open_target(MemoryDatabase(store), "docs")
    vector = np.eye(DIMENSION, dtype=np.float32)[0]
    for name, timestamp in (("before", CHANGED_AT - 60), ("after", CHANGED_AT + 60)):
        target.queries.put([to_search_record(Search(name, vector, timestamp=timestamp))])
    space = read_space(target)
    store_space(target, space, replace(space, number=2, since=int(CHANGED_AT * 1000)))

    log = load_collection_log(target, CollectionSettings())
    assert (list(log.searches.query_ids), log.former_searches) == (["after"], 1)
    everything = CollectionSettings(gate=GateSettings(max_drifted_share=1.0))
    assert load_collection_log(target, everything).former_searches == 0
