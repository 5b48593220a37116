"""Searches with a text and no vector, embedded as they are imported."""

import re
from pathlib import Path

import numpy as np
import pytest

from nudge_sync.errors import InputError
from nudge_sync.feedback.embedding.embedder import Embedder
from nudge_sync.feedback.embedding.rows import embed_source
from nudge_sync.feedback.ingest.formats import open_source
from nudge_sync.feedback.ingest.importer import import_rows
from nudge_sync.feedback.ingest.qrels import open_beir_texts
from nudge_sync.feedback.ingest.query_vectors import QueryVectorFiles, join_query_vectors
from tests.support.feedback_files import DIMENSION, write_lines


class Model:
    """Texts into vectors, remembering what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def __call__(self, texts: list[str]) -> np.ndarray:
        self.asked.append(texts)
        return np.array([[len(text), 1, 0, 0] for text in texts], np.float32)


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def embedding(model) -> Embedder:
    return Embedder("model:embed", model)


def test_only_searches_without_a_vector_are_embedded(tmp_path, destination, embedding, model):
    path = write_lines(
        tmp_path / "ubi_queries.jsonl",
        {"query_id": "a", "user_query": "swept wings", "query_response_hit_ids": [1, 2]},
        {"query_id": "b", "text": "has one", "query_vector": [0, 0, 0, 1]},
        {"_source": {"query_id": "c", "user_query": "swept wings"}},
        {"query_id": "a", "action_name": "click", "object_id": 2, "user_query": "not asked"},
        {"type": "search", "query_id": "d", "query": "delta"},
        {"query_id": "e", "user_query": ""},
        {"query_id": "f", "user_query": ["no text"]},
    )
    report = import_rows([embed_source(open_source(path), embedding)], destination)
    assert (report.searches, report.events) == (4, 1)
    assert report.lines == {"missing field": [f"{path}:6", f"{path}:7"]}
    assert model.asked == [["swept wings", "delta"]]
    kept = destination.queries.kept
    assert [kept[name].vector[0] for name in "abcd"] == [11, 0, 11, 5]
    assert (kept["a"].document["text"], kept["a"].document["shown"]) == ("swept wings", [1, 2])


def test_a_text_is_embedded_once_and_many_at_a_time(tmp_path, destination, embedding, model):
    rows = [{"query_id": str(row), "text": f"text {row % 700}"} for row in range(2500)]
    sources = [embed_source(open_source(write_lines(tmp_path / "f", *rows)), embedding)]
    assert import_rows(sources, destination, strict=True).searches == 2500
    assert sorted(text for texts in model.asked for text in texts) == sorted(
        {row["text"] for row in rows}
    )
    assert max(map(len, model.asked)) > 100
    assert len(model.asked) < 10


def test_more_texts_than_are_kept_are_all_embedded(monkeypatch, embedding):
    monkeypatch.setattr("nudge_sync.feedback.embedding.embedder._CACHE_SIZE", 3)
    for texts in (["a", "bb"], ["bb", "ccc", "dddd"], ["a", "a"]):
        assert [embedding.embed(texts)[text][0] for text in texts] == list(map(len, texts))


def test_vectors_in_a_file_come_first(tmp_path, destination, embedding, model):
    np.save(tmp_path / "v.npy", np.eye(1, DIMENSION, dtype=np.float32))
    (tmp_path / "v.txt").write_text("a\n", encoding="utf-8")
    rows = {"query_id": "a", "text": "x"}, {"query_id": "b", "text": "yy"}
    path = write_lines(tmp_path / "f", *rows)
    query_files = QueryVectorFiles(tmp_path / "v.npy", tmp_path / "v.txt")
    source = join_query_vectors([open_source(path)], query_files, keep_unmatched=True)
    assert import_rows([embed_source(source, embedding)], destination).searches == 2
    assert model.asked == [["yy"]]
    assert destination.queries.kept["a"].vector.tolist() == [1, 0, 0, 0]


def folder_of(tmp_path: Path) -> Path:
    (tmp_path / "qrels").mkdir()
    write_lines(
        tmp_path / "queries.jsonl",
        {"_id": "q1", "text": "swept wings"},
        {"_id": "unjudged", "text": "no"},
        {"_id": 2, "text": "delta"},
    )
    labels = "query-id\tcorpus-id\tscore\nq1\t1\t1\n2\t3\t2\nq9\t3\t1\n"
    (tmp_path / "qrels" / "train.tsv").write_text(labels, encoding="utf-8")
    return tmp_path


def test_a_beir_folder_brings_its_texts(tmp_path, destination, embedding, model):
    source = embed_source(open_beir_texts(folder_of(tmp_path)), embedding)
    report = import_rows([source], destination)
    assert (report.searches, report.events) == (2, 2)
    assert report.lines == {"unknown query": [f"{tmp_path / 'qrels' / 'train.tsv'}:4"]}
    assert model.asked == [["swept wings", "delta"]]
    kept = destination.queries.kept
    assert {name: kept[name].document["text"] for name in kept} == {
        "q1": "swept wings",
        "2": "delta",
    }
    with pytest.raises(InputError, match="no data set"):
        open_beir_texts(tmp_path / "qrels")


def test_a_beir_folder_without_texts_is_refused(tmp_path, destination, embedding):
    (folder_of(tmp_path) / "queries.jsonl").unlink()
    with pytest.raises(InputError, match=r"queries\.jsonl"):
        import_rows([embed_source(open_beir_texts(tmp_path), embedding)], destination)


def fail(texts: list[str]) -> None:
    raise LookupError("no weights")


BAD = {
    "raises": (fail, "on 1 texts: LookupError: no weights"),
    "one vector": (lambda texts: np.ones(DIMENSION), "shape (4,) for 1 texts; (1, d) is expected"),
    "too many": (lambda texts: np.ones((2, DIMENSION)), "shape (2, 4) for 1 texts"),
    "ragged": (lambda texts: [[1, 2], [3]], "ValueError"),
    "nothing": (lambda texts: None, "shape ()"),
    "words": (lambda texts: [["a"]], "could not convert"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_function_that_fails_is_named(tmp_path, destination, name):
    function, message = BAD[name]
    source = open_source(write_lines(tmp_path / "f", {"query_id": "a", "text": "x"}))
    with pytest.raises(InputError, match=f"^model:embed .*{re.escape(message)}"):
        import_rows([embed_source(source, Embedder("model:embed", function))], destination)
    assert not destination.queries.kept


def test_half_a_surrogate_is_one_bad_row(tmp_path, destination):
    texts = ("fine", "half \ud83d", "fine too")
    rows = [{"query_id": str(row), "text": text} for row, text in enumerate(texts)]
    strict = Embedder(
        "model:embed", lambda texts: [[len(text.encode()), 1, 0, 0] for text in texts]
    )
    path = write_lines(tmp_path / "f", *rows)
    report = import_rows([embed_source(open_source(path), strict)], destination)
    assert (report.accepted, report.lines) == (2, {"wrong type": [f"{path}:2"]})


def test_vectors_that_do_not_fit_are_bad_rows(tmp_path, destination):
    short = Embedder("model:embed", lambda texts: np.ones((len(texts), 3)))
    source = open_source(write_lines(tmp_path / "f", {"query_id": "a", "text": "x"}))
    report = import_rows([embed_source(source, short)], destination)
    assert report.reasons == {"wrong dimension": 1}
