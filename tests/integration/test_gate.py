"""What the gate has to refuse, on real collections, and that nothing is written then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from nudge_sync import cycle
from nudge_sync.config import CollectionSettings, GateSettings, SolverSettings
from nudge_sync.connector import Float32
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.store.target import Target, open_target
from nudge_sync.testing.memory import MemoryDatabase

SETTINGS = CollectionSettings(solver=SolverSettings(threads=1))


@dataclass(frozen=True)
class SharedDataset:
    """One of the shared collections; ids are rows."""

    documents: Float32
    queries: Float32
    answers: list[tuple[int, int]]
    """Query row, document row."""


def load_dataset(folder: Path, every: int) -> SharedDataset:
    """Load a collection with every `every`-th of its queries."""
    documents = {name: row for row, name in enumerate(read_lines(folder / "documents.txt"))}
    names = {name: row for row, name in enumerate(read_lines(folder / "queries.txt")[::every])}
    found = [line.split("\t") for line in read_lines(folder / "qrels.tsv")]
    return SharedDataset(
        np.load(folder / "documents.npy"),
        np.load(folder / "queries.npy")[::every],
        [(names[query], documents[point]) for query, point, _ in found if query in names],
    )


def read_lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def make_target(shared: SharedDataset, answers: list[tuple[int, int]], **event: object) -> Target:
    database = MemoryDatabase()
    database.store.create("docs", shared.documents.shape[1])
    database.store.upsert("docs", list(range(len(shared.documents))), shared.documents)
    target = open_target(database, "docs")
    target.queries.put(
        [to_search_record(Search(f"q{row}", vector)) for row, vector in enumerate(shared.queries)]
    )
    said: Mapping[str, object] = {"action_name": "relevant", **event}
    target.events.put(
        [
            to_event_record(Event(query_id=f"q{row}", object_id=point, **said))
            for row, point in answers
        ]
    )
    return target


def assert_refused(
    target: Target, shared: SharedDataset, settings: CollectionSettings = SETTINGS
) -> str:
    report = cycle.apply(target, settings)
    assert (report.outcome, report.revision) == ("refused", None)
    live = target.collection.read(range(len(shared.documents))).vectors
    assert live.tobytes() == shared.documents.tobytes()
    assert [each.count() for each in (target.shadow.records, target.history.records)] == [0, 0]
    return report.reason


@pytest.fixture(scope="module")
def tools(shared_data: Path) -> SharedDataset:
    return load_dataset(shared_data / "metatool-minilm", every=4)


@pytest.fixture(scope="module")
def few(shared_data: Path) -> SharedDataset:
    return load_dataset(shared_data / "metatool-minilm", every=25)


def test_true_answers_pass(tools: SharedDataset) -> None:
    """Labels that are right pass, so the refusals below have a reason."""
    assert cycle.apply(make_target(tools, tools.answers), SETTINGS).written > 100


def test_true_answers_of_a_small_log_pass(few: SharedDataset) -> None:
    """Its fifth has fewer queries than the gate asks for; all fifths together have enough."""
    report = cycle.apply(make_target(few, few.answers), SETTINGS)
    assert report.outcome == "applied"
    assert report.plan.gate.fifths > 1
    held_out = report.plan.figures.queries["held"]
    assert held_out < SETTINGS.gate.min_queries <= report.plan.gate.queries


def test_shuffled_judgements_of_a_small_log(few: SharedDataset) -> None:
    """A method that is named does not ask whether judgements fit, so the gate has to."""
    points = np.random.default_rng(0).permutation([point for _, point in few.answers])
    shuffled = list(zip((query for query, _ in few.answers), points.tolist(), strict=True))
    named = CollectionSettings(
        solver=SolverSettings(method="nudge-n", cold_share="off", threads=1),
        gate=GateSettings(max_drifted_share=1),
    )
    why = assert_refused(make_target(few, shuffled), few, named)
    assert "5 of 5 fifths of the log held out in turn, gain" in why
    assert "not shown to help" in why


def test_a_collection_that_nudging_does_not_help(shared_data: Path) -> None:
    paragraphs = load_dataset(shared_data / "squad-minilm", every=2)
    assert_refused(make_target(paragraphs, paragraphs.answers), paragraphs)


def test_shuffled_judgements(tools: SharedDataset) -> None:
    points = np.random.default_rng(0).permutation([point for _, point in tools.answers])
    queries = [query for query, _ in tools.answers]
    assert_refused(make_target(tools, list(zip(queries, points.tolist(), strict=True))), tools)


def test_somebody_who_clicks_a_few_documents_everywhere(tools: SharedDataset) -> None:
    pushed = [(row, row % 3) for row in range(len(tools.queries))]
    target = make_target(tools, pushed, action_name="click", client_id="vandal", position=1)
    assert_refused(target, tools)


def test_more_of_the_collection_than_allowed(tools: SharedDataset) -> None:
    gate = GateSettings(max_moved_share=0.2)
    why = assert_refused(
        make_target(tools, tools.answers), tools, SETTINGS.model_copy(update={"gate": gate})
    )
    assert "gate.max_moved_share" in why
