"""An adapter learns from all but the held-out queries, and the live index says what it gains."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nudge_sync import QueryAdapter, cycle
from nudge_sync.base.progress import ignore_progress
from nudge_sync.errors import InputError
from nudge_sync.evaluate.adapters.adapter_proof import learn_from_collection, prove_adapter
from nudge_sync.evaluate.adapters.adapter_task import build_adapter_task
from nudge_sync.evaluate.sources.collection import build_collection_task
from nudge_sync.feedback.schema.records import Event, to_event_record
from nudge_sync.planning.held_out import (
    HELD_OUT_SHARE,
    hash_queries,
    measure_live_scores,
    select_held_out,
)
from nudge_sync.tuning.adapter_maps import Strength, learn_maps
from tests.support.judged_collection import (
    SETTINGS,
    JudgedCollection,
    make_clicked_collection,
    make_labelled_collection,
)
from tests.support.turned_collection import make_turned_collection


def make_identity(dimension: int) -> QueryAdapter:
    return QueryAdapter(np.eye(dimension, dtype=np.float32), np.zeros(dimension, np.float32))


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclid"])
def test_what_it_gains_is_what_a_search_with_adapted_queries_finds(metric):
    judged = make_turned_collection(metric)
    target, held_out = judged.target, select_held_out(judged.judgements, [])

    proof = learn_from_collection(target, SETTINGS)

    assert proof.gate.passed
    assert proof.adapter.details["collection"] == "docs"
    adapted = replace(held_out, vectors=proof.adapter(held_out.vectors))
    for scores, queries in ((proof.before, held_out), (proof.after, adapted)):
        expected = measure_live_scores(target, queries, exact=True, progress=ignore_progress)
        assert scores == pytest.approx(expected)
    assert proof.after["ndcg@10"] - proof.before["ndcg@10"] == pytest.approx(
        proof.gate.gain, abs=1e-5
    )


def test_nothing_is_written():
    judged = make_turned_collection()
    ids = list(range(400))
    before = judged.target.collection.read(ids).vectors.tobytes()

    learn_from_collection(judged.target, SETTINGS)

    assert judged.target.collection.read(ids).vectors.tobytes() == before
    assert judged.target.shadow.records.count() == 0
    assert judged.target.ledger_records.count() == 0


@pytest.mark.parametrize("are_held_out", [True, False])
def test_held_out_queries_teach_nothing_and_others_do(are_held_out):
    judged, other = make_turned_collection(), make_turned_collection()
    is_held_out = hash_queries(judged.judgements.query_vectors) < HELD_OUT_SHARE
    names = [
        judged.judgements.query_ids[row] for row in np.flatnonzero(is_held_out == are_held_out)
    ]
    events = [Event(name, "relevant", 7, grade=5.0) for name in names]
    other.target.events.put([to_event_record(event) for event in events])

    one, changed = (learn_from_collection(each.target, SETTINGS) for each in (judged, other))

    # Documents that are judged come first, so that float32 products may round another way.
    difference = float(np.abs(one.adapter.matrix - changed.adapter.matrix).max())
    assert difference < 1e-6 if are_held_out else difference > 1e-3
    assert (one.before != changed.before) is are_held_out


def learn_map(judged: JudgedCollection, strength: Strength) -> QueryAdapter:
    """Return the map of this strength that the queries teach that are not held out."""
    task = build_collection_task(
        judged.target, judged.judgements, read_all=False, exact=False, progress=ignore_progress
    )
    rows = np.flatnonzero(hash_queries(task.queries) >= HELD_OUT_SHARE)
    return learn_maps(build_adapter_task(task, rows, "ndcg@10")).build_adapter(strength)


def test_it_learns_from_the_originals_and_is_measured_on_what_is_live():
    judged, untouched = make_labelled_collection(), make_labelled_collection()
    before = learn_from_collection(judged.target, SETTINGS)

    assert cycle.apply(judged.target, SETTINGS).outcome == "applied"
    after = learn_from_collection(judged.target, SETTINGS)

    assert after.before["ndcg@10"] > before.before["ndcg@10"]
    expected = learn_map(untouched, after.learned.strength)
    np.testing.assert_array_equal(after.adapter.matrix, expected.matrix)


def test_answers_without_feedback_are_asked_for_among_documents_that_moved():
    judged = make_labelled_collection()
    before = learn_from_collection(judged.target, SETTINGS)

    assert cycle.apply(judged.target, SETTINGS).outcome == "applied"
    after = learn_from_collection(judged.target, SETTINGS)

    assert after.cold.cold.queries == before.cold.cold.queries
    assert after.cold.cold.mean != before.cold.cold.mean
    assert before.learned.gains.beside_moved is None
    assert after.learned.gains.beside_moved.queries == after.learned.gains.cold.queries
    assert "beside documents that moved" in after.learned.reason


def test_too_few_held_out_queries_are_refused():
    judged = make_turned_collection()
    gate = SETTINGS.gate.model_copy(update={"min_queries": 1000})

    proof = learn_from_collection(judged.target, SETTINGS.model_copy(update={"gate": gate}))

    assert not proof.gate.passed
    assert "min_queries" in proof.gate.reasons[0]


def test_clicks_count_by_their_weights():
    proof = learn_from_collection(make_clicked_collection().target, SETTINGS)
    assert proof.learned.strength is not None
    assert proof.summary()["gate"]["queries"] > 20


def test_an_adapter_that_exists_is_measured_as_it_is():
    judged = make_turned_collection()
    learned = learn_from_collection(judged.target, SETTINGS)
    dimension = judged.target.facts.dimension

    again = prove_adapter(judged.target, SETTINGS, learned.adapter)
    nothing = prove_adapter(judged.target, SETTINGS, make_identity(dimension))

    assert (again.before, again.after) == (learned.before, learned.after)
    assert (again.gate.gain, again.gate.interval) == (learned.gate.gain, learned.gate.interval)
    assert again.cold is None
    assert (nothing.gate.passed, nothing.gate.gain) == (False, pytest.approx(0.0, abs=1e-9))
    with pytest.raises(InputError, match=f"{dimension + 1} dimensions"):
        prove_adapter(judged.target, SETTINGS, make_identity(dimension + 1))


def test_where_no_map_helps_none_is_made():
    proof = learn_from_collection(make_turned_collection(shuffled=True).target, SETTINGS)

    assert proof.adapter is None
    assert proof.after == proof.before
    assert not proof.gate.passed
    assert proof.gate.reasons == [proof.learned.reason]


def test_what_answers_without_feedback_lose_can_refuse_an_adapter():
    judged = make_turned_collection()

    looked = learn_from_collection(judged.target, SETTINGS)
    solver = SETTINGS.solver.model_copy(update={"cold_share": "off"})
    unseen = learn_from_collection(judged.target, SETTINGS.model_copy(update={"solver": solver}))

    assert looked.cold.cold.queries > 20
    assert "without feedback" in looked.gate.reasons[0]
    assert unseen.cold is None
    assert unseen.adapter.version == looked.adapter.version
