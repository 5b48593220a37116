"""OTLP files as a source: what OpenTelemetry's own messages look like on a disk."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToDict

from nudge_sync.errors import ConfigError, SourceError
from nudge_sync.source import MAX_CURSOR_LENGTH
from nudge_sync.source.openinference.files import OtlpFileSource, open_otlp_files
from nudge_sync.testing.source_conformance import SourceConformance
from nudge_sync.testing.sources import freeze, list_rows, make_searches, select_searches
from tests.support.sources.otlp import build_request, convert_to_json


def write_blocks(path: Path, request) -> None:
    message = request.SerializeToString()
    with path.open("ab") as file:
        file.write(len(message).to_bytes(4, "big") + message)


def write_lines(path: Path, request) -> None:
    with path.open("a") as file:
        file.write(json.dumps(convert_to_json(request)) + "\n")


WRITERS = {"traces.jsonl": write_lines, "traces.binpb": write_blocks}


class OtlpFileWorld:
    """A file that an exporter appends to; nobody can log an opinion there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def open(self) -> OtlpFileSource:
        return open_otlp_files({"path": self.path})

    def open_unreachable(self) -> OtlpFileSource:
        return open_otlp_files({"path": self.path.parent / "gone.jsonl"})

    def log_searches(self, searches) -> None:
        WRITERS[self.path.name](self.path, build_request(searches))


@pytest.fixture(params=WRITERS)
def world(request, tmp_path) -> OtlpFileWorld:
    return OtlpFileWorld(tmp_path / request.param)


class TestOtlpFiles(SourceConformance):
    """The kit, but for opinions, which OTLP does not have."""

    test_opinions = test_what_models_judge_is_left_out = test_an_opinion_that_comes_late = None
    test_rows_can_be_stored = test_twice_is_the_same = test_going_on_from_any_page = None
    test_a_search_comes_before_its_events = None


def test_json_and_protobuf_say_the_same(tmp_path):
    searches = make_searches(5, days_ago=1)
    rows = []
    for name in WRITERS:
        world = OtlpFileWorld(tmp_path / name)
        world.log_searches(searches)
        with closing(world.open()) as source:
            rows.append([freeze(row) for row in list_rows(source.read_pages())])
    assert rows[0] == rows[1]
    assert len(rows[0]) == 5


def test_half_a_message_waits(world):
    world.log_searches(make_searches(2, days_ago=1))
    whole = world.path.read_bytes()
    world.log_searches(make_searches(2, days_ago=1, first=2))
    all_bytes = world.path.read_bytes()
    world.path.write_bytes(all_bytes[: len(whole) + 40])
    with closing(world.open()) as source:
        pages = list(source.read_pages())
        assert len(list_rows(pages)) == 2
        world.path.write_bytes(all_bytes)
        rows = list_rows(source.read_pages(pages[-1].cursor))
    assert [row["text"] for row in rows] == ["question 2", "question 3"]


def test_a_file_that_shrank_is_read_from_its_beginning(world):
    world.log_searches(make_searches(4, days_ago=1))
    with closing(world.open()) as source:
        cursor = list(source.read_pages())[-1].cursor
        world.path.write_bytes(b"")
        world.log_searches(make_searches(1, days_ago=1, first=9))
        assert [row["text"] for row in list_rows(source.read_pages(cursor))] == ["question 9"]


def read_texts(source: OtlpFileSource, cursor: str = "") -> tuple[list[str], str]:
    """The texts of the searches that a fetch brings, and where the next one goes on."""
    pages = list(source.read_pages(cursor))
    return [row["text"] for row in list_rows(pages)], pages[-1].cursor if pages else cursor


# A renamed file comes before or after the one that takes its name.
@pytest.mark.parametrize("prefix", ["a-", "z-"])
@pytest.mark.parametrize("more", [1, 200])
def test_a_file_that_is_rotated_is_read_on_and_the_next_one_from_its_beginning(world, prefix, more):
    searches = make_searches(20 + more, days_ago=1)
    with closing(open_otlp_files({"path": world.path.parent})) as source:
        world.log_searches(searches[:5])
        texts, cursor = read_texts(source)
        world.log_searches(searches[5:10])
        world.path.rename(world.path.with_name(prefix + world.path.name))
        # More than was read of the file before it.
        world.log_searches(searches[10:])
        late, cursor = read_texts(source, cursor)
        assert read_texts(source, cursor)[0] == []
    assert len(texts) == 5
    assert sorted(late) == sorted(search.text for search in searches[5:])


def test_a_file_that_is_copied_and_emptied_is_read_from_its_beginning(world):
    searches = make_searches(20, days_ago=1)
    with closing(open_otlp_files({"path": world.path.parent})) as source:
        world.log_searches(searches[:5])
        _, cursor = read_texts(source)
        world.path.with_name("copy" + world.path.suffix).write_bytes(world.path.read_bytes())
        world.path.write_bytes(b"")
        world.log_searches(searches[5:])
        late, _ = read_texts(source, cursor)
    assert late == [search.text for search in searches[5:]]


def test_a_cursor_does_not_grow_with_files_that_are_gone(world):
    searches = make_searches(30, days_ago=1)
    with closing(open_otlp_files({"path": world.path.parent})) as source:
        cursor = ""
        for number, search in enumerate(searches):
            world.log_searches([search])
            rotated = world.path.with_name(f"{number}-{world.path.name}")
            world.path.rename(rotated)
            texts, cursor = read_texts(source, cursor)
            assert texts == [search.text]
            rotated.unlink()
    assert len(cursor) < 100


def test_as_many_files_as_a_cursor_has_room_for(world):
    for number, search in enumerate(make_searches(300, days_ago=1)):
        world.log_searches([search])
        world.path.rename(world.path.with_name(f"{number}-{world.path.name}"))
    with closing(open_otlp_files({"path": world.path.parent})) as source:
        texts, cursor = read_texts(source)
        assert len(texts) == 300
        assert len(cursor) <= MAX_CURSOR_LENGTH
        assert read_texts(source, cursor)[0] == []
        world.path.touch()
        with pytest.raises(SourceError, match="301 files"):
            source.describe()


def test_a_cursor_by_the_names_of_files_has_them_read_again(world):
    world.log_searches(make_searches(3, days_ago=1))
    with closing(world.open()) as source:
        texts, cursor = read_texts(source, json.dumps({"read": {world.path.name: 10}}))
        assert len(texts) == 3
        assert read_texts(source, cursor)[0] == []


def test_a_folder_is_read_file_by_file(tmp_path):
    for index, name in enumerate(WRITERS):
        OtlpFileWorld(tmp_path / name).log_searches(make_searches(2, days_ago=1, first=2 * index))
    (tmp_path / "notes.txt").write_text("no trace")
    with closing(open_otlp_files({"path": tmp_path})) as source:
        assert len(select_searches(list_rows(source.read_pages()))) == 4


def test_what_is_no_trace_is_named(tmp_path):
    path = tmp_path / "traces.jsonl"
    path.write_text('{"resourceSpans": [{"scopeSpans": [{"spans": [{}]}]}]}\n')
    with (
        closing(open_otlp_files({"path": path})) as source,
        pytest.raises(SourceError, match="traceId"),
    ):
        list(source.read_pages())


def test_an_expression_that_is_none_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="JMESPath"):
        open_otlp_files({"path": tmp_path, "point": "metadata."})


def test_the_messages_are_those_of_the_protocol(tmp_path):
    # What our helper writes is what protobuf's own JSON says, but for the ids, which OTLP has in
    # hexadecimal.
    request = build_request(make_searches(1, days_ago=1))
    theirs, ours = MessageToDict(request), convert_to_json(request)
    for span in ours["resourceSpans"][0]["scopeSpans"][0]["spans"]:
        assert len(span["traceId"]) == 32
    for message in (theirs, ours):
        for span in message["resourceSpans"][0]["scopeSpans"][0]["spans"]:
            for name in ("traceId", "spanId", "parentSpanId"):
                span.pop(name, None)
    assert ours == theirs
