"""What a reader of traces remembers, and what it forgets first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from nudge_sync.source.openinference import rows
from nudge_sync.source.openinference.rows import TraceReader
from nudge_sync.source.openinference.settings import TraceSettings
from nudge_sync.source.openinference.spans import Opinion, Span

REMEMBERED_TEXTS = 10_000


def make_reader() -> TraceReader:
    return TraceReader(TraceSettings(cited="metadata.cited"))


def make_embedding(name: str, texts: Sequence[str]) -> Span:
    entries = [{"embedding": {"text": text, "vector": [1.0, 2.0]}} for text in texts]
    kind = {"span": {"kind": "EMBEDDING"}}
    attributes = {"openinference": kind, "embedding": {"embeddings": entries}}
    return Span(f"trace {name}", f"embedding {name}", "", 1.0, 2.0, attributes)


def make_search(name: str, text: str, point: Any = "p1") -> Span:
    attributes: dict[str, Any] = {
        "openinference": {"span": {"kind": "RETRIEVER"}},
        "input": {"value": text},
        "retrieval": {"documents": [{"document": {"id": point}}]},
    }
    return Span(f"trace {name}", f"retriever {name}", "", 1.0, 2.0, attributes)


def make_answer(name: str, point: Any = "p1") -> Span:
    return Span(f"trace {name}", f"chain {name}", "", 1.0, 2.0, {"metadata": {"cited": [point]}})


def test_a_text_that_is_embedded_again_is_not_the_first_to_be_forgotten():
    reader = make_reader()
    reader.learn([make_embedding("a", ["shoes"])])
    reader.learn([make_embedding("b", [f"text {n}" for n in range(REMEMBERED_TEXTS - 1)])])
    reader.learn([make_embedding("c", ["shoes"])])
    reader.learn([make_embedding("d", ["one more"])])
    reader.learn([make_search("e", "shoes")])
    assert reader.has_vector(make_search("e", "shoes"))
    assert not reader.has_vector(make_search("f", "text 0"))


def test_texts_that_are_indexed_do_not_push_out_the_query_beside_them():
    reader = make_reader()
    spans = [
        make_embedding("a", ["shoes"]),
        make_search("a", "shoes"),
        make_embedding("b", [f"chunk {number}" for number in range(REMEMBERED_TEXTS)]),
    ]
    reader.learn(spans)
    [row] = reader.build_search_rows(spans)
    assert list(row["query_vector"]) == [1.0, 2.0]


def test_a_trace_that_is_learnt_again_is_not_the_first_to_be_forgotten(monkeypatch):
    monkeypatch.setattr(rows, "_MAX_SPANS", 10)
    reader = make_reader()
    trace = [make_search("a", "shoes"), make_answer("a")]
    other_searches = [make_search(str(number), "boots") for number in range(13)]
    reader.learn(trace)
    reader.learn(other_searches[:8])
    reader.learn(trace)
    reader.learn(other_searches[8:])
    reader.learn([])
    assert reader.knows_search("trace a")
    on_span = Opinion("chain a", 1.0, "", "HUMAN")
    on_trace = Opinion("", 0.0, "", "HUMAN", trace_id="trace a")
    events = reader.build_opinion_rows([on_span, on_trace])
    assert [(event["action"], event["point"], event["grade"]) for event in events] == [
        ("thumb", "p1", 1.0),
        ("thumb", "p1", 0.0),
    ]


@pytest.mark.parametrize("shown", [7, "7", 7.0])
@pytest.mark.parametrize("cited", [7, "7", 7.0])
def test_a_point_is_cited_by_its_id_of_whatever_type(shown, cited):
    reader = make_reader()
    search = make_search("a", "shoes", shown)
    reader.learn([search, make_answer("a", cited)])
    searched, event = reader.build_search_rows([search, make_answer("a", cited)])
    [point] = searched["shown"]
    assert (event["action"], event["point"], event["position"]) == ("cited", point, 1)
    assert str(point) == "7"
    [thumb] = reader.build_opinion_rows([Opinion("chain a", 1.0, "", "HUMAN")])
    assert (thumb["action"], thumb["point"]) == ("thumb", point)


def test_a_search_that_waited_until_it_was_forgotten_comes_all_the_same(monkeypatch):
    monkeypatch.setattr(rows, "_MAX_SPANS", 10)
    reader = make_reader()
    search = make_search("a", "shoes")
    reader.learn([search])
    reader.learn([make_search(str(number), "boots") for number in range(20)])
    reader.learn([])
    [row] = reader.build_search_rows([search])
    assert (row["text"], row["shown"]) == ("shoes", ["p1"])
