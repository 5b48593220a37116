"""Shadow, history, ledger and lease records that are damaged or none of ours: named, not used."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pytest

from nudge_sync import cycle
from nudge_sync.connector import Record
from nudge_sync.connector.vectors import is_same_vector
from nudge_sync.errors import DamagedRecord, NudgeSyncError
from nudge_sync.store import checksum, erasure, lease, verify
from nudge_sync.store.integrity import find_damaged_records
from nudge_sync.store.ledger import Revision
from nudge_sync.writing import resume
from nudge_sync.writing.rollback import roll_back
from nudge_sync_milvus.record_codec import decode_record
from nudge_sync_qdrant_common import record_codec
from tests.support.sample_collection import (
    JUDGED_POINTS,
    SETTINGS,
    SampleCollection,
    open_sample_collection,
)

ORIGINALS, HISTORY, LEDGER = (
    f"docs__nudge_{name}" for name in ("originals", "history", "revisions")
)


@dataclass
class NudgedCollection:
    """A sample collection after one cycle, and how to bring its records back."""

    sample_collection: SampleCollection
    saved_records: dict[str, dict[str, Any]]
    live_bytes: bytes

    @property
    def records(self) -> dict[str, dict[str, Any]]:
        return self.sample_collection.database.store.records

    def keys(self, name: str) -> list[str]:
        return sorted(self.records[name])

    def document(self, name: str, key: str) -> dict[str, Any]:
        return json.loads(self.records[name][key][0])

    def put(self, name: str, key: str, document: Any, vector: Any) -> None:
        self.records[name][key] = (json.dumps(document), vector)

    def rewrite_with_checksum(
        self, name: str, key: str, change: Callable[[dict[str, Any]], Any]
    ) -> None:
        """A record that carries the right digest and says something else."""
        document = self.document(name, key)
        vector = self.records[name][key][1]
        body = {k: v for k, v in document.items() if k not in {"seal", "vector"}}
        change(body)
        record = checksum.add_checksum(key, body, vector)
        self.put(name, key, record.document, vector)


@pytest.fixture(scope="module")
def shared_nudged_collection(tmp_path_factory) -> Iterator[NudgedCollection]:
    with open_sample_collection("memory", tmp_path_factory.mktemp("sample")) as sample_collection:
        sample_collection.add_judgements()
        cycle.apply(sample_collection.target(), SETTINGS)
        saved_records = {
            name: dict(found) for name, found in sample_collection.database.store.records.items()
        }
        yield NudgedCollection(
            sample_collection, saved_records, sample_collection.read_vectors().tobytes()
        )


@pytest.fixture
def nudged_collection(shared_nudged_collection: NudgedCollection) -> Iterator[NudgedCollection]:
    yield shared_nudged_collection
    shared_nudged_collection.sample_collection.upsert(
        list(range(400)),
        np.frombuffer(shared_nudged_collection.live_bytes, np.float32).reshape(400, -1),
    )
    shared_nudged_collection.records.clear()
    shared_nudged_collection.records.update(
        {name: dict(found) for name, found in shared_nudged_collection.saved_records.items()}
    )


def list_attempts(sample_collection: SampleCollection) -> Iterator[tuple[str, Callable[[], Any]]]:
    target = sample_collection.target()
    yield "verify", lambda: verify.verify(target)
    yield "plan", lambda: cycle.plan(target, SETTINGS)
    yield "resume", lambda: resume.resume(target, SETTINGS)
    yield "apply", lambda: cycle.apply(target, SETTINGS)
    yield "undo", lambda: roll_back(target, SETTINGS)
    yield "originals", lambda: roll_back(target, SETTINGS, originals=True)


def assert_refused(nudged_collection: NudgedCollection, key: str, *names: str) -> None:
    """Each of the verbs names the record, and the collection keeps every bit."""
    for name, attempt in list_attempts(nudged_collection.sample_collection):
        if name in names:
            with pytest.raises(DamagedRecord) as error:
                attempt()
            assert repr(key)[:100] in str(error.value), name
            assert (
                nudged_collection.sample_collection.read_vectors().tobytes()
                == nudged_collection.live_bytes
            ), name


def assert_harmless(nudged_collection: NudgedCollection) -> None:
    """No verb does anything but succeed or refuse; what is written comes from whole records."""
    original = nudged_collection.sample_collection.data.vectors[:JUDGED_POINTS]
    for _, attempt in list_attempts(nudged_collection.sample_collection):
        try:
            attempt()
        except NudgeSyncError:
            continue
    now = nudged_collection.sample_collection.read_vectors(range(JUDGED_POINTS))
    before = np.frombuffer(nudged_collection.live_bytes, np.float32).reshape(400, -1)[
        :JUDGED_POINTS
    ]
    ours = (now == before).all(axis=1) | (now == original).all(axis=1)
    assert ours.all()


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


def _milvus(text: str) -> Any:
    return decode_record([text], None, 4)


def _qdrant(text: str) -> Any:
    return record_codec.decode_record({"key": '"k"', "document": text}, None)


TEXTS = [
    "",
    "=",
    "z",
    "=[",
    "=[]",
    "=null",
    "=[1,2,3,4]",
    '=["k",true,"n",[]]',
    "=" + "[" * 100_000,
]
TEXTS += ['=["k",true,5,{}]', "z!!!", "zabc", "x{}", "=[NaN]", "\x00", '{"a":' * 50_000, "[1]", "3"]
BOMB = "z" + base64.b85encode(zlib.compress(b" " * 2**28)).decode()


@pytest.mark.parametrize("text", [*TEXTS, BOMB], ids=range(len(TEXTS) + 1))
@pytest.mark.parametrize("read", [_milvus, _qdrant])
def test_a_stored_text_that_is_no_record(read, text):
    with pytest.raises(DamagedRecord):
        read(text)


def test_vectors_of_another_dimension_are_other_vectors():
    four, six = np.ones((2, 4), np.float32), np.ones((2, 6), np.float32)
    for rescales in (True, False):
        assert is_same_vector(four, six, rescales=rescales).tolist() == [False, False]


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


def test_verify_names_every_damaged_record(nudged_collection: NudgedCollection):
    named = []
    for name, keys in (
        (ORIGINALS, nudged_collection.keys(ORIGINALS)[3:9]),
        (HISTORY, nudged_collection.keys(HISTORY)),
    ):
        for key in keys[:6]:
            text, vector = nudged_collection.records[name][key]
            nudged_collection.records[name][key] = (text, vector + 1)
            named.append(f"{name} {key!r}")
    nudged_collection.rewrite_with_checksum(
        LEDGER, "revision:00000001", lambda body: body["entry"].pop("state")
    )
    nudged_collection.rewrite_with_checksum(LEDGER, "lease", lambda body: body.pop("lease"))
    named += [f"{LEDGER} 'revision:00000001'", f"{LEDGER} 'lease'"]
    with pytest.raises(DamagedRecord, match="Damaged are 14 records") as error:
        verify.verify(nudged_collection.sample_collection.target())
    assert [name for name in named if name not in str(error.value)] == []
    assert (
        nudged_collection.sample_collection.read_vectors().tobytes() == nudged_collection.live_bytes
    )


def test_verify_counts_what_it_has_no_room_for(nudged_collection: NudgedCollection):
    for key in nudged_collection.keys(HISTORY):
        text, vector = nudged_collection.records[HISTORY][key]
        nudged_collection.records[HISTORY][key] = (text.replace('"id"', '"ID"'), vector)
    count = len(nudged_collection.keys(HISTORY))
    with pytest.raises(DamagedRecord, match=f"and {count - 20} more") as error:
        verify.verify(nudged_collection.sample_collection.target())
    assert len(str(error.value)) < 2500


def test_originals_that_are_gone(nudged_collection: NudgedCollection):
    nudged_collection.records[ORIGINALS].clear()
    with pytest.raises(DamagedRecord, match="original is gone"):
        cycle.plan(nudged_collection.sample_collection.target(), SETTINGS)
    assert (
        nudged_collection.sample_collection.read_vectors().tobytes() == nudged_collection.live_bytes
    )


def test_a_ledger_that_is_gone(nudged_collection: NudgedCollection):
    nudged_collection.records[LEDGER].clear()
    with pytest.raises(DamagedRecord, match="is empty although"):
        roll_back(nudged_collection.sample_collection.target(), SETTINGS, originals=True)
    assert (
        nudged_collection.sample_collection.read_vectors().tobytes() == nudged_collection.live_bytes
    )


ENTRIES: list[Callable[[dict[str, Any]], Any]] = [
    lambda body: body.pop("entry"),
    lambda body: body.update(entry=None),
    lambda body: body.update(entry=[]),
    lambda body: body.update(entry={}),
    lambda body: body.update(entry="rollback"),
    lambda body: body["entry"].pop("parent"),
    lambda body: body["entry"].pop("state"),
    lambda body: body["entry"].update(unknown=1),
    lambda body: body["entry"].update(state="done"),
    lambda body: body["entry"].update(state=None),
    lambda body: body["entry"].update(kind="apply; drop"),
    lambda body: body["entry"].update(number="one"),
    lambda body: body["entry"].update(number=2),
    lambda body: body["entry"].update(number=-1),
    lambda body: body["entry"].update(number=None),
    lambda body: body["entry"].update(parent=1),
    lambda body: body["entry"].update(parent=2),
    lambda body: body["entry"].update(parent=-3),
    lambda body: body["entry"].update(parent=[0]),
    lambda body: body["entry"].update(to=7),
    lambda body: body["entry"].update(to="x"),
    lambda body: body["entry"].update(details=None),
    lambda body: body["entry"].update(details=[1]),
    lambda body: body["entry"]["details"].update(planned_at=10**30),
    lambda body: body["entry"]["details"].update(applied_at="now"),
    lambda body: body["entry"]["details"].update(rows=-1),
    lambda body: body["entry"]["details"].update(live=3),
    lambda body: body["entry"]["details"].update(live={"ndcg@10": "high"}),
    lambda body: body["entry"]["details"].update(plan=[]),
    lambda body: body["entry"]["details"].update(inputs={"a": 1}),
    lambda body: body["entry"].update(generation="x"),
]


@pytest.mark.parametrize("number", range(len(ENTRIES)))
def test_a_sealed_ledger_entry_of_another_shape(nudged_collection: NudgedCollection, number):
    key = "revision:00000001"
    nudged_collection.rewrite_with_checksum(LEDGER, key, ENTRIES[number])
    assert_refused(nudged_collection, key, "verify", "plan", "resume", "apply", "undo", "originals")
    with pytest.raises(DamagedRecord):
        nudged_collection.sample_collection.target().open_ledger().read_entry(1)


@pytest.mark.parametrize("number", range(5))
def test_a_damaged_ledger_entry(nudged_collection: NudgedCollection, number):
    key = "revision:00000001"
    document = nudged_collection.document(LEDGER, key)
    [
        lambda: document.pop("seal"),
        lambda: document["entry"].update(parent=5),
        lambda: document["entry"].update(state="abandoned"),
        lambda: document.update(entry=None),
        lambda: document["entry"]["details"].update(rows=1),
    ][number]()
    nudged_collection.put(LEDGER, key, document, None)
    assert_refused(nudged_collection, key, "verify", "plan", "resume", "apply", "undo", "originals")


def test_a_plan_in_the_ledger_that_cannot_be_read_is_made_again(
    nudged_collection: NudgedCollection,
):
    def change(body: dict[str, Any]) -> None:
        body["entry"]["details"]["plan"] = {"metric": 3}

    nudged_collection.rewrite_with_checksum(LEDGER, "revision:00000001", change)
    again = cycle.apply(nudged_collection.sample_collection.target(), SETTINGS)
    assert (len(again.plan.rows), again.revision) == (0, None)


LEASES: list[Callable[[dict[str, Any]], Any]] = [
    lambda body: body.pop("lease"),
    lambda body: body.update(lease=None),
    lambda body: body.update(lease=[]),
    lambda body: body.update(lease={}),
    lambda body: body["lease"].pop("expires"),
    lambda body: body["lease"].update(expires="never"),
    lambda body: body["lease"].update(expires=10**30),
    lambda body: body["lease"].update(acquired=-1),
    lambda body: body["lease"].update(seconds=float("1e300")),
    lambda body: body["lease"].update(seconds=0),
    lambda body: body["lease"].update(process="1234"),
    lambda body: body["lease"].update(process="a/b/-1/c"),
    lambda body: body["lease"].update(process="a/b/" + "9" * 40 + "/c"),
    lambda body: body["lease"].update(process="a/b/../../1/c"),
    lambda body: body["lease"].update(host=None),
    lambda body: body["lease"].update(generation="x"),
    lambda body: body["lease"].update(generation=99),
    lambda body: body["lease"].update(unknown=1),
    lambda body: body.update(generation=None),
]


@pytest.mark.parametrize("number", range(len(LEASES)))
def test_a_lease_of_another_shape_is_named_and_can_be_replaced(
    nudged_collection: NudgedCollection, number
):
    nudged_collection.rewrite_with_checksum(LEDGER, "lease", LEASES[number])
    assert_refused(nudged_collection, "lease", "verify", "resume", "apply", "undo")
    target = nudged_collection.sample_collection.target()
    with pytest.raises(DamagedRecord, match="unlock --force"):
        lease.read_active_lease(target)
    assert lease.break_lease(target) is None
    assert lease.read_active_lease(target) is None
    with lease.hold_lease(target, 10):
        assert lease.read_active_lease(target) is not None


def test_a_lease_with_a_flipped_bit_is_not_believed(nudged_collection: NudgedCollection):
    document = nudged_collection.document(LEDGER, "lease")
    document["lease"]["expires"] += 1
    nudged_collection.put(LEDGER, "lease", document, None)
    assert_refused(nudged_collection, "lease", "apply")


def test_a_note_of_removed_feedback_with_a_flipped_bit_is_not_believed(
    nudged_collection: NudgedCollection,
):
    erasure.request_erasure(nudged_collection.sample_collection.target())
    document = nudged_collection.document(LEDGER, "erasure")
    document["erasure"]["done"] += 1
    nudged_collection.put(LEDGER, "erasure", document, None)
    assert_refused(nudged_collection, "erasure", "apply")
    assert f"{LEDGER} 'erasure'" in list(
        find_damaged_records(nudged_collection.sample_collection.target())
    )


def test_whatever_the_ledger_wrote_is_read_again(nudged_collection: NudgedCollection):
    ledger = nudged_collection.sample_collection.target().open_ledger()
    entry = ledger.read_entry(1)
    assert isinstance(entry, Revision)
    assert asdict(ledger.entries()[0]) == asdict(entry)
    assert ledger.records.get(["revision:00000001"]) == [
        Record("revision:00000001", nudged_collection.document(LEDGER, "revision:00000001"))
    ]
