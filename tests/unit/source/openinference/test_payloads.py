"""Queries, documents and vectors in the shapes in which products log them."""

from __future__ import annotations

import pytest
from langchain_core.documents import Document
from langchain_core.load import dumpd

from nudge_sync.source.openinference.payloads import build_attributes, find_text, list_documents

DOCUMENT = Document(page_content="a text", metadata={"doc_id": "d7"})


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        ("red shoes", "red shoes"),
        ({"k": 3, "query": "red shoes"}, "red shoes"),
        ({"k": 3, "wanted": "red shoes"}, "red shoes"),
        ({"k": 3}, ""),
        (["red shoes"], ""),
        (None, ""),
    ],
)
def test_the_words_of_a_query(inputs, text):
    assert find_text(inputs) == text


@pytest.mark.parametrize(
    "outputs",
    [
        [DOCUMENT.model_dump()],
        {"documents": [DOCUMENT.model_dump()]},
        {"documents": [dumpd(DOCUMENT)]},
        {"output": [{"content": "a text", "metadata": {"doc_id": "d7"}}]},
    ],
)
def test_documents_of_a_retriever(outputs):
    [document] = list_documents(outputs)
    assert document["content"] == "a text"
    assert document["metadata"] == {"doc_id": "d7"}


def test_a_document_that_is_a_text_keeps_its_rank():
    assert list(list_documents(["a text", {"id": 7}])) == [{"content": "a text"}, {"id": 7}]


@pytest.mark.parametrize("outputs", [None, "a text", {"answer": "a text"}, {"documents": None}])
def test_what_holds_no_documents(outputs):
    assert list(list_documents(outputs)) == []


@pytest.mark.parametrize(
    ("inputs", "outputs", "pairs"),
    [
        ("a", [0.5, 1.0], [("a", [0.5, 1.0])]),
        ({"text": "a"}, {"embedding": [0.5, 1.0]}, [("a", [0.5, 1.0])]),
        ({"texts": ["a", "b"]}, [[0.5], [1.0]], [("a", [0.5]), ("b", [1.0])]),
        (
            {"input": ["a", "b"]},
            {"data": [{"embedding": [0.5]}, {"embedding": [1.0]}]},
            [("a", [0.5]), ("b", [1.0])],
        ),
        ("a", {"usage": 7}, []),
        ("a", "vector", []),
        ("a", [[0.5], "no vector"], []),
    ],
)
def test_vectors_of_an_embedder(inputs, outputs, pairs):
    attributes = build_attributes("EMBEDDING", inputs, outputs)
    entries = attributes["embedding"]["embeddings"]
    assert [(entry["text"], entry["vector"]) for entry in entries] == pairs
