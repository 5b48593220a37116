"""Shadow and history records that are damaged or none of ours: named, and not used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from nudge_sync import cycle
from nudge_sync.canary.by_hand import promote
from nudge_sync.canary.start import start
from nudge_sync.connector import Record
from nudge_sync.errors import DamagedRecord
from nudge_sync.store import checksum
from nudge_sync.writing.rollback import roll_back
from tests.support.nudged_collection import (
    HISTORY,
    LEDGER,
    ORIGINALS,
    NudgedCollection,
    assert_harmless,
    assert_refused,
)
from tests.support.passing_plan import make_passing_plan
from tests.support.sample_collection import JUDGED_POINTS, SETTINGS
from tests.support.unit_vectors import perturb_rows


@pytest.mark.parametrize("bit", [0, 7, 22, 23, 30, 31])
@pytest.mark.parametrize("name", [ORIGINALS, HISTORY])
def test_a_flipped_bit_of_a_vector(nudged_collection: NudgedCollection, name, bit):
    key = nudged_collection.keys(name)[3]
    text, vector = nudged_collection.records[name][key]
    bent = vector.copy()
    bent.view(np.uint32)[bit] ^= np.uint32(1 << bit)
    nudged_collection.records[name][key] = (text, bent)
    if name == ORIGINALS:
        assert_refused(nudged_collection, key, "undo", "originals")
    assert_harmless(nudged_collection)


@pytest.mark.parametrize("name", [ORIGINALS, HISTORY])
def test_two_vectors_exchanged(nudged_collection: NudgedCollection, name):
    first, second = nudged_collection.keys(name)[:2]
    table = nudged_collection.records[name]
    table[first], table[second] = (
        (table[first][0], table[second][1]),
        (table[second][0], table[first][1]),
    )
    assert_harmless(nudged_collection)


@pytest.mark.parametrize("name", [ORIGINALS, HISTORY])
def test_two_records_exchanged(nudged_collection: NudgedCollection, name):
    first, second = nudged_collection.keys(name)[:2]
    table = nudged_collection.records[name]
    table[first], table[second] = table[second], table[first]
    assert_refused(nudged_collection, first, "undo", "originals")
    assert_harmless(nudged_collection)


@pytest.mark.parametrize("name", [ORIGINALS, HISTORY])
def test_a_lost_vector(nudged_collection: NudgedCollection, name):
    key = nudged_collection.keys(name)[0]
    nudged_collection.records[name][key] = (nudged_collection.records[name][key][0], None)
    assert_harmless(nudged_collection)


DOCUMENTS: list[Callable[[dict[str, Any]], Any]] = [
    lambda body: body.clear(),
    lambda body: body.pop("seal"),
    lambda body: body.update(seal=None),
    lambda body: body.update(seal="0" * 32),
    lambda body: body.update(id=399),
    lambda body: body.update(id="3"),
    lambda body: body.update(id=None),
    lambda body: body.update(vector="0" * 32),
    lambda body: body.update(revision=7),
    lambda body: body.update(extra={"a": [1]}),
]


@pytest.mark.parametrize("number", range(len(DOCUMENTS)))
@pytest.mark.parametrize("name", [ORIGINALS, HISTORY])
def test_a_damaged_document(nudged_collection: NudgedCollection, name, number):
    key = nudged_collection.keys(name)[5]
    document, vector = (
        nudged_collection.document(name, key),
        nudged_collection.records[name][key][1],
    )
    DOCUMENTS[number](document)
    nudged_collection.put(name, key, document, vector)
    assert_refused(nudged_collection, key, "undo", "originals")
    assert_harmless(nudged_collection)


@pytest.mark.parametrize("content", [[1], 3, "x", None, True, [[]]])
@pytest.mark.parametrize("name", [ORIGINALS, HISTORY, LEDGER])
def test_a_document_that_is_no_document(nudged_collection: NudgedCollection, name, content):
    key = nudged_collection.keys(name)[-1]
    nudged_collection.put(name, key, content, nudged_collection.records[name][key][1])
    with pytest.raises(DamagedRecord):
        checksum.verify_checksums([Record(key, content)], name)


SHAPES: list[Callable[[dict[str, Any]], Any]] = [
    lambda body: body.clear(),
    lambda body: body.pop("id"),
    lambda body: body.pop("revision"),
    lambda body: body.update(id=None),
    lambda body: body.update(id=[1]),
    lambda body: body.update(id=1.5),
    lambda body: body.update(id=True),
    lambda body: body.update(id={"a": 1}),
    lambda body: body.update(id=""),
    lambda body: body.update(id=399),
    lambda body: body.update(revision="x"),
    lambda body: body.update(revision=-1),
    lambda body: body.update(revision=2**70),
    lambda body: body.update(revision=9),
    lambda body: body.update(unknown=1),
]


@pytest.mark.parametrize("number", range(len(SHAPES)))
@pytest.mark.parametrize("name", [ORIGINALS, HISTORY])
def test_a_sealed_record_of_another_shape(nudged_collection: NudgedCollection, name, number):
    key = nudged_collection.keys(name)[7]
    nudged_collection.rewrite_with_checksum(name, key, SHAPES[number])
    if name == ORIGINALS:
        assert_refused(nudged_collection, key, "verify", "undo", "originals")
    assert_harmless(nudged_collection)


def test_originals_that_are_gone(nudged_collection: NudgedCollection):
    nudged_collection.records[ORIGINALS].clear()
    with pytest.raises(DamagedRecord, match="original is gone"):
        cycle.plan(nudged_collection.target(), SETTINGS)
    assert nudged_collection.read_bytes() == nudged_collection.live_bytes


def test_history_that_is_gone_in_part(nudged_collection: NudgedCollection):
    """What nothing tells from the application's vectors does not become a new original."""
    collection = nudged_collection.sample_collection
    for key in nudged_collection.keys(HISTORY)[:5]:
        del nudged_collection.records[HISTORY][key]
    lost = f"holds {JUDGED_POINTS - 5} of the {JUDGED_POINTS} rows of revision 1.*--drifted"
    collection.add_judgements(range(100))
    with pytest.raises(DamagedRecord, match=lost):
        cycle.apply(collection.target(), SETTINGS)
    assert nudged_collection.read_bytes() == nudged_collection.live_bytes
    assert len(nudged_collection.records[ORIGINALS]) == JUDGED_POINTS

    report = roll_back(collection.target(), SETTINGS, originals=True)
    assert (report.restored, len(report.drifted)) == (JUDGED_POINTS - 5, 5)
    roll_back(collection.target(), SETTINGS, originals=True, overwrite_drifted=True)
    assert collection.read_vectors().tobytes() == collection.data.vectors.tobytes()
    assert cycle.apply(collection.target(), SETTINGS).outcome == "applied"


def test_history_that_is_gone_in_part_while_a_canary_runs(nudged_collection: NudgedCollection):
    collection = nudged_collection.sample_collection
    new_vectors = dict(enumerate(perturb_rows(collection.data.vectors[:3], 1)))
    plan = make_passing_plan(collection.target(), SETTINGS, new_vectors)
    assert start(collection.target(), SETTINGS, plan).outcome == "candidate"
    del nudged_collection.records[HISTORY][nudged_collection.keys(HISTORY)[0]]
    with pytest.raises(DamagedRecord, match=f"holds {JUDGED_POINTS - 1} of the"):
        promote(collection.target(), SETTINGS, "anna")
    assert nudged_collection.read_bytes() == nudged_collection.live_bytes
    assert len(nudged_collection.records[ORIGINALS]) == JUDGED_POINTS


def test_a_ledger_that_is_gone(nudged_collection: NudgedCollection):
    nudged_collection.records[LEDGER].clear()
    with pytest.raises(DamagedRecord, match="is empty although"):
        roll_back(nudged_collection.target(), SETTINGS)
    assert nudged_collection.read_bytes() == nudged_collection.live_bytes
    roll_back(nudged_collection.target(), SETTINGS, originals=True)
    assert (
        nudged_collection.read_bytes() == nudged_collection.sample_collection.data.vectors.tobytes()
    )
