"""What a key of a Qdrant server may not do, found out by requests that a server refuses."""

from __future__ import annotations

import pytest

pytest.importorskip("qdrant_client")

from nudge_sync.connector import GuardedDatabase, connect
from nudge_sync.errors import DatabaseError
from tests.support.canned_server import Answers, start_server

COMPANIONS = ["docs__nudge_originals", "docs__nudge_history", "docs__nudge_revisions"]
DONE = {"operation_id": 1, "status": "completed"}


class Guarded(Answers):
    """A server whose key may do everything, unless it is said otherwise."""

    collections = frozenset({"docs", *COMPANIONS})
    unreadable: frozenset[str] = frozenset()
    read_only: frozenset[str] = frozenset()
    may_create = True
    failure: tuple[int, str] | None = None
    """What updates are answered with whatever the key may do."""

    def answer(self):
        self.status, result = self.choose_answer()
        is_good = self.status == 200
        status = "ok" if is_good else {"error": result}
        self.body = {"result": result if is_good else None, "status": status, "time": 0.0}
        super().answer()

    def choose_answer(self):
        name = self.path.split("/")[2].partition("?")[0]
        if name in self.unreadable:
            return 403, f"Forbidden: Collection {name} is not accessible"
        if self.path.endswith("/exists"):
            return 200, {"exists": name in self.collections}
        if "/points/payload/delete" in self.path:
            return self.update(name)
        assert self.command == "PATCH", self.path
        if self.may_create:
            return 404, f"Not found: Collection `{name}` doesn't exist!"
        return 403, "Forbidden: Global manage access is required"

    def update(self, name):
        if name in self.read_only:
            return 403, f"Forbidden: Write access to {name} is required"
        return self.failure or (200, DONE)

    do_GET = do_POST = do_PUT = do_PATCH = answer  # noqa: N815


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("QDRANT_API_KEY", "s3cr3t-k3y")
    with start_server(Guarded) as handler:
        yield handler


def ask(server):
    database = connect("qdrant", server.section)
    assert isinstance(database, GuardedDatabase)
    missing = database.missing_rights("docs", COMPANIONS)
    database.close()
    return missing


def test_a_key_that_may_do_everything_lacks_nothing(server):
    assert ask(server) == []
    asked = [path for path, _, _ in server.seen if "/payload/delete" in path]
    assert len(asked) == 1 + len(COMPANIONS)


def test_a_key_that_may_not_write_somewhere(server):
    server.read_only = frozenset({"docs"})
    assert ask(server) == ['the key may read "docs" but not write to it']


def test_a_key_that_may_not_read_somewhere(server):
    server.unreadable = frozenset(COMPANIONS[:2])
    assert ask(server) == [f'the key may not read "{name}"' for name in COMPANIONS[:2]]


def test_companions_that_are_not_there_want_a_key_that_may_make_them(server):
    server.collections = frozenset({"docs", COMPANIONS[0]})
    assert ask(server) == []
    server.may_create = False
    [sentence] = ask(server)
    assert sentence == (
        f'"{COMPANIONS[1]}", "{COMPANIONS[2]}" not there yet, and the key may not make collections'
    )


def test_a_key_that_may_make_none_needs_not_where_all_are_there(server):
    server.may_create = False
    assert ask(server) == []


def test_a_node_that_is_down_is_no_question_of_rights(server):
    server.failure = (503, "Service unavailable")
    assert ask(server) == []


def test_a_server_that_cannot_say_is_an_error(server):
    server.failure = (500, "Service internal error: disk is full")
    with pytest.raises(DatabaseError, match="disk is full"):
        ask(server)


def test_without_a_key_nothing_is_asked(server, monkeypatch):
    monkeypatch.delenv("QDRANT_API_KEY")
    server.read_only = frozenset({"docs"})
    assert ask(server) == []
    assert server.seen == []
