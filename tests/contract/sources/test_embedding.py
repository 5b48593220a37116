"""Searches that were logged as texts, embedded by a real endpoint of OpenAI's protocol."""

from __future__ import annotations

import inspect
import itertools
import json
import math
import os.path
import random
import statistics

import httpx
import numpy as np
import pytest

from nudge_sync.errors import ModelMismatch
from nudge_sync.feedback.fetch.fetch import fetch_feedback
from nudge_sync.settings.feedback import FeedbackSettings
from nudge_sync.settings.sources import SourceSettings
from nudge_sync.store.target import Target, open_target
from nudge_sync.testing.memory import MemoryDatabase

MODEL = "multilingual-e5-small-q4"
MODULES = (math, statistics, os.path, itertools, random, str, list, dict)


def list_documents() -> dict[str, str]:
    """Name of a function of Python's -> the first line of what its documentation says."""
    functions = {
        f"{module.__name__} {name.replace('_', ' ')}": inspect.getdoc(getattr(module, name)) or ""
        for module in MODULES
        for name in dir(module)
        if not name.startswith("_") and callable(getattr(module, name))
    }
    return {name: text.split("\n")[0] for name, text in functions.items() if len(text) > 20}


def embed(url: str, texts: list[str], side: str) -> np.ndarray:
    body = {"model": MODEL, "input": texts, "input_type": side}
    answer = httpx.post(f"{url}/embeddings", json=body, timeout=60).json()
    return np.array([row["embedding"] for row in answer["data"]], np.float32)


@pytest.fixture(scope="module")
def documents() -> dict[str, str]:
    return list_documents()


@pytest.fixture(scope="module")
def passages(documents, embedding_url) -> np.ndarray:
    return embed(embedding_url, list(documents.values()), "passage")


def open_collection(vectors: np.ndarray) -> Target:
    database = MemoryDatabase()
    database.store.create("docs", vectors.shape[1])
    database.store.upsert("docs", list(range(len(vectors))), vectors)
    return open_target(database, "docs")


def build_settings(url: str, folder, documents, **embed_options) -> SourceSettings:
    """A file of traces with a search for each document, which shows it and has no vector."""
    spans = [
        {
            "traceId": f"{row + 1:032x}",
            "spanId": f"{row + 1:016x}",
            "startTimeUnixNano": str(10**18 + row),
            "endTimeUnixNano": str(10**18 + row),
            "attributes": [
                {"key": "openinference.span.kind", "value": {"stringValue": "RETRIEVER"}},
                {"key": "input.value", "value": {"stringValue": name}},
                {
                    "key": "retrieval.documents.0.document.metadata",
                    "value": {"stringValue": json.dumps({"doc_id": row})},
                },
            ],
        }
        for row, name in enumerate(documents)
    ]
    message = {"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}
    (folder / "traces.jsonl").write_text(json.dumps(message) + "\n", encoding="utf-8")
    embed_table = {"provider": "openai", "model": MODEL, "url": url, **embed_options}
    return SourceSettings.model_validate(
        {"source": "openinference", "path": str(folder / "traces.jsonl"), "embed": embed_table}
    )


def test_texts_are_embedded_by_the_model_of_the_collection(
    tmp_path, documents, passages, embedding_url
):
    target = open_collection(passages)
    settings = build_settings(embedding_url, tmp_path, documents)
    report = fetch_feedback(target, FeedbackSettings(), settings)
    assert (report.counts["searches"], report.rejected) == (len(documents), 0)
    assert report.model_check.is_match
    [stored] = target.queries.get([f"{1:032x}:{1:016x}"])
    assert stored.document["embedded_by"].startswith(f"openai:{MODEL}")
    [expected] = embed(embedding_url, [stored.document["text"]], "query")
    assert np.allclose(stored.vector, expected, atol=1e-5)


def test_texts_embedded_by_another_model_are_refused(tmp_path, documents, passages, embedding_url):
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(passages.shape[1],) * 2))
    target = open_collection((passages @ turn).astype(np.float32))
    with pytest.raises(ModelMismatch, match="of another embedding model"):
        fetch_feedback(
            target, FeedbackSettings(), build_settings(embedding_url, tmp_path, documents)
        )
    assert target.queries.count() == 0


def test_what_a_limit_leaves_comes_the_next_time(tmp_path, documents, passages, embedding_url):
    target = open_collection(passages)
    limit = 2 * len(documents) // 3
    settings = build_settings(embedding_url, tmp_path, documents, max_texts=limit)
    first = fetch_feedback(target, FeedbackSettings(), settings)
    assert first.stopped.startswith(f"{limit:,} texts were embedded")
    assert target.queries.count() == limit
    second = fetch_feedback(target, FeedbackSettings(), settings)
    assert (second.stopped, second.counts["unchanged"]) == ("", limit)
    assert target.queries.count() == len(documents)
