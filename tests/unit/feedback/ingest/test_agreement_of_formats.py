"""Rows mean one thing, whether they come as JSON lines, CSV or Parquet."""

import pytest

from nudge_sync.feedback.ingest.formats import open_source
from nudge_sync.feedback.ingest.importer import import_rows
from tests.support.feedback_files import read_documents, write_lines, write_parquet


def test_names_that_pandas_writes_as_floats_are_those_of_json_lines(tmp_path, destination):
    header = "query_id,point,action,session,client,time"
    row = "7.0,4,click,12.0,3.0,1.7000000001234567e+18"
    import_rows([open_source(write_lines(tmp_path / "f.csv", header, row))], destination)
    [event] = read_documents(destination.events)
    assert [event[name] for name in ("query_id", "session_id", "client_id")] == ["7", "12", "3"]
    assert event["timestamp"] == pytest.approx(1_700_000_000.1234567)


def test_a_query_without_an_id_has_the_same_one_in_every_format(tmp_path, destination):
    row = {"text": "red shoes", "session": 12, "shown": [3, 4], "query_vector": [1, 0, 0, 0]}
    header = ",".join(row)
    lines = [header, 'red shoes,12,"[3, 4]","[1, 0, 0, 0]"']
    paths = [write_lines(tmp_path / "f.jsonl", row), write_lines(tmp_path / "f.csv", *lines)]
    for path in paths:
        import_rows([open_source(path)], destination)
    assert len(read_documents(destination.queries)) == 1


def test_lists_of_every_field_are_read_from_csv(tmp_path, destination):
    ubi = write_lines(
        tmp_path / "ubi.csv",
        "query_id,user_query,query_response_object_ids,query_response_hit_ids,query_vector",
        'u1,wings,"[""3"", ""4""]","[9, 8]","[1, 0, 0, 0]"',
    )
    experiment = write_lines(
        tmp_path / "experiment.csv",
        "query_id,query_vector,shown,experiment,arm,teams,moved",
        'e1,"[1, 0, 0, 0]","[3, 4]",canary 1,interleaved,"[control, treatment]","[True, False]"',
    )
    report = import_rows([open_source(ubi), open_source(experiment)], destination)
    assert (report.searches, report.rejected) == (2, 0)
    assert destination.queries.kept["u1"].document["shown"] == [3, 4]
    document = destination.queries.kept["e1"].document
    assert (document["teams"], document["moved"]) == (["control", "treatment"], [True, False])


def test_truth_values_are_grades_in_every_format(tmp_path, destination):
    rows = [{"query_id": "q", "point": 3 + flag, "is_relevant": flag} for flag in (True, False)]
    lines = ["query_id,point,is_relevant", "q,4,True", "q,3,False"]
    for path in (
        write_parquet(tmp_path / "f.parquet", rows),
        write_lines(tmp_path / "f.csv", *lines),
    ):
        report = import_rows([open_source(path)], destination)
        assert (report.events, report.rejected) == (2, 0)
    grades = {event["object_id"]: event["grade"] for event in read_documents(destination.events)}
    assert grades == {4: 1.0, 3: 0.0}
