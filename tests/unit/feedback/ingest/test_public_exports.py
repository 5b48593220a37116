"""Exports and data sets as their makers describe them in public, in small."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from nudge_sync.errors import InputError
from tests.support.feedback_files import write_parquet
from tests.support.feedback_store import Trial, try_import


def write(path: Path, *lines: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("".join(text + "\n" for text in texts), encoding="utf-8")
    return path


def list_labels(trial: Trial) -> list[tuple[Any, ...]]:
    assert all(event[1] == "relevant" for event in trial.events)
    return [(event[0], event[2], event[4]) for event in trial.events]


SHOES, LAMP = ("red shoes", 11, 2.0), ("red shoes", 12, 0.0)
RATINGS = [{"docId": "11", "rating": "2.000"}, {"docId": "12", "rating": "0.000"}]


@pytest.mark.parametrize(
    "ratings",
    [[{"query": "red shoes", "ratings": RATINGS}], {"red shoes": RATINGS}],
    ids=["list", "object"],
)
def test_judgements_of_the_search_relevance_workbench(tmp_path, ratings):
    body = {"name": "Imported", "type": "IMPORT_JUDGMENT", "judgmentRatings": ratings}
    trial = try_import(write(tmp_path / "judgments.json", json.dumps(body, indent=2)))
    assert list_labels(trial) == [SHOES, LAMP]
    assert trial.searches == {"red shoes": ("red shoes", [])}


def test_a_request_to_rank_eval(tmp_path):
    ratings = [
        {"_index": "i", "_id": "11", "rating": 2},
        {"_index": "i", "_id": "12", "rating": 0},
    ]
    requests = [
        {
            "id": "a",
            "request": {"query": {"match": {"text": "red shoes"}}},
            "ratings": ratings,
        },
        {"id": "b", "template_id": "t", "params": {"query_string": "lamp"}, "ratings": ratings[:1]},
        {
            "id": "c",
            "request": {"query": {"bool": {"must": [{"match": {"title": {"query": "chair"}}}]}}},
            "ratings": ratings[:1],
        },
    ]
    path = write(tmp_path / "r.json", {"requests": requests, "metric": {"precision": {"k": 1}}})
    trial = try_import(path)
    assert list_labels(trial) == [("a", 11, 2), ("a", 12, 0), ("b", 11, 2), ("c", 11, 2)]
    texts = {query_id: text for query_id, (text, _) in trial.searches.items()}
    assert texts == {"a": "red shoes", "b": "lamp", "c": "chair"}


@pytest.mark.parametrize(
    ("labels", "queries", "id_name"),
    [
        ("en-qrels/test-00000-of-00001.parquet", "en-queries/test-00000-of-00001.parquet", "id"),
        ("data/test-00000-of-00001.parquet", "queries/queries-00000-of-00001.parquet", "_id"),
        ("python-qrels/test/0000.parquet", "python-queries/test/0000.parquet", "_id"),
    ],
)
def test_data_sets_of_mteb(tmp_path, labels, queries, id_name):
    for name in (labels, queries):
        (tmp_path / name).parent.mkdir(parents=True)
    rows = [{"query-id": "q1", "corpus-id": str(point), "score": point - 11} for point in (11, 12)]
    write_parquet(tmp_path / labels, rows)
    texts = [{id_name: "q1", "text": "red shoes"}, {id_name: "q2", "text": "unjudged"}]
    write_parquet(tmp_path / queries, texts)
    trial = try_import(tmp_path)
    assert list_labels(trial) == [("q1", 11, 0.0), ("q1", 12, 1.0)]
    assert trial.searches == {"q1": ("red shoes", [])}


def test_a_data_set_with_qrels_in_json_lines(tmp_path):
    write(tmp_path / "qrels" / "test.jsonl", {"query-id": "q1", "corpus-id": "11", "score": 1.0})
    write(tmp_path / "queries.jsonl", {"_id": "q1", "text": "red shoes", "metadata": {}})
    write(tmp_path / "corpus.jsonl", {"_id": "11", "title": "", "text": "a shoe"})
    trial = try_import(tmp_path)
    assert (list_labels(trial), list(trial.searches)) == ([("q1", 11, 1.0)], ["q1"])


def test_amazon_esci_in_compressed_json_lines(tmp_path):
    row = {"id": 0, "query": "red shoes", "query_id": 5, "product_id": "11", "label": 3}
    more = {"product_locale": "us", "small_version": 0, "split": "train", "product_title": "Shoe"}
    path = tmp_path / "train.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(row | more).encode()))
    trial = try_import(path)
    assert (list_labels(trial), trial.searches) == ([("5", 11, 3.0)], {"5": ("red shoes", [])})


def test_ms_marco(tmp_path):
    labels = write(tmp_path / "qrels.dev.small.tsv", "300674\t0\t11\t1", "125705\t0\t12\t1")
    texts = write(tmp_path / "queries.dev.small.tsv", "300674\thow many shoes", "9\tunjudged")
    trial = try_import(texts, labels)
    assert list_labels(trial) == [("125705", 12, 1.0), ("300674", 11, 1.0)]
    assert trial.searches["300674"] == ("how many shoes", [])
    assert trial.report.without_search == 1


LETOR = "2 qid:10032 1:0.056537 2:0.000000 #docid = {} inc = 0.01198 prob = 0.139842"


def test_letor_with_documents_and_without(tmp_path):
    path = write(tmp_path / "Fold1.txt", LETOR.format(11), "0 qid:10032 1:3 2:0.000000")
    trial = try_import(path, embeds=False)
    assert list_labels(trial) == [("10032", 11, 2.0)]
    assert trial.report.details == {
        "missing field": {"point: the id of the document is expected after #": 1}
    }


def test_judgements_of_the_elasticsearch_plug_in(tmp_path):
    lines = ("# qid:1: rambo", "# qid:2: rocky", "#", "4\tqid:1 #\t11\tRambo",
             "3\tqid:1 #\t12\tRambo III", "4\tqid:2 #\t13\tRocky")  # fmt: skip
    trial = try_import(write(tmp_path / "sample_judgments.txt", *lines))
    assert list_labels(trial) == [("1", 11, 4.0), ("1", 12, 3.0), ("2", 13, 4.0)]
    assert trial.searches == {"1": ("rambo", []), "2": ("rocky", [])}


def test_judgements_under_a_comment_that_names_their_columns(tmp_path):
    trial = try_import(
        write(
            tmp_path / "sample_judgments.txt",
            "# grade (0-4)\tqueryid\tdocId\ttitle",
            "# ",
            "# qid:1: red shoes",
            "#",
            "2\tqid:1 #\t11\tShoes, red",
            "0\tqid:1 #\t12\tA lamp",
        )
    )
    assert list_labels(trial) == [("1", 11, 2), ("1", 12, 0)]
    assert trial.searches["1"] == ("red shoes", [])


def test_qrels_with_comments(tmp_path):
    path = write(tmp_path / "qrels.test", "# comment", "q1 0 11 1", "  # more", "q1 0 12 0")
    assert list_labels(try_import(path)) == [("q1", 11, 1), ("q1", 12, 0)]


def test_preferences_of_trec_are_named(tmp_path):
    path = write(tmp_path / "prefs.test", "1.EC.AB  F:Ret   0  11  1", "1.EC.AB\t0\t0\t\t 12\t0")
    with pytest.raises(InputError, match="preference judgements"):
        try_import(path)


@pytest.mark.parametrize(
    "answers",
    [
        {"relevance": [{"doc_id": "a file", "chunk_id": 11, "gain": 2.0}]},
        {"gold_ids": [11], "gain": 2.0},
        {"expected_chunk_ids": [11], "gain": 2.0},
        {"relevant_document_ids": ["11"], "gain": 2.0},
    ],
    ids=lambda answers: next(iter(answers)),
)
def test_a_gold_set_of_an_application_with_retrieval(tmp_path, answers):
    path = write(tmp_path / "gold.jsonl", {"query": "red shoes", "tags": ["new"], **answers})
    trial = try_import(path)
    assert [(query, point) for query, point, _ in list_labels(trial)] == [("red shoes", 11)]
    assert trial.searches == {"red shoes": ("red shoes", [])}


def test_a_question_with_line_breaks_in_csv(tmp_path):
    path = write(
        tmp_path / "qa.csv",
        "question,point,grade",
        '"What is it? ""This""',
        "",
        'one?",11,2',
        '"never closed,12,0',
        "lamp,12,1",
    )
    trial = try_import(path)
    text = 'What is it? "This"\n\none?'
    assert [(event[2], event[4]) for event in trial.events] == [(11, 2), (12, 1)]
    assert trial.searches[text] == (text, [])
    assert trial.report.rejected == 1


def test_qrels_of_ranx(tmp_path):
    path = write(tmp_path / "qrels.json", {"q1": {"11": 2, "12": 0}, "q2": {"13": 1}})
    trial = try_import(path, embeds=False)
    assert list_labels(trial) == [("q1", 11, 2.0), ("q1", 12, 0.0), ("q2", 13, 1.0)]
    run = write(tmp_path / "run.json", {"q1": {"11": 0.5, "12": 0.25}})
    with pytest.raises(InputError, match="unknown shape"):
        try_import(run)


def test_a_quepid_book_and_a_detailed_export(tmp_path):
    pairs = [
        {"query_text": "red shoes", "doc_id": "11", "position": 1,
         "judgements": [{"rating": 3.0, "unrateable": False}, {"rating": 1.0}]},
        {"query_text": "red shoes", "doc_id": "12", "judgements": [{"unrateable": True}]},
    ]  # fmt: skip
    trial = try_import(write(tmp_path / "book.json", {"name": "b", "query_doc_pairs": pairs}))
    assert list_labels(trial) == [("red shoes", 11, 2.0)]
    assert trial.report.left_out == {"without a grade": 1}
    header = "Team Name,Case Name,Case ID,Query Text,Doc ID,Doc Position,Title,Rating"
    lines = (header, "t,c,6,red shoes,11,1,Shoe,2", "t,c,6,red shoes,12,2,Boot,")
    trial = try_import(write(tmp_path / "detailed.csv", *lines))
    assert [event[:5] for event in trial.events] == [("red shoes", "relevant", 11, 1, 2.0)]


def test_a_ragas_test_set_has_texts_and_no_ids(tmp_path):
    row = {"user_input": "red shoes?", "reference_contexts": ["a shoe"], "reference": "yes"}
    trial = try_import(write(tmp_path / "testset.jsonl", row))
    assert (list(trial.searches), trial.events) == (["red shoes?"], [])
    assert "no event was stored (1 rows read, 1 searches, 0 refused)" in str(trial.report.problem)


TRACES = {
    "langfuse scores": ("id,timestamp,project_id,trace_id,name,value", "a,2026-01-01,p,t,good,1"),
    "phoenix evaluations": ("span_id,label,score,explanation", "5B8E,correct,1,because"),
}


@pytest.mark.parametrize("name", TRACES)
def test_scores_of_traces_are_about_no_query_and_no_point(tmp_path, name):
    lines: Sequence[str] = TRACES[name]
    with pytest.raises(InputError, match="a column query_id is expected, the columns are"):
        try_import(write(tmp_path / "scores.csv", *lines))


@pytest.mark.parametrize("documents", [[3, 4], ["a", "b"]])
def test_numbers_beside_a_list_of_as_many_ids_may_be_points_or_grades(tmp_path, documents):
    row = {"query": "red shoes", "docs": documents, "relevance": [1, 2]}
    trial = try_import(write(tmp_path / "lists.jsonl", row))
    assert trial.events == []
    assert "may hold points or the grades of" in str(trial.report)


def test_numbers_beside_other_lists_are_points(tmp_path):
    row = {"query": "red shoes", "tags": ["new"], "scores": [0.5, 1.5], "relevance": [11, 12]}
    trial = try_import(write(tmp_path / "lists.jsonl", row))
    assert [event[2] for event in trial.events] == [11, 12]
