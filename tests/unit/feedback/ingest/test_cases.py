"""Files as people have them, each of a kind of its own, and what is right to store from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from nudge_sync.feedback.ingest.formats import name_format
from tests.support.feedback_store import create_destination, try_import

DATA = Path(__file__).parents[3] / "data" / "feedback"
MARCH = 1_772_359_200.0
MAY = 1_777_626_000.0


@dataclass(frozen=True)
class Expected:
    searches: dict[str, tuple[str, list[Any]]]
    events: list[tuple[Any, ...]]
    """Query id, action, point, and if they are stored position, grade and time."""
    report: dict[str, Any] = field(default_factory=dict)
    name: str = "JSON lines"


def label(query_id: str, point: int, grade: float | None = None, time: float = 0.0):
    return (query_id, "relevant", point, None, grade, time)


def click(query_id: str, point: int, position: int | None = None, time: float = 0.0):
    return (query_id, "click", point, position, None, time)


OWN = {
    "quepid.csv": Expected(
        {"red shoes": ("red shoes", []), "lamp, desk": ("lamp, desk", []),
         "nothing yet": ("nothing yet", [])},
        [label("lamp, desk", 13, 1), label("red shoes", 11, 3), label("red shoes", 12, 0)],
        name="CSV",
    ),
    "labels-without-action.csv": Expected(
        {}, [label("a1", 11, 2), label("a1", 12, 0)],
        {"without_search": 1, "left_out": {"without a grade": 1}}, "CSV",
    ),
    "ubi-from-zero.ndjson": Expected(
        {"z1": ("red shoes", [11, 12, 13])},
        [click("z1", 11, 1, MARCH + 6), click("z1", 12, 3, MARCH + 7),
         click("z1", 13, 3, MARCH + 5)],
        {"zero_based": ["ubi-from-zero.ndjson"], "position_conflicts": 1},
    ),
    "pandas-floats.csv": Expected(
        {}, [label("7", 13), label("a1", 11, 2), label("a2", 12)],
        {"reasons": {"missing field": 1}, "details": {"missing field": {"point": 1}}}, "CSV",
    ),
    "denormalised.jsonl": Expected(
        {"n1": ("red shoes", [11, 12]), "n2": ("", [])},
        [click("n1", 11, None, 1_700_000_009), click("n1", 12, None, 1_700_000_000),
         label("n2", 13, 1)],
        {"rows": 4, "useful_events": 3},
    ),
    "denormalised-text.csv": Expected(
        {"e1": ("red shoes", []), "e2": ("lamp", [])},
        [label("e1", 11, 2.5), label("e1", 12, 1), label("e2", 13, 3)], name="CSV",
    ),
    "types.jsonl": Expected(
        {"t1": ("", [11, 12]), "red shoes": ("red shoes", [])},
        [label("red shoes", 11), label("red shoes", 13), label("t1", 11, 2),
         *(label("t1", point, None, 1_700_000_000) for point in range(12, 17))],
        {"reasons": {"missing field": 1}, "details": {"missing field": {"query_id": 1}}},
    ),
    "ranklib.txt": Expected(
        {"7": ("red shoes", []), "8": ("lamp", [])},
        [label("7", 11, 3), label("7", 12, 0), label("8", 13, 1)], name="RankLib judgements",
    ),
    "ubi-bulk.ndjson": Expected(
        {"b1": ("red shoes", [11, 12])}, [click("b1", 12, 2, MARCH + 5)],
        {"left_out": {"not about a point": 1}}, "OpenSearch bulk",
    ),
    "search-reply.json": Expected(
        {"h1": ("lamp", [13, 14])}, [click("h1", 14)], name="OpenSearch _search reply",
    ),
    "llama-index.json": Expected(
        {"x1": ("red shoes", []), "x2": ("lamp", [])},
        [label("x1", 11, 1), label("x1", 12, 1), label("x2", 13, 1)],
        name="LlamaIndex EmbeddingQAFinetuneDataset",
    ),
    "array.json": Expected({"y1": ("", [11, 12])}, [click("y1", 12)], name="JSON array"),
    "ubi-two-lists.ndjson": Expected(
        {"o1": ("red shoes", [11, 12]), "o2": ("lamp", ["sku-3"])}, [click("o1", 12, 2, MARCH + 5)],
        {"unknown_shown": 1},
    ),
    "mteb": Expected(
        {"m1": ("red shoes", []), "m2": ("lamp", [])},
        [label("m1", 11, 2), label("m1", 12, 0), label("m2", 13, 1)],
    ),
}  # fmt: skip
THEIRS = {
    "f14-denormalised.jsonl": Expected(
        {"d1": ("swept wings", [])}, [label("d1", 4, 2), label("d1", 5, 1)]
    ),
    "f9-ubi-hit-vs-object.ndjson": Expected(
        {"u1": ("swept wings", [1, 2])}, [click("u1", 1, 1, MAY + 5)], {"useful_events": 1}
    ),
    "f15-denormalised-text.csv": Expected(
        {"m1": ("swept wings", []), "m2": ("flaps", [])},
        [label("m1", 4, 2), label("m1", 5, 1), label("m2", 6, 3)], name="CSV",
    ),
    "f1b-no-action.csv": Expected({}, [label("q1", 1, 3), label("q1", 2, 0)], name="CSV"),
    "f10-ubi-zero-based.ndjson": Expected(
        {"u1": ("swept wings", [1, 2, 3])},
        [click("u1", 1, 1, MAY + 5), click("u1", 2, 2, MAY + 6)],
        {"zero_based": ["f10-ubi-zero-based.ndjson"], "position_conflicts": 0},
    ),
    "f7-array.json": Expected({"q1": ("", [1, 2])}, [click("q1", 1)], name="JSON array"),
    "f5-llamaindex-qa.json": Expected(
        {"q1": ("what is a wing", []), "q2": ("what is a flap", [])},
        [label("q1", 1, 1), label("q2", 2, 1)], name="LlamaIndex EmbeddingQAFinetuneDataset",
    ),
    "f4-ubi-bulk.ndjson": Expected(
        {"u1": ("swept wings", [1, 2, 3])}, [click("u1", 1, 1, MAY + 5)], name="OpenSearch bulk"
    ),
    "f4b-ubi-hits.json": Expected(
        {"u1": ("swept wings", [1, 2])}, [], name="OpenSearch _search reply"
    ),
    "f8b-mteb": Expected(
        {"q1": ("a", []), "q2": ("b", [])}, [label("q1", 1, 1), label("q2", 2, 2)]
    ),
    "f2-ltr.txt": Expected(
        {"1": ("guidance", [])}, [label("1", 1, 2), label("1", 2, 0)], name="RankLib judgements"
    ),
    "f1-quepid.csv": Expected(
        {"t shirt": ("t shirt", []), "mug, blue": ("mug, blue", []), "empty q": ("empty q", [])},
        [label("mug, blue", 3, 2), label("t shirt", 1, 3), label("t shirt", 2, 0)], name="CSV",
    ),
    "f11-pandas-float-ids.csv": Expected(
        {}, [label("q1", 4, 1), label("q2", 7), label("q4", 5)],
        {"reasons": {"missing field": 1}}, "CSV",
    ),
    "f17-types.jsonl": Expected(
        {"t1": ("", [1, 2]), "a": ("a", []), "k1": ("who", [])},
        [label("a", 1), label("k1", 1),
         *(label(f"t{number}", 1, grade, time) for number, grade, time in (
             (10, None, MAY), (11, None, MAY), (2, 3, 0), (3, 1, 0), (4, None, 0), (5, None, MAY),
             (6, None, MAY), (7, None, MAY + 15), (8, None, MAY + 15), (9, None, MAY + 15))),
         ("t12", "thumbs_up", 1, None, None, 0.0)],
        {"reasons": {"missing field": 2}, "unweighted_actions": {"thumbs_up": 1}},
    ),
}  # fmt: skip


def check(path: Path, expected: Expected) -> None:
    trial = try_import(path)
    assert trial.searches == expected.searches
    assert trial.events == sorted(expected.events, key=str)
    assert trial.report.events == len(expected.events)
    report = trial.report.summary() | {"useful_events": trial.report.useful_events}
    report["zero_based"] = [Path(name).name for name in report["zero_based"]]
    assert expected.report.items() <= report.items()
    if "reasons" not in expected.report:
        assert trial.report.rejected == 0
    if path.is_file():
        assert name_format(path) == expected.name
    destination = create_destination()
    try_import(path, destination=destination)
    again = try_import(path, destination=destination)
    assert again.report.unchanged == again.report.accepted == trial.report.accepted


@pytest.mark.parametrize("name", OWN)
def test_a_file_of_each_kind_is_stored_as_it_means(name):
    check(DATA / name, OWN[name])


@pytest.mark.parametrize("name", THEIRS)
def test_each_case_that_was_reported_is_stored_as_it_means(name, shared_cases):
    check(shared_cases / name, THEIRS[name])


def test_ids_of_text_are_found_by_value_too():
    destination = create_destination(integer_ids=False)
    path = DATA / "denormalised.jsonl"
    trial = try_import(path, destination=destination)
    assert trial.report.reasons == {"unknown point": 3}
    assert trial.report.problem is not None
    assert "no event was stored" in trial.report.problem
