"""Rows of CSV and Parquet files."""

import csv
import json
from datetime import UTC, date, datetime
from decimal import Decimal
from uuid import UUID

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet as pq

from nudge_sync.errors import InputError
from nudge_sync.feedback.ingest.formats import open_json_lines, open_source
from nudge_sync.feedback.ingest.importer import RowsRefused, import_rows
from tests.support.feedback_files import read_documents, write_lines, write_parquet

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


@pytest.mark.parametrize("name", ["f.csv", "f.tsv", "F.CSV"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_csv_stores_what_json_lines_store(tmp_path, destination, name, delimiter):
    lines = [line.replace(",", delimiter) for line in ("\ufeff" + HEADER, CLICK, "", LABEL)]
    first = import_rows([open_source(write_lines(tmp_path / name, *lines))], destination)
    assert (first.events, first.rejected, first.without_search) == (2, 0, 1)
    again = import_rows([open_json_lines(write_lines(tmp_path / "f.jsonl", *AS_JSON))], destination)
    assert (again.accepted, again.unchanged) == (2, 2)


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
    "position below zero": ("out of range", "q1,7,click,-1,,,,"),
    "grade infinite": ("out of range", "q1,7,click,,,inf,,"),
    "grade text": ("wrong type", "q1,7,click,,,good,,"),
    "time text": ("unparsable time", "q1,7,click,2,yesterday,,,"),
    "no such day": ("unparsable time", "q1,7,click,2,20261301,,,"),
    "same event again": ("duplicate", CLICK),
}


@pytest.mark.parametrize("name", BAD_CSV)
def test_a_bad_row_of_csv_is_named_and_stops_nothing(tmp_path, destination, name):
    reason, bad = BAD_CSV[name]
    path = write_lines(tmp_path / "f.csv", HEADER, CLICK, bad, LABEL)
    rejects = tmp_path / "rejects"
    report = import_rows([open_source(path)], destination, rejects_path=rejects)
    assert (report.accepted, report.reasons) == (2, {reason: 1})
    assert report.lines == {reason: [f"{path}:3"]}
    assert json.loads(rejects.read_text())["line"] == 3


@pytest.mark.parametrize("name", BAD_CSV)
def test_strict_stores_nothing_of_csv(tmp_path, destination, name):
    path = write_lines(tmp_path / "f.csv", HEADER, CLICK, BAD_CSV[name][1])
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


@pytest.mark.parametrize("name", ["time", "timestamp"])
def test_eight_digits_are_a_day_as_in_json_lines(tmp_path, destination, name):
    header = f"query_id,point_id,action,{name}"
    path = write_lines(tmp_path / "f.csv", header, "q1,7,click,20260501")
    import_rows([open_source(path)], destination)
    assert read_documents(destination.events)[0]["timestamp"] == MAY_DAY
    row = {"query_id": "q1", "point_id": 7, "action": "click", name: "20260501"}
    again = import_rows([open_json_lines(write_lines(tmp_path / "f.jsonl", row))], destination)
    assert again.unchanged == 1


def test_a_vector_in_csv_may_be_long(tmp_path, destination):
    vector = f"[0.5, 0, 0, 1.{'0' * 200_000}]"
    path = write_lines(tmp_path / "f.csv", "query_id,query_vector", f'b,"{vector}"')
    limit = csv.field_size_limit()
    assert import_rows([open_source(path)], destination).accepted == 1
    np.testing.assert_array_equal(destination.queries.kept["b"].vector, [0.5, 0, 0, 1])
    assert csv.field_size_limit() == limit


def test_what_csv_writes_is_read_back(tmp_path, destination):
    path = tmp_path / "f.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["query_id", "object_id", "action_name", "timestamp"])
        rows.writerow(['said "wing", twice', 7, "click", "2023-11-14 22:13:20"])
    import_rows([open_source(path)], destination)
    event = read_documents(destination.events)[0]
    assert (event["query_id"], event["object_id"]) == ('said "wing", twice', 7)
    assert event["timestamp"] == 1.7e9


def test_tables_hold_searches_too(tmp_path, destination):
    search = {"query_id": "a", "query_vector": [0.5, 0, 0, 1], "shown": [3, 4]}
    text = "query_id,query_vector,shown\n" + 'b,"[0.5, 0, 0, 1]","[3, 4]"'
    paths = [write_parquet(tmp_path / "f.parquet", [search]), write_lines(tmp_path / "f.csv", text)]
    report = import_rows([open_source(path) for path in paths], destination)
    assert (report.searches, report.rejected) == (2, 0)
    assert [search["shown"] for search in read_documents(destination.queries)] == [[3, 4]] * 2


@pytest.mark.parametrize("hole", ["", "nan", "NaN", "NULL", "None", "<NA>", "\\N"])
def test_a_hole_is_no_value(tmp_path, destination, hole):
    row = f"q1,7,click,{hole},{hole},{hole},{hole},{hole}"
    import_rows([open_source(write_lines(tmp_path / "f.csv", HEADER, row))], destination)
    [event] = read_documents(destination.events)
    assert (event["position"], event["grade"], event["timestamp"]) == (None, None, 0.0)
    assert (event["session_id"], event["client_id"]) == ("", "")


FLAT = (
    "query_id,action_name,event_attributes.object.object_id,"
    "event_attributes.position.ordinal,event_attributes.session_id"
)


def test_flattened_ubi_is_understood(tmp_path, destination):
    rows = [dict(zip(FLAT.split(","), ("q1", "click", "4", 2, "s1"), strict=True))]
    sources = [
        open_source(write_lines(tmp_path / "f.csv", FLAT, "q1,click,4,2,s1")),
        open_source(write_parquet(tmp_path / "f.parquet", rows)),
    ]
    for source in sources:
        assert import_rows([source], destination).accepted == 1
    [event] = read_documents(destination.events)
    assert (event["object_id"], event["position"], event["session_id"]) == (4, 2, "s1")


def test_parquet_stores_what_json_lines_store(tmp_path, destination):
    moment = datetime.fromtimestamp(1_700_000_000, UTC)
    rows = [dict.fromkeys(AS_JSON[0] | {"grade": 0}) | row | {"time": moment} for row in AS_JSON]
    report = import_rows([open_source(write_parquet(tmp_path / "f.parquet", rows))], destination)
    assert (report.events, report.rejected) == (2, 0)
    again = import_rows([open_json_lines(write_lines(tmp_path / "f.jsonl", *AS_JSON))], destination)
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
    timestamps = [event["timestamp"] for event in read_documents(destination.events)]
    assert timestamps == [1_700_000_000.0, 0.0]


def test_parquet_knows_uuids(tmp_path, destination):
    query_id = UUID(int=7)
    columns = {
        "query_id": pa.array([query_id.bytes], pa.uuid()),
        "point_id": pa.array([3]),
        "action": pa.array(["click"]),
    }
    pq.write_table(pa.table(columns), tmp_path / "f.parquet")
    report = import_rows([open_source(tmp_path / "f.parquet")], destination)
    assert (report.events, report.rejected) == (1, 0)
    assert read_documents(destination.events)[0]["query_id"] == str(query_id)


def test_parquet_knows_decimals_of_every_scale(tmp_path, destination):
    large = 10**30 + 1
    columns = {
        "query_id": pa.array([7, large], pa.decimal128(38, 0)),
        "point_id": pa.array([1, 2], pa.decimal128(38, 9)),
        "grade": pa.array([Decimal("1.5"), 2], pa.decimal128(10, 2)),
        "time": pa.array([1_700_000_000, None], pa.decimal256(60, 0)),
    }
    lists = {
        "query_id": ["q"],
        "query_vector": pa.array([[Decimal("0.5"), 0, 0, 1]], pa.list_(pa.decimal128(38, 9))),
        "shown": pa.array([[{"id": 3}]], pa.list_(pa.struct({"id": pa.decimal128(38, 0)}))),
    }
    for name, table in (("events", columns), ("searches", lists)):
        pq.write_table(pa.table(table), tmp_path / name)
        report = import_rows([open_source(tmp_path / name)], destination)
        assert report.rejected == 0
    events = sorted(read_documents(destination.events), key=lambda event: event["object_id"])
    assert [event["query_id"] for event in events] == ["7", str(large)]
    assert [(event["object_id"], event["grade"]) for event in events] == [(1, 1.5), (2, 2.0)]
    assert [event["timestamp"] for event in events] == [1_700_000_000.0, 0.0]
    search = destination.queries.kept["q"]
    assert (search.document["shown"], search.vector.tolist()) == ([3], [0.5, 0.0, 0.0, 1.0])


BAD_PARQUET = {
    "not utf-8": ("not UTF-8", "query_id", b"\xff"),
    "point unknown": ("unknown point", "point_id", b"77"),
    "action empty": ("missing field", "action", b""),
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
    assert [event["timestamp"] for event in read_documents(destination.events)] == [MAY_DAY, 0.0]


@pytest.mark.parametrize("kind", [pa.date32(), pa.timestamp("us")])
def test_the_last_day_of_all_is_no_millisecond_of_1978(tmp_path, destination, kind):
    columns = {"query_id": ["a"], "point_id": [1], "action": ["click"]}
    days = pa.array([date(9999, 12, 31)], pa.date32()).cast(kind)
    path = tmp_path / "f.parquet"
    pq.write_table(pa.table(columns | {"time": days}), path)
    assert import_rows([open_source(path)], destination).reasons == {"unparsable time": 1}


def test_parquet_that_is_none_is_refused(tmp_path, destination):
    path = tmp_path / "f.parquet"
    for content in (b"", b"PAR1", b"query_id\n", b"PAR1" + bytes(40) + b"PAR1"):
        path.write_bytes(content)
        with pytest.raises(InputError, match="not readable as Parquet"):
            import_rows([open_source(path)], destination)
    with pytest.raises(InputError, match="No such file"):
        import_rows([open_source(tmp_path / "absent.parquet")], destination)
    with pytest.raises(InputError, match="query_id is expected"):
        import_rows([open_source(write_parquet(path, [{"a": 1}]))], destination)


def test_damaged_parquet_is_refused(tmp_path, destination):
    rows = [AS_JSON[0] | {"position": position} for position in range(1, 5000)]
    path = write_parquet(tmp_path / "f.parquet", rows)
    content = bytearray(path.read_bytes())
    content[10:400] = bytes(390)
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged after row 0"):
        import_rows([open_source(path)], destination)
