"""No secret shows in an output, message, log, metric, record or plan file, whatever fails."""

from __future__ import annotations

import base64
import json
import socket
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.request import urlopen

import pytest
from click.testing import Result
from typer.testing import CliRunner

from nudge_sync.cli.app import app
from nudge_sync.store import retry
from tests.support.workspace import Workspace, make_workspace

PLANTED = {
    "QDRANT_API_KEY": "planted-qdrant-7f3a",
    "MILVUS_TOKEN": "root:planted-milvus-9c1d",
    "NUDGE_SYNC_TOKEN": "planted-serve-5e2b",
}
PASSWORD = "planted-url-3d4e"
SPELLINGS = [*PLANTED.values(), "planted", PASSWORD]
SPELLINGS += [base64.b64encode(value.encode()).decode() for value in PLANTED.values()]
VERBS = [
    ["check"],
    ["feedback", "stats"],
    ["plan"],
    ["apply", "--yes"],
    ["rollback", "--yes"],
    ["resume"],
    ["log"],
    ["show", "1"],
    ["verify"],
    ["verify", "--drill"],
    ["unlock"],
    ["unlock", "--force"],
    ["gc"],
    ["explain", "1"],
]


@pytest.fixture(autouse=True)
def planted(monkeypatch):
    for name, value in PLANTED.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(retry, "DELAYS", ())


@pytest.fixture(scope="module")
def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def write_config(folder: Path, database: str, more: str = "") -> Path:
    path = folder / "nudge-sync.toml"
    path.write_text(f"[database]\n{database}\n[collections.docs]\n{more}\n", encoding="utf-8")
    return path


def run(config: Path, *words: str, **variables: str) -> Result:
    given = {"NUDGE_SYNC_CONFIG": str(config), **variables}
    return CliRunner().invoke(app, list(words), env=given)


def assert_clean(*texts: str) -> None:
    for text in texts:
        for spelling in SPELLINGS:
            assert spelling not in text, text[:2000]


def collect_output(done: Result) -> str:
    shown = "".join(traceback.format_exception(*done.exc_info)) if done.exc_info else ""
    return done.output + done.stderr + shown


SERVERS = {
    "qdrant": 'connector = "qdrant"\nurl = "http://127.0.0.1:{port}"\ntimeout = 1',
    "qdrant-grpc": 'connector = "qdrant"\nurl = "http://127.0.0.1:{port}"\nprefer_grpc = true\n'
    "grpc_port = {port}\ntimeout = 1",
    "milvus": 'connector = "milvus"\nuri = "http://127.0.0.1:{port}"\ntimeout = 1.0',
}


@pytest.mark.parametrize(
    ("server", "words"),
    [
        *(("qdrant", words) for words in VERBS),
        *(("milvus", words) for words in VERBS[::2]),
        *(("qdrant-grpc", words) for words in VERBS[:1]),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_no_verb_tells_when_the_database_does_not_answer(tmp_path, closed_port, server, words):
    config = write_config(tmp_path, SERVERS[server].format(port=closed_port))
    for extra, variables in ((["--json"], {}), ([], {"NUDGE_SYNC_DEBUG": "1"})):
        done = run(config, *words, *extra, **variables)
        assert done.exit_code == 1, done.output
        assert_clean(collect_output(done))


ADDRESSES = [
    'connector = "qdrant"\nurl = "https://user:{secret}@127.0.0.1:1"',
    'connector = "qdrant"\nurl = "https://{secret}@127.0.0.1"',
    'connector = "qdrant"\nurl = "http://127.0.0.1:1?api_key={secret}"',
    'connector = "qdrant"\nurl = "http://127.0.0.1#{secret}"',
    'connector = "milvus"\nuri = "http://root:{secret}@127.0.0.1:1"',
    'connector = "milvus"\nuri = "https://root:{secret}@127.0.0.1/x.db"',
    'connector = "milvus"\nuri = "http://127.0.0.1:1?token={secret}"',
]
TABLES = [
    'connector = "qdrant"\nurl = "http://127.0.0.1:1"\napi_key = "{secret}"',
    'connector = "qdrant"\nurl = "http://127.0.0.1:1"\napikey = "{secret}"',
    'connector = "qdrant"\nurl = "http://127.0.0.1:1"\ntoken = "{secret}"',
    'connector = "qdrant"\nurl = "http://127.0.0.1:1"\npassword = ["{secret}"]',
    'connector = "milvus"\nuri = "http://127.0.0.1:1"\ntoken = "{secret}"',
    'connector = "milvus"\nuri = "http://127.0.0.1:1"\npassword = "{secret}"',
    'connector = "milvus"\nuri = "http://127.0.0.1:1"\nuser = "{secret}"',
]


@pytest.mark.parametrize("database", [*ADDRESSES, *TABLES], ids=range(len(ADDRESSES + TABLES)))
def test_a_secret_in_the_file_is_refused_and_the_variable_named(tmp_path, database):
    config = write_config(tmp_path, database.format(secret=PASSWORD))
    assert_clean(collect_output(run(config, "check", NUDGE_SYNC_DEBUG="1")))
    done = run(config, "apply", "--yes")
    assert_clean(collect_output(done))
    assert done.exit_code == 2
    assert ("QDRANT_API_KEY" in done.stderr) or ("MILVUS_TOKEN" in done.stderr)


@pytest.mark.parametrize("key", ["api_key_env", "api_key_file"])
def test_the_secret_itself_instead_of_where_it_is(tmp_path, monkeypatch, key):
    monkeypatch.delenv("QDRANT_API_KEY")
    database = f'connector = "qdrant"\nurl = "http://127.0.0.1:1"\n{key} = "{PASSWORD} x!"'
    done = run(write_config(tmp_path, database), "check")
    assert done.exit_code == 2
    assert_clean(collect_output(done))


@pytest.mark.parametrize(
    "section", ['[serve]\ntoken = "{}"', '[solver]\nmethod = "{}"', '[schedule]\nevery = "{}"']
)
def test_no_other_section_repeats_a_value(tmp_path, section):
    config = write_config(
        tmp_path, 'connector = "qdrant-edge"\npath = "x"', section.format(PASSWORD)
    )
    done = run(config, "check")
    assert done.exit_code == 2
    assert_clean(collect_output(done))


@contextmanager
def start_reflecting_server(status: int) -> Iterator[tuple[int, list[str]]]:
    """Yield the port of a server that repeats every header, as a careless proxy does, and the keys
    it was sent.
    """
    keys: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            keys.append(self.headers.get("api-key", ""))
            body = json.dumps({"status": {"error": f"refused: {self.headers}"}}).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815 - the library's way

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1], keys
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
def test_a_server_that_throws_the_key_back_does_not_get_it_shown(tmp_path, status):
    with start_reflecting_server(status) as (port, keys):
        config = write_config(tmp_path, f'connector = "qdrant"\nurl = "http://127.0.0.1:{port}"')
        for words in (["check"], ["plan", "--json"], ["feedback", "stats"]):
            done = run(config, *words)
            assert done.exit_code == 1
            assert_clean(done.output, done.stderr)
    assert keys
    assert set(keys) == {PLANTED["QDRANT_API_KEY"]}


def test_a_key_from_a_file_is_sent_and_not_shown(tmp_path, monkeypatch):
    monkeypatch.delenv("QDRANT_API_KEY")
    file = tmp_path / "key"
    file.write_text(f"{PASSWORD}\n", encoding="utf-8")
    with start_reflecting_server(401) as (port, keys):
        config = write_config(
            tmp_path,
            f'connector = "qdrant"\nurl = "http://127.0.0.1:{port}"\n'
            f"api_key_file = {json.dumps(str(file))}",
        )
        file.chmod(0o644)
        refused = run(config, "check")
        assert (refused.exit_code, keys) == (2, [])
        assert "chmod 600" in refused.stderr
        file.chmod(0o600)
        done = run(config, "check")
        assert done.exit_code == 1
        assert set(keys) == {PASSWORD}
        assert_clean(collect_output(refused), done.output, done.stderr)


def test_a_token_from_a_file_that_others_can_read_is_refused(tmp_path, monkeypatch):
    monkeypatch.delenv("MILVUS_TOKEN")
    file = tmp_path / "token"
    file.write_text(f"root:{PASSWORD}\n", encoding="utf-8")
    file.chmod(0o640)
    name = json.dumps(str(file))
    database = f'connector = "milvus"\nuri = "http://127.0.0.1:1"\ntoken_file = {name}'
    done = run(write_config(tmp_path, database), "check")
    assert (done.exit_code, "mode 0640" in done.stderr) == (2, True)
    assert_clean(collect_output(done))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Workspace:
    return make_workspace(tmp_path_factory.mktemp("secrets") / "shop")


def test_a_whole_round_leaves_no_secret_anywhere(workspace: Workspace, tmp_path):
    plan = tmp_path / "plan.jsonl"
    rounds = (
        ["feedback", "import", str(workspace.feedback_path)],
        ["check"],
        ["plan", "--out", str(plan)],
        ["apply", "--yes", "--plan", str(plan)],
        ["log"],
        ["show", "1"],
        ["explain", "1"],
        ["verify", "--drill"],
        ["rollback", "--yes"],
        ["gc"],
        ["unlock", "--force"],
    )
    for words in rounds:
        for extra in (["--json"], []):
            done = run(workspace.config_path, *words, *extra)
            assert done.exit_code == 0, done.output
            assert_clean(collect_output(done))
            if words[0] in {"apply", "rollback", "gc"}:
                break
    assert_clean(plan.read_text(encoding="utf-8"))
    for path in workspace.folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            assert [s for s in SPELLINGS if s.encode() in content] == [], path


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_daemon_tells_nobody(tmp_path, closed_port, form):
    workspace = Workspace(tmp_path, None)
    address = SERVERS["qdrant"].format(port=closed_port)
    write_config(tmp_path, address, '[schedule]\nevery = "1d"')
    child = workspace.start_process(
        "serve", "--port", "0", "--log-format", form, "--now", NUDGE_SYNC_DEBUG="1", **PLANTED
    )
    try:
        said = next(line for line in child.stderr if "listening" in line)
        port = json.loads(said)["port"] if form == "json" else said.rpartition("port=")[2].strip()
        ready = urlopen(f"http://127.0.0.1:{port}/healthz").read().decode()
        child.terminate()
        output, log = child.communicate(timeout=60)
    finally:
        child.kill()
        child.wait()
    assert ready == "ok\n"
    assert "does not answer" in log
    assert_clean(output, log, said)
