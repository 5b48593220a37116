"""Labels from TREC qrels and BEIR folders."""

import numpy as np
import pytest

from nudge_sync.errors import InputError
from nudge_sync.feedback.ingest.formats import open_source
from nudge_sync.feedback.ingest.importer import import_rows
from nudge_sync.feedback.ingest.qrels import open_beir, open_qrels
from nudge_sync.feedback.ingest.query_vectors import QueryVectorFiles
from nudge_sync.feedback.judgements import read_judgements
from nudge_sync.settings.feedback import FeedbackSettings
from tests.support.feedback_files import DIMENSION, write_lines

SHOWN = {"query_id": "q1", "query_vector": [0, 0, 0, 1], "shown": [7, 8], "text": "wings"}


def test_qrels(tmp_path, destination):
    np.save(tmp_path / "q.npy", np.eye(DIMENSION, dtype=np.float16))
    (tmp_path / "q.txt").write_text("a\nb\nc\nd\n")
    (tmp_path / "qrels").write_text("a 0 1 2\nb 0 2 0\nzz 0 1 1\nc 0 99 1\nd 0 1 x\nc\t3\t-1\n")
    query_files = QueryVectorFiles(tmp_path / "q.npy", tmp_path / "q.txt")
    source = open_qrels(tmp_path / "qrels", query_files)
    report = import_rows([source], destination)
    assert report.reasons == {"unknown query": 1, "unknown point": 1, "wrong type": 1}
    judged = read_judgements(destination.queries, destination.events, FeedbackSettings(), DIMENSION)
    assert judged.query_ids == ["a", "b", "c"]
    assert judged.weights.tolist() == [2.0, 0.0, -1.0]


def test_a_byte_order_mark_is_no_part_of_an_id(tmp_path, destination, query_files):
    query_files.ids.write_text(query_files.ids.read_text(encoding="utf-8"), encoding="utf-8-sig")
    labels = write_lines(tmp_path / "qrels.txt", "\ufeffq1 0 7 1", "q2 0 8 1")
    report = import_rows([open_qrels(labels, query_files)], destination)
    assert (report.accepted, report.rejected, report.without_search) == (4, 0, 0)
    assert sorted(destination.queries.kept) == ["q1", "q2"]


def test_labels_leave_a_logged_search_as_it_is(tmp_path, destination, query_files):
    import_rows([open_source(write_lines(tmp_path / "searches.jsonl", SHOWN))], destination)
    before = destination.queries.kept["q1"]
    labels = write_lines(tmp_path / "qrels.txt", "q1 0 7 1", "q2 0 8 1")
    report = import_rows([open_qrels(labels, query_files)], destination)
    assert (report.searches, report.events) == (1, 2)
    assert destination.queries.kept["q1"] is before


def test_labels_beside_the_search_they_are_about_are_no_duplicate(
    tmp_path, destination, query_files
):
    sources = [
        open_source(write_lines(tmp_path / "searches.jsonl", SHOWN)),
        open_qrels(write_lines(tmp_path / "qrels.txt", "q1 0 7 1"), query_files),
    ]
    report = import_rows(sources, destination, strict=True)
    assert (report.searches, report.events, report.rejected) == (1, 1, 0)
    assert destination.queries.kept["q1"].document["shown"] == [7, 8]


def test_a_new_version_of_a_logged_search_counts_beside_labels(tmp_path, destination, query_files):
    import_rows([open_source(write_lines(tmp_path / "old.jsonl", SHOWN))], destination)
    sources = [
        open_source(write_lines(tmp_path / "new.jsonl", SHOWN | {"shown": [1, 2]})),
        open_qrels(write_lines(tmp_path / "qrels.txt", "q1 0 7 1"), query_files),
    ]
    import_rows(sources, destination)
    assert destination.queries.kept["q1"].document["shown"] == [1, 2]


def test_queries_embedded_anew_replace_those_known_by_a_vector_alone(
    tmp_path, destination, query_files
):
    labels = write_lines(tmp_path / "qrels.txt", "q1 0 7 1")
    import_rows([open_qrels(labels, query_files)], destination)
    np.save(query_files.vectors, np.ones((3, DIMENSION), np.float32))
    report = import_rows([open_qrels(labels, query_files)], destination)
    assert (report.accepted, report.unchanged) == (2, 1)
    np.testing.assert_array_equal(destination.queries.kept["q1"].vector, np.ones(DIMENSION))


def test_a_beir_folder_is_every_split(tmp_path, destination, query_files):
    (tmp_path / "qrels").mkdir()
    header = "query-id\tcorpus-id\tscore"
    write_lines(tmp_path / "qrels" / "train.tsv", header, "q1\t1\t1", "q1\t2\t2")
    test = write_lines(tmp_path / "qrels" / "test.tsv", header, "q2\t3\t1", "q7\t3\t1", "q2\tx\t1")
    report = import_rows([open_beir(tmp_path, query_files)], destination)
    assert (report.searches, report.events) == (2, 3)
    assert report.lines == {"unknown query": [f"{test}:3"], "unknown point": [f"{test}:4"]}
    again = import_rows([open_beir(tmp_path, query_files)], destination)
    assert again.unchanged == 5
    with pytest.raises(InputError, match="no data set"):
        open_beir(tmp_path / "qrels", query_files)
