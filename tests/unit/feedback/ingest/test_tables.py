import csv
import json
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet as pq
from typer.testing import CliRunner

from nudge_sync.cli.app import feedback_app
from nudge_sync.errors import InputError
from nudge_sync.feedback.ingest.formats import join_query_vectors, open_source
from nudge_sync.feedback.ingest.importer import Destination, RowsRefused, import_rows
from nudge_sync.feedback.ingest.sources import open_beir, open_json_lines, open_qrels

DIMENSION = 4
MAY_DAY = datetime(2026, 5, 1, tzinfo=UTC).timestamp()
HEADER = "query_id,point_id,action,position,time,grade,session,client"
CLICK = "q1,7,click,2,1700000000,,s1,c1"
LABEL = "q1,8,relevant,,2023-11-14T22:13:20Z,2,,"
AS_JSON = (
    {
        "query_id": "q1",
        "action": "click",
        "point": 7,
        "position": 2,
        "time": 1_700_000_000,
        "session": "s1",
        "client": "c1",
    },
    {"query_id": "q1", "action": "relevant", "point": 8, "time": 1_700_000_000, "grade": 2},
)


@pytest.fixture
def destination(new_records, ids_only) -> Destination:
    return Destination(new_records(), new_records(), ids_only(range(10), DIMENSION))


@pytest.fixture
def queries(tmp_path) -> tuple[Path, Path]:
    """Vectors of q1 and q2, and of a query known by its text alone."""
    vectors, ids = tmp_path / "queries.npy", tmp_path / "queries.txt"
    np.save(vectors, np.eye(3, DIMENSION, dtype=np.float32))
    ids.write_text("q1\nq2\nswept wings\n", encoding="utf-8")
    return vectors, ids


def write(path: Path, *lines: object) -> Path:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_bytes("".join(text + "\n" for text in texts).encode("utf-8", "surrogateescape"))
    return path


def table(path: Path, rows: list[dict]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def documents(records) -> list[dict]:
    return [record.document for record in records.kept.values()]


@pytest.mark.parametrize("name", ["f.csv", "f.tsv", "F.CSV"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_stores_what_json_lines_store(tmp_path, destination, name, delimiter):
    lines = [line.replace(",", delimiter) for line in ("\ufeff" + HEADER, CLICK, "", LABEL)]
    first = import_rows([open_source(write(tmp_path / name, *lines))], destination)
    assert (first.events, first.rejected, first.without_search) == (2, 0, 1)
    again = import_rows([open_json_lines(write(tmp_path / "f.jsonl", *AS_JSON))], destination)
    assert (again.accepted, again.unchanged) == (2, 2)


def test_parquet_stores_what_json_lines_store(tmp_path, destination):
    moment = datetime.fromtimestamp(1_700_000_000, UTC)
    rows = [dict.fromkeys(AS_JSON[0] | {"grade": 0}) | row | {"time": moment} for row in AS_JSON]
    report = import_rows([open_source(table(tmp_path / "f.parquet", rows))], destination)
    assert (report.events, report.rejected) == (2, 0)
    again = import_rows([open_json_lines(write(tmp_path / "f.jsonl", *AS_JSON))], destination)
    assert (again.accepted, again.unchanged) == (2, 2)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Berlin"])
def test_parquet_knows_moments_of_every_unit(tmp_path, destination, unit, zone):
    scale = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
    times = pa.array([1_700_000_000 * scale + (1 if unit == "ns" else 0), None], pa.int64())
    columns = {"query_id": ["a", "b"], "point_id": [1, 1], "action": ["click"] * 2}
    found = pa.table(columns | {"timestamp": times.cast(pa.timestamp(unit, zone))})
    pq.write_table(found, tmp_path / "f.parquet")
    report = import_rows([open_source(tmp_path / "f.parquet")], destination)
    assert report.rejected == 0
    assert [one["timestamp"] for one in documents(destination.events)] == [1_700_000_000.0, 0.0]


def test_tables_hold_searches_too(tmp_path, destination):
    search = {"query_id": "a", "query_vector": [0.5, 0, 0, 1], "shown": [3, 4]}
    text = "query_id,query_vector,shown\n" + 'b,"[0.5, 0, 0, 1]","[3, 4]"'
    paths = [table(tmp_path / "f.parquet", [search]), write(tmp_path / "f.csv", text)]
    report = import_rows([open_source(path) for path in paths], destination)
    assert (report.searches, report.rejected) == (2, 0)
    assert [one["shown"] for one in documents(destination.queries)] == [[3, 4], [3, 4]]


BAD_CSV = {
    "open quote": ("not CSV", '"q1,7,click,2,,,,'),
    "text after a quote": ("not CSV", '"q1"x,7,click,2,,,,'),
    "carriage return": ("not CSV", "q1,7,cl\rick,2,,,,"),
    "a field too long": ("too large", f"q1,7,{'x' * 200_000},2,,,,"),
    "too few fields": ("not CSV", "q1,7"),
    "too many fields": ("not CSV", CLICK + ",more"),
    "nul": ("not CSV", "q\x001,7,click,2,,,,"),
    "not utf-8": ("not UTF-8", "q\udcff1,7,click,2,,,,"),
    "no query id": ("missing field", ",7,click,2,,,,"),
    "no point": ("missing field", "q1,,click,2,,,,"),
    "no action": ("missing field", "q1,7,,2,,,,"),
    "unknown point": ("unknown point", "q1,700,click,2,,,,"),
    "point list": ("wrong type", 'q1,"[7]",click,2,,,,'),
    "half a list": ("not JSON", 'q1,"[7",click,2,,,,'),
    "deep list": ("not JSON", f"q1,{'[' * 100_000},click,2,,,,"),
    "position text": ("wrong type", "q1,7,click,first,,,,"),
    "position with underscore": ("wrong type", "q1,7,click,1_0,,,,"),
    "position nan": ("wrong type", "q1,7,click,nan,,,,"),
    "position zero": ("out of range", "q1,7,click,0,,,,"),
    "grade infinite": ("out of range", "q1,7,click,,,inf,,"),
    "grade text": ("wrong type", "q1,7,click,,,good,,"),
    "time text": ("unparsable time", "q1,7,click,2,yesterday,,,"),
    "time nan": ("unparsable time", "q1,7,click,2,nan,,,"),
    "no such day": ("unparsable time", "q1,7,click,2,20261301,,,"),
    "same event again": ("duplicate", CLICK),
}


@pytest.mark.parametrize("name", BAD_CSV)
def test_a_bad_row_of_csv_is_named_and_stops_nothing(tmp_path, destination, name):
    reason, bad = BAD_CSV[name]
    path = write(tmp_path / "f.csv", HEADER, CLICK, bad, LABEL)
    rejects = tmp_path / "rejects"
    report = import_rows([open_source(path)], destination, rejects_path=rejects)
    assert (report.accepted, report.reasons) == (2, {reason: 1})
    assert report.lines == {reason: [f"{path}:3"]}
    assert json.loads(rejects.read_text())["line"] == 3


@pytest.mark.parametrize("name", BAD_CSV)
def test_strict_stores_nothing_of_csv(tmp_path, destination, name):
    path = write(tmp_path / "f.csv", HEADER, CLICK, BAD_CSV[name][1])
    with pytest.raises(RowsRefused, match=BAD_CSV[name][0]):
        import_rows([open_source(path)], destination, strict=True)
    assert not destination.events.kept


HEADERS = {
    "empty file": (b"", "query_id is expected"),
    "no query id": (b"point_id,action\n7,click\n", "query_id is expected.*point_id, action"),
    "no header": (CLICK.encode(), "query_id is expected"),
    "twice the same": (b"query_id,time,Time\n", "same name"),
    "utf-16": (HEADER.encode("utf-16"), "not UTF-8"),
    "nul": (b"query_id,\0\n", "NUL"),
    "open quote": (b'query_id,"action\n', "not CSV"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_that_says_nothing_is_refused(tmp_path, destination, name):
    content, message = HEADERS[name]
    (tmp_path / "f.csv").write_bytes(content)
    with pytest.raises(InputError, match=message):
        import_rows([open_source(tmp_path / "f.csv")], destination)


BAD_PARQUET = {
    "not utf-8": ("not UTF-8", "query_id", b"\xff"),
    "point unknown": ("unknown point", "point_id", b"77"),
    "action empty": ("wrong type", "action", b""),
    "query id missing": ("missing field", "query_id", None),
}


@pytest.mark.parametrize("name", BAD_PARQUET)
def test_a_bad_row_of_parquet_is_named_and_stops_nothing(tmp_path, destination, name):
    reason, column, value = BAD_PARQUET[name]
    columns = {
        "query_id": [b"q1", b"q1", b"q1"],
        "point_id": [b"1", b"2", b"3"],
        "action": [b"click"] * 3,
    }
    columns[column][1] = value
    raw = {
        field: pa.array(cells, pa.binary()).view(pa.string()) for field, cells in columns.items()
    }
    path = tmp_path / "f.parquet"
    pq.write_table(pa.table(raw), path)
    report = import_rows([open_source(path)], destination, rejects_path=tmp_path / "rejects")
    assert (report.accepted, report.lines) == (2, {reason: [f"{path}:2"]})
    assert json.loads((tmp_path / "rejects").read_text())["reason"] == reason


def test_a_day_that_python_cannot_hold_is_a_bad_row(tmp_path, destination):
    columns = {"query_id": ["a", "b"], "point_id": [1, 1], "action": ["click"] * 2}
    days = pa.array([None, 2**31 - 1], pa.int32()).cast(pa.date32())
    path = tmp_path / "f.parquet"
    pq.write_table(pa.table(columns | {"time": days}), path)
    report = import_rows([open_source(path)], destination)
    assert (report.accepted, report.lines) == (1, {"unparsable time": [f"{path}:2"]})


@pytest.mark.parametrize("kind", [pa.date32(), pa.date64()])
def test_a_day_in_parquet_is_its_midnight(tmp_path, destination, kind):
    columns = {"query_id": ["a", "b"], "point_id": [1, 1], "action": ["click"] * 2}
    path = tmp_path / "f.parquet"
    pq.write_table(pa.table(columns | {"time": pa.array([date(2026, 5, 1), None], kind)}), path)
    report = import_rows([open_source(path)], destination)
    assert report.rejected == 0
    assert [one["timestamp"] for one in documents(destination.events)] == [MAY_DAY, 0.0]


@pytest.mark.parametrize("kind", [pa.date32(), pa.timestamp("us")])
def test_the_last_day_of_all_is_no_millisecond_of_1978(tmp_path, destination, kind):
    columns = {"query_id": ["a"], "point_id": [1], "action": ["click"]}
    days = pa.array([date(9999, 12, 31)], pa.date32()).cast(kind)
    path = tmp_path / "f.parquet"
    pq.write_table(pa.table(columns | {"time": days}), path)
    assert import_rows([open_source(path)], destination).reasons == {"unparsable time": 1}


@pytest.mark.parametrize("name", ["time", "timestamp"])
def test_eight_digits_are_a_day_as_in_json_lines(tmp_path, destination, name):
    path = write(tmp_path / "f.csv", f"query_id,point_id,action,{name}", "q1,7,click,20260501")
    import_rows([open_source(path)], destination)
    assert documents(destination.events)[0]["timestamp"] == MAY_DAY
    row = {"query_id": "q1", "point_id": 7, "action": "click", name: "20260501"}
    again = import_rows([open_json_lines(write(tmp_path / "f.jsonl", row))], destination)
    assert again.unchanged == 1


FLAT = (
    "query_id,action_name,event_attributes.object.object_id,"
    "event_attributes.position.ordinal,event_attributes.session_id"
)


def test_flattened_ubi_is_understood(tmp_path, destination):
    rows = [dict(zip(FLAT.split(","), ("q1", "click", "4", 2, "s1"), strict=True))]
    sources = [
        open_source(write(tmp_path / "f.csv", FLAT, "q1,click,4,2,s1")),
        open_source(table(tmp_path / "f.parquet", rows)),
    ]
    for source in sources:
        assert import_rows([source], destination).accepted == 1
    [event] = documents(destination.events)
    assert (event["object_id"], event["position"], event["session_id"]) == (4, 2, "s1")


def test_a_vector_in_csv_may_be_long(tmp_path, destination):
    vector = f"[0.5, 0, 0, 1.{'0' * 200_000}]"
    path = write(tmp_path / "f.csv", "query_id,query_vector", f'b,"{vector}"')
    limit = csv.field_size_limit()
    assert import_rows([open_source(path)], destination).accepted == 1
    np.testing.assert_array_equal(destination.queries.kept["b"].vector, [0.5, 0, 0, 1])
    assert csv.field_size_limit() == limit


def test_a_byte_order_mark_is_no_part_of_an_id(tmp_path, destination, queries):
    vectors, ids = queries
    ids.write_text(ids.read_text(encoding="utf-8"), encoding="utf-8-sig")
    labels = write(tmp_path / "qrels.txt", "\ufeffq1 0 7 1", "q2 0 8 1")
    report = import_rows([open_qrels(labels, vectors, ids)], destination)
    assert (report.accepted, report.rejected, report.without_search) == (5, 0, 0)
    assert sorted(destination.queries.kept) == ["q1", "q2", "swept wings"]


def test_parquet_that_is_none_is_refused(tmp_path, destination):
    path = tmp_path / "f.parquet"
    for content in (b"", b"PAR1", b"query_id\n", b"PAR1" + bytes(40) + b"PAR1"):
        path.write_bytes(content)
        with pytest.raises(InputError, match="not readable as Parquet"):
            import_rows([open_source(path)], destination)
    with pytest.raises(InputError, match="not readable"):
        import_rows([open_source(tmp_path / "absent.parquet")], destination)
    with pytest.raises(InputError, match="query_id is expected"):
        import_rows([open_source(table(path, [{"a": 1}]))], destination)


def test_damaged_parquet_is_refused(tmp_path, destination):
    path = table(tmp_path / "f.parquet", [AS_JSON[0] | {"position": at} for at in range(1, 5000)])
    content = bytearray(path.read_bytes())
    content[10:400] = bytes(390)
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged after row 0"):
        import_rows([open_source(path)], destination)


def test_queries_that_a_table_names_become_searches_once(tmp_path, destination, queries):
    events = write(tmp_path / "a.csv", HEADER, CLICK, "q9,7,click,1,,,,")
    more = table(tmp_path / "b.parquet", [{"query_id": "q1", "point_id": 9, "action": "click"}])
    report = import_rows([join_query_vectors([events, more], *queries)], destination)
    assert (report.events, report.searches, report.rejected) == (3, 1, 0)
    assert report.without_search == 1
    np.testing.assert_array_equal(destination.queries.kept["q1"].vector, [1, 0, 0, 0])
    again = import_rows([join_query_vectors([events, more], *queries)], destination)
    assert (again.accepted, again.unchanged) == (4, 4)


SHOWN = {"query_id": "q1", "query_vector": [0, 0, 0, 1], "shown": [7, 8], "text": "wings"}


def test_a_table_that_names_a_logged_search_leaves_it_as_it_is(tmp_path, destination, queries):
    import_rows([open_source(write(tmp_path / "searches.jsonl", SHOWN))], destination)
    before = dict(destination.queries.kept)
    clicks = write(tmp_path / "clicks.csv", HEADER, CLICK, "q2,7,click,1,,,,")
    report = import_rows([join_query_vectors([clicks], *queries)], destination)
    assert (report.events, report.searches, report.unchanged) == (2, 2, 1)
    assert destination.queries.kept["q1"] is before["q1"]
    assert "q2" in destination.queries.kept


def test_labels_leave_a_logged_search_as_it_is(tmp_path, destination, queries):
    import_rows([open_source(write(tmp_path / "searches.jsonl", SHOWN))], destination)
    before = destination.queries.kept["q1"]
    labels = write(tmp_path / "qrels.txt", "q1 0 7 1", "q2 0 8 1")
    report = import_rows([open_qrels(labels, *queries)], destination)
    assert (report.searches, report.events) == (3, 2)
    assert destination.queries.kept["q1"] is before


def test_labels_beside_the_search_they_are_about_are_no_duplicate(tmp_path, destination, queries):
    sources = [
        open_source(write(tmp_path / "searches.jsonl", SHOWN)),
        open_qrels(write(tmp_path / "qrels.txt", "q1 0 7 1"), *queries),
    ]
    report = import_rows(sources, destination, strict=True)
    assert (report.searches, report.events, report.rejected) == (4, 1, 0)
    assert destination.queries.kept["q1"].document["shown"] == [7, 8]


def test_a_new_version_of_a_logged_search_counts_beside_labels(tmp_path, destination, queries):
    import_rows([open_source(write(tmp_path / "old.jsonl", SHOWN))], destination)
    sources = [
        open_source(write(tmp_path / "new.jsonl", SHOWN | {"shown": [1, 2]})),
        open_qrels(write(tmp_path / "qrels.txt", "q1 0 7 1"), *queries),
    ]
    import_rows(sources, destination)
    assert destination.queries.kept["q1"].document["shown"] == [1, 2]


def test_queries_embedded_anew_replace_those_known_by_a_vector_alone(
    tmp_path, destination, queries
):
    labels = write(tmp_path / "qrels.txt", "q1 0 7 1")
    import_rows([open_qrels(labels, *queries)], destination)
    np.save(queries[0], np.ones((3, DIMENSION), np.float32))
    report = import_rows([open_qrels(labels, *queries)], destination)
    assert (report.accepted, report.unchanged) == (4, 1)
    np.testing.assert_array_equal(destination.queries.kept["q1"].vector, np.ones(DIMENSION))


UBI_QUERIES = (
    {
        "application": "shop",
        "query_id": "q1",
        "client_id": "c1",
        "user_query": "delta wings",
        "query_attributes": {},
        "query_response_id": "r1",
        "query_response_hit_ids": ["3", "4"],
        "timestamp": "2023-11-14T22:13:20.000Z",
    },
    {
        "_index": "ubi_queries",
        "_source": {"query_id": "5f", "user_query": "swept wings", "timestamp": 1700000000000},
    },
)
UBI_EVENT = {
    "application": "shop",
    "action_name": "click",
    "query_id": "q1",
    "client_id": "c1",
    "timestamp": "2023-11-14T22:13:25Z",
    "message_type": "INFO",
    "user_query": "delta wings",
    "event_attributes": {
        "object": {"object_id": "4", "object_id_field": "sku"},
        "position": {"ordinal": 2},
        "session_id": "s1",
    },
}


def test_ubi_queries_find_their_vectors_by_id_or_text(tmp_path, destination, queries):
    files = [
        write(tmp_path / "ubi_queries.jsonl", *UBI_QUERIES),
        write(
            tmp_path / "ubi_events.jsonl", UBI_EVENT, {"_source": UBI_EVENT | {"query_id": "5f"}}
        ),
    ]
    report = import_rows([join_query_vectors(files, *queries)], destination)
    assert (report.searches, report.events, report.rejected, report.without_search) == (2, 2, 0, 0)
    search = destination.queries.kept["q1"]
    assert search.document["shown"] == [3, 4]
    assert (search.document["text"], search.document["timestamp"]) == ("delta wings", 1.7e9)
    np.testing.assert_array_equal(search.vector, [1, 0, 0, 0])
    np.testing.assert_array_equal(destination.queries.kept["5f"].vector, [0, 0, 1, 0])
    event = documents(destination.events)[0]
    assert (event["object_id"], event["position"], event["session_id"]) == (4, 2, "s1")
    assert (event["client_id"], event["timestamp"]) == ("c1", 1_700_000_005.0)


def test_ubi_events_alone_leave_the_stored_search_as_it_is(tmp_path, destination, queries):
    import_rows([join_query_vectors([write(tmp_path / "q", *UBI_QUERIES)], *queries)], destination)
    before = dict(destination.queries.kept)
    report = import_rows(
        [join_query_vectors([write(tmp_path / "e", UBI_EVENT)], *queries)], destination
    )
    assert (report.accepted, report.without_search) == (1, 0)
    assert destination.queries.kept == before


def test_a_search_without_a_vector_is_named(tmp_path, destination, queries):
    path = write(tmp_path / "f", UBI_QUERIES[0] | {"query_id": "zz"}, "{", UBI_EVENT)
    report = import_rows([join_query_vectors([path], *queries)], destination)
    assert report.lines == {"unknown query": [f"{path}:1"], "not JSON": [f"{path}:2"]}
    assert report.accepted == 1


def test_a_beir_folder_is_every_split(tmp_path, destination, queries):
    (tmp_path / "qrels").mkdir()
    header = "query-id\tcorpus-id\tscore"
    write(tmp_path / "qrels" / "train.tsv", header, "q1\t1\t1", "q1\t2\t2")
    test = write(tmp_path / "qrels" / "test.tsv", header, "q2\t3\t1", "q7\t3\t1", "q2\tx\t1")
    report = import_rows([open_beir(tmp_path, *queries)], destination)
    assert (report.searches, report.events) == (3, 3)
    assert report.lines == {"unknown query": [f"{test}:3"], "unknown point": [f"{test}:4"]}
    again = import_rows([open_beir(tmp_path, *queries)], destination)
    assert again.unchanged == 6
    with pytest.raises(InputError, match="no qrels"):
        open_beir(tmp_path / "qrels", *queries)


def test_what_csv_writes_is_read_back(tmp_path, destination):
    path = tmp_path / "f.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["query_id", "object_id", "action_name", "timestamp"])
        rows.writerow(['said "wing", twice', 7, "click", "2023-11-14 22:13:20"])
    import_rows([open_source(path)], destination)
    event = documents(destination.events)[0]
    assert (event["query_id"], event["object_id"]) == ('said "wing", twice', 7)
    assert event["timestamp"] == 1.7e9


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--beir", "x"],
        ["--qrels", "x", "--query-ids", "x"],
        ["f.csv", "--query-vectors", "x"],
        ["--query-vectors", "x", "--query-ids", "x"],
        ["--qrels", "x", "--beir", "x", "--query-vectors", "x", "--query-ids", "x"],
        ["--embed", "json:dumps"],
        ["--qrels", "x", "--embed", "json:dumps"],
        ["--beir", "x", "--query-ids", "x", "--embed", "json:dumps"],
    ],
)
def test_options_that_do_not_fit_together_are_refused(words):
    done = CliRunner().invoke(feedback_app, ["import", *words])
    assert done.exit_code == 2
    assert "--qrels" in done.stderr
