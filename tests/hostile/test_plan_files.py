"""Plan files that are broken, cut, huge or forged: an InputError each, and nothing else."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nudge_sync import cycle
from nudge_sync.connector import CollectionFacts
from nudge_sync.errors import InputError
from nudge_sync.planning import plan_file, plan_file_schema
from nudge_sync.planning.gate import Gate
from nudge_sync.planning.plan import PlanFigures, PlanInputs, PlanRows
from nudge_sync.planning.plan_file import load_plan, refuse_mismatched_plan, save_plan
from nudge_sync.store import checksum
from tests.support.fake_plan import make_fake_plan
from tests.support.sample_collection import SETTINGS, open_sample_collection

Lines = list[dict[str, Any]]


def read_lines(path: Path) -> Lines:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def forge_plan_file(path: Path, change: Callable[[Lines], Any]) -> Path:
    """Change a file and make its digest right again: only the checks of its fields can tell."""
    save_plan(make_fake_plan(), path)
    lines = read_lines(path)
    change(lines)
    header = {k: v for k, v in lines[0].items() if k not in {"format", "rows", "digest"}}
    rows = [json.dumps(line) for line in lines[1:]]
    text = "\n".join([checksum.digest_json(header), *rows])
    counted = {"rows": len(rows), "digest": checksum.digest_bytes(text.encode())}
    lines[0] |= counted
    path.write_text("\n".join([json.dumps(lines[0]), *rows]) + "\n", encoding="utf-8")
    return path


def test_a_plan_survives_its_file_bit_for_bit(tmp_path):
    made = make_fake_plan(rows=5, ids=[1, 2**63, "a\u00e9\u2028", "\x00'\"\\", -4])
    save_plan(made, tmp_path / "plan")
    found = load_plan(tmp_path / "plan")
    assert found.rows.vectors.tobytes() == made.rows.vectors.tobytes()
    assert replace(found, rows=made.rows) == made
    for field in fields(PlanRows):
        if field.name not in {"vectors", "live_vectors"}:
            assert getattr(found.rows, field.name) == getattr(made.rows, field.name), field.name


def test_an_empty_plan_survives_too(tmp_path):
    made = make_fake_plan(rows=0, vectors=np.empty((0, 0), np.float32))
    save_plan(made, tmp_path / "plan")
    assert len(load_plan(tmp_path / "plan").rows) == 0


def test_the_header_knows_every_field_of_a_plan():
    named = set(plan_file_schema.PlanHeader.model_fields) - {"format", "rows", "digest"}
    figures = {field.name for field in fields(PlanFigures)}
    inputs = {"collection", "head", "feedback", "settings", "inputs"}
    assert named == figures | inputs | {"gate", "drifted", "missing"}
    assert len(fields(PlanInputs)) == len(inputs) - 1
    assert set(plan_file_schema.StoredGate.model_fields) == {field.name for field in fields(Gate)}


def test_the_page_names_every_field(root):
    page = (root / "docs" / "plan-file.md").read_text(encoding="utf-8")
    for model in (plan_file_schema.PlanHeader, plan_file_schema.PlanRow):
        assert [name for name in model.model_fields if f"`{name}`" not in page] == []


GAIN = {"mean": 0.1, "low": 0.0, "high": None, "queries": 7}
RECALL = {"share": 0.5, "queries": 3, "reference": "exact", "warning": ""}
RECALL_MISTAKES = ({"share": 1.5}, {"queries": -1}, {"reference": "all"}, {"x": 1})
GATE = {"passed": True, "reasons": [], "queries": 0, "gain": 0.0, "interval": [0, 0], "fifths": 1}
HEADER_VALUES: dict[str, list[Any]] = {
    "collection": [None, 3, "", ["docs"], "x" * 1025, {"a": 1}],
    "head": [-1, 1.5, "0", None, True, 2**63],
    "feedback": ["", "0" * 31, "G" * 32, "0" * 33, "0" * 32 + "\n", 7, None],
    "settings": ["A" * 32, None],
    "inputs": [[], "0"],
    "metric": ["ndcg@11", "", None, 1],
    "method": ["", "x" * 65, "rm -rf", "../x", None, 4],
    "parameters": [None, [], {"angle": [1]}, {"angle": {"a": 1}}, {"a b": 1}, {"a": "x" * 1025}],
    "scores": [{"a": "1"}, {"a": True}, {"": 1.0}, {"a": 1e400}, None, []],
    "reasons": ["no", [1], ["x" * 4097], ["x"] * 1001, None],
    "judged": [-1, 0.5, "3", None, 2**64],
    "queries": [{"held": -1}, {"held": 1.5}, {"held": "1"}, [], None],
    "before": [{"precision@3": 0.5}, {"ndcg@10": "high"}, {"ndcg@10": float("nan")}, None],
    "after": [{"ndcg@10": float("inf")}, 3],
    "originals": [{"ndcg@10": None}],
    "found": [{"ndcg@10": [1]}],
    "gate": [
        None,
        {},
        {"passed": True},
        *(GATE | wrong for wrong in ({"passed": "yes"}, {"gain": float("nan")}, {"x": 1})),
        *(GATE | {"interval": interval} for interval in ([0], [0, 0, 0], "ab")),
        {"passed": True, "reasons": [], "queries": 0, "gain": 0.0, "interval": [0, 0]},
        *(GATE | {"fifths": fifths} for fifths in (0, 6, "1", None, 1.5)),
    ],
    "drifted": [None, [None], [1.5], [True], [[1]], "abc"],
    "missing": [{"a": 1}, [{}], [2**64]],
    "cold": [
        [],
        {},
        {"share": 0.5, "source": "log", "warm": None},
        {"share": 1.5, "source": "log", "warm": None, "cold": None},
        {"share": float("nan"), "source": "log", "warm": None, "cold": None},
        {"share": "0.5", "source": "log", "warm": None, "cold": None},
        {"share": 0.5, "source": "<script>", "warm": None, "cold": None},
        {"share": 0.5, "source": "log", "warm": None, "cold": None, "x": 1},
        {"share": 0.5, "source": "log", "warm": GAIN | {"mean": None}, "cold": None},
        {"share": 0.5, "source": "log", "warm": GAIN | {"low": float("-inf")}, "cold": None},
        {"share": 0.5, "source": "log", "warm": None, "cold": GAIN | {"high": float("inf")}},
        {"share": 0.5, "source": "log", "warm": None, "cold": GAIN | {"queries": -1}},
        {"share": 0.5, "source": "log", "warm": None, "cold": 0.1},
    ],
    "index_recall": [{**RECALL, **wrong} for wrong in RECALL_MISTAKES],
    "format": [*(f"nudge-sync plan {number}" for number in (1, 2, 3, 5)), "", None, 1],
    "__class__": ["os.system"],
    "extra": [1],
}
ROW_VALUES: dict[str, list[Any]] = {
    "id": [None, 1.0, True, "x" * 65_537, [1], {"a": 1}, 2**64, -(2**63) - 1, "\ud800"],
    "live": ["", "0" * 31, "z" * 32, None, 5, "../../etc/passwd"],
    "angle": [-0.1, 3.2, "0.2", None, True, float("nan"), float("inf"), [0.1]],
    "vector": [
        "",
        "abc",
        "A" * 7,
        "AAAA",
        "\u00e9",
        "!" * 8,
        None,
        [1.0, 2.0],
        7,
        "gASVBQAAAAAAAACMAWGULg",
        base64.b64encode(b"\x00" * 12).decode(),
        base64.b64encode(b"\x00" * (4 * 65_537)).decode(),
        base64.b64encode(np.array([1, 2, 3, np.nan], "<f4").tobytes()).decode(),
        base64.b64encode(np.array([np.inf, 2, 3, 4], "<f4").tobytes()).decode(),
    ],
    "payload": [{"a": 1}],
}
HEADERS = [(name, value) for name, values in HEADER_VALUES.items() for value in values]
ROWS = [(name, value) for name, values in ROW_VALUES.items() for value in values]


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as refused:
        load_plan(path)
    message = str(refused.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert len(message) < 2000
    return message


@pytest.mark.parametrize(("name", "value"), HEADERS, ids=range(len(HEADERS)))
def test_a_header_is_checked_field_by_field(tmp_path, name, value):
    path = forge_plan_file(tmp_path / "plan", lambda lines: lines[0].update({name: value}))
    refusal(path)


@pytest.mark.parametrize(("name", "value"), ROWS, ids=range(len(ROWS)))
def test_a_row_is_checked_field_by_field(tmp_path, name, value):
    path = forge_plan_file(tmp_path / "plan", lambda lines: lines[2].update({name: value}))
    refusal(path)


@pytest.mark.parametrize("name", [*HEADER_VALUES][:-2])
def test_no_field_of_the_header_may_be_missing(tmp_path, name):
    refusal(forge_plan_file(tmp_path / "plan", lambda lines: lines[0].pop(name)))


@pytest.mark.parametrize("name", ["id", "live", "angle", "vector"])
def test_no_field_of_a_row_may_be_missing(tmp_path, name):
    assert f"line 3: {name}: " in refusal(
        forge_plan_file(tmp_path / "plan", lambda lines: lines[2].pop(name))
    )


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_file_of_an_older_format_is_read_without_what_came_later(tmp_path, number):
    missing = ["cold", "index_recall"][number - 1 :]

    def make_old(lines: Lines) -> None:
        for name in missing:
            lines[0].pop(name)
        lines[0]["gate"].pop("fifths")
        lines[0]["format"] = f"nudge-sync plan {number}"

    loaded = load_plan(forge_plan_file(tmp_path / "plan", make_old))
    made = make_fake_plan()
    assert loaded.figures == replace(made.figures, **dict.fromkeys(missing))
    assert [loaded.summary()[name] for name in missing] == [None] * len(missing)
    save_plan(loaded, tmp_path / "again")
    assert load_plan(tmp_path / "again").figures == loaded.figures


def test_a_point_may_be_named_once(tmp_path):
    path = forge_plan_file(tmp_path / "plan", lambda lines: lines[2].update(id=0))
    assert "named twice" in refusal(path)


def test_a_forged_file_with_the_right_digest_is_a_plan(tmp_path):
    """The digest shows damage, not forgery, as docs/plan-file.md says."""
    path = forge_plan_file(tmp_path / "plan", lambda lines: lines[2].update(id="other"))
    assert load_plan(path).rows.ids == [0, "other", 2]


def _bytes(path: Path, change: Callable[[bytes], bytes]) -> Path:
    save_plan(make_fake_plan(), path)
    path.write_bytes(change(path.read_bytes()))
    return path


DAMAGES: list[Callable[[bytes], bytes]] = [
    lambda text: b"",
    lambda text: b"\n",
    lambda text: b"null\n",
    lambda text: b"[]\n",
    lambda text: b'"nudge-sync plan 4"\n',
    lambda text: b"\xff\xfe" + text,
    lambda text: b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00\x8c\x01a\x94.",
    lambda text: b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
    lambda text: text[:-2],
    lambda text: text[: len(text) // 2],
    lambda text: text + b"{}\n",
    lambda text: text + text.splitlines(keepends=True)[-1],
    lambda text: b"\n".join(text.splitlines()[:-1]) + b"\n",
    lambda text: text.replace(b"0.25", b"0.26", 1),
    lambda text: text.replace(b"\n", b"\r\n"),
    lambda text: text.replace(b"docs", b"dogs"),
    lambda text: b"[" * 100_000,
    lambda text: b'{"a":' * 100_000,
    lambda text: text.replace(b'"judged": 3', b'"judged": ' + b"9" * 5000),
    lambda text: text.replace(b'"parameters": {', b'"parameters": ' + b"[" * 50_000),
    lambda text: text.splitlines(keepends=True)[0] + b"[" * 900_000,
    lambda text: text.splitlines(keepends=True)[0] + b" " * (2**20 + 2),
    lambda text: text.replace(b"{", b"{\x00", 1),
    lambda text: b"\x00" * 4096,
]


@pytest.mark.parametrize("number", range(len(DAMAGES)))
def test_a_damaged_file_is_refused(tmp_path, number):
    refusal(_bytes(tmp_path / "plan", DAMAGES[number]))


def test_a_header_without_end_is_not_read_into_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(plan_file, "MAX_HEADER_BYTES", 1000)
    path = tmp_path / "plan"
    path.write_bytes(b" " * 5000)
    assert "longer than 1000 bytes" in refusal(path)


def test_rows_without_end_are_not_read_into_memory(tmp_path, monkeypatch):
    path = tmp_path / "plan"
    save_plan(make_fake_plan(rows=9), path)
    monkeypatch.setattr(plan_file, "MAX_PLAN_ROWS", 3)
    assert "more than 3 rows" in refusal(path)


def test_what_cannot_be_read_or_written(tmp_path):
    refusal(tmp_path)
    refusal(tmp_path / "absent")
    refusal(Path("\0"))
    with pytest.raises(InputError, match="cannot be written"):
        save_plan(make_fake_plan(), tmp_path / "no" / "such" / "folder")


@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_no_flipped_bit_goes_unseen(tmp_path_factory, at, bit):
    path = tmp_path_factory.getbasetemp() / "flipped"
    save_plan(make_fake_plan(), path)
    content = bytearray(path.read_bytes())
    content[at % len(content)] ^= 1 << bit
    path.write_bytes(content)
    try:
        found = load_plan(path)
    except InputError:
        return
    # What goes unnoticed is a change that means nothing in JSON, in the header alone.
    assert found.summary() == make_fake_plan().summary()
    assert found.rows.vectors.tobytes() == make_fake_plan().rows.vectors.tobytes()


@given(content=st.binary(max_size=300))
def test_any_bytes_are_refused(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "bytes"
    path.write_bytes(content)
    refusal(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(name=st.sampled_from([*HEADER_VALUES]), value=JSON, row=st.booleans())
def test_any_json_in_any_field_is_a_plan_or_refused(tmp_path_factory, name, value, row):
    def change(lines: Lines) -> None:
        target = lines[1] if row else lines[0]
        target[list(ROW_VALUES)[len(name) % 4] if row else name] = value

    path = forge_plan_file(tmp_path_factory.getbasetemp() / "json", change)
    try:
        load_plan(path).summary()
    except InputError:
        return


def test_a_forged_plan_that_turns_a_point_too_far_writes_nothing(tmp_path):
    with open_sample_collection("memory", tmp_path) as sample_collection:
        sample_collection.add_judgements()
        made = cycle.plan(sample_collection.target(), SETTINGS)
        before = sample_collection.read_vectors()
        made.rows.vectors[3] = -made.rows.vectors[3]
        save_plan(made, tmp_path / "plan")
        with pytest.raises(InputError, match=f"turns point {made.rows.ids[3]} by"):
            cycle.apply(sample_collection.target(), SETTINGS, load_plan(tmp_path / "plan"))
        assert sample_collection.read_vectors().tobytes() == before.tobytes()
        assert sample_collection.target().ledger_records.count() == 1
        made.rows.vectors[3] = -made.rows.vectors[3]
        save_plan(made, tmp_path / "plan")
        done = cycle.apply(sample_collection.target(), SETTINGS, load_plan(tmp_path / "plan"))
        assert done.written == len(made.rows)


def facts(dimension: int) -> CollectionFacts:
    return CollectionFacts("docs", "docs", "", dimension, "cosine", True, 3, "float32", False)


def test_a_plan_of_another_dimension_does_not_fit():
    refuse_mismatched_plan(make_fake_plan(dimension=4), facts(4))
    with pytest.raises(InputError, match="have 4 numbers and those"):
        refuse_mismatched_plan(make_fake_plan(dimension=4), facts(8))
