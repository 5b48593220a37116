"""An endpoint of OpenAI's protocol that is busy, refuses, or answers nonsense."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from nudge_sync.errors import ConfigError, InputError, SourceUnreachable
from nudge_sync.feedback.embedding.embedder import Embedder
from nudge_sync.feedback.embedding.providers import open_embedder
from nudge_sync.settings.embed import EMBED_KEY_VARIABLE, EmbedSettings
from tests.support.canned_server import Answers, start_server

KEY = "sk-secret-of-the-endpoint"


class Endpoint(Answers):
    """Embeds a text as its length; answers `failures` first, and refuses texts with "long"."""

    failures: ClassVar[list[tuple[int, dict[str, str]]]] = []
    keys: ClassVar[list[str]] = []
    nonsense: ClassVar[Any] = None

    def answer(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.seen.append((self.path, body["model"], body["input"]))
        self.keys.append(self.headers.get("Authorization") or "")
        if self.failures:
            status, headers = self.failures.pop(0)
            return self.send(status, {"error": {"message": f"not with {KEY}"}}, headers)
        if self.nonsense is not None:
            return self.send(200, self.nonsense)
        if any("long" in text for text in body["input"]):
            return self.send(400, {"error": {"message": "too many tokens"}})
        rows = [
            {"index": index, "embedding": [float(len(text)), 1.0]}
            for index, text in enumerate(body["input"])
        ]
        return self.send(200, {"data": rows[::-1]})

    def send(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(text)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text)

    do_POST = answer  # noqa: N815


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv(EMBED_KEY_VARIABLE, KEY)
    with start_server(type("OwnEndpoint", (Endpoint,), {"failures": [], "keys": []})) as server:
        yield server


def open_at(endpoint: Any, **options: Any) -> Embedder:
    url = endpoint.section["url"]
    return open_embedder(EmbedSettings(provider="openai", model="m", url=url, **options))


def test_texts_go_in_batches_with_the_key_and_come_back_in_order(endpoint):
    vectors = open_at(endpoint, batch_size=2).embed(["a", "bb", "ccc", "a"])
    assert [vectors[text].tolist() for text in ("a", "bb", "ccc")] == [[1, 1], [2, 1], [3, 1]]
    assert endpoint.seen == [("/embeddings", "m", ["a", "bb"]), ("/embeddings", "m", ["ccc"])]
    assert endpoint.keys == [f"Bearer {KEY}"] * 2


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_endpoint_is_asked_again(endpoint, status):
    endpoint.failures[:] = [(status, {"Retry-After": "1"}), (status, {})]
    assert open_at(endpoint).embed(["a"])["a"].tolist() == [1, 1]
    assert len(endpoint.seen) == 3


def test_an_endpoint_that_stays_busy_is_given_up(endpoint, monkeypatch):
    monkeypatch.setattr("nudge_sync.feedback.embedding.endpoint._MAX_WAIT_SECONDS", 1.0)
    endpoint.failures[:] = [(429, {})] * 9
    with pytest.raises(SourceUnreachable, match="does not answer: status 429") as error:
        open_at(endpoint).embed(["a"])
    assert KEY not in str(error.value)
    assert 1 < len(endpoint.seen) < 9


@pytest.mark.parametrize(
    ("asked", "wait"), [("3600", "3600"), ("Wed, 21 Oct 2099 07:28:00 GMT", r"\d{10}")]
)
def test_an_endpoint_that_asks_for_too_long_a_wait_is_given_up_at_once(endpoint, asked, wait):
    endpoint.failures[:] = [(429, {"Retry-After": asked})] * 9
    with pytest.raises(SourceUnreachable, match=f"would wait for {wait} more"):
        open_at(endpoint).embed(["a"])
    assert len(endpoint.seen) == 1


def test_nobody_there(monkeypatch):
    monkeypatch.setattr("nudge_sync.feedback.embedding.endpoint._MAX_WAIT_SECONDS", 0.0)
    settings = EmbedSettings(provider="openai", model="m", url="http://127.0.0.1:9")
    with pytest.raises(SourceUnreachable, match=r"127\.0\.0\.1:9 does not answer"):
        open_embedder(settings).embed(["a"])


def test_a_text_that_the_model_does_not_take_is_left_alone(endpoint):
    embedder = open_at(endpoint)
    vectors = embedder.embed(["a", "bb", "a long text", "ccc"])
    assert sorted(vectors) == ["a", "bb", "ccc"]
    assert list(embedder.refusals) == ["a long text"]
    assert "too many tokens" in embedder.refusals["a long text"]


def test_a_request_that_is_wrong_altogether_is_no_fault_of_a_text(endpoint):
    endpoint.failures[:] = [(400, {})] * 9
    with pytest.raises(InputError, match="answered 400"):
        open_at(endpoint).embed(["a", "b"])


@pytest.mark.parametrize("status", [401, 403, 404])
def test_no_answer_repeats_the_key(endpoint, status):
    endpoint.failures[:] = [(status, {})]
    with pytest.raises(InputError, match=f"answered {status}") as error:
        open_at(endpoint).embed(["a"])
    assert KEY not in str(error.value)
    assert KEY not in repr(error.value.__cause__)


@pytest.mark.parametrize("body", [[], {"data": [{"index": 0}]}, {"data": []}])
def test_what_is_no_embedding(endpoint, body):
    endpoint.nonsense = body
    with pytest.raises(InputError, match=r"no embeddings|0 vectors for 1 texts"):
        open_at(endpoint).embed(["a"])


def test_no_more_texts_than_allowed(endpoint):
    embedder = open_at(endpoint, max_texts=3)
    assert sorted(embedder.embed(["a", "bb"])) == ["a", "bb"]
    assert not embedder.is_spent
    assert sorted(embedder.embed(["ccc", "dddd"])) == ["a", "bb", "ccc"]
    assert embedder.is_spent
    assert embedder.describe_limit().startswith("3 texts were embedded by openai:m#")


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"url": "http://user:pw@host/v1"}, "leave credentials"),
        ({"url": "host/v1"}, "begins with http"),
        ({"api_key": KEY}, f"environment variable {EMBED_KEY_VARIABLE}"),
    ],
)
def test_secrets_and_addresses(table, message):
    with pytest.raises((ConfigError, ValueError), match=message) as error:
        EmbedSettings.model_validate({"provider": "openai", "model": "m", **table})
    assert KEY not in str(error.value)


def test_what_makes_another_model():
    names = {
        EmbedSettings(provider="openai", model="m", **options).identity
        for options in ({}, {"url": "http://x/v1"}, {"prefix": "query: "}, {"dimensions": 2})
    }
    assert len(names) == 4
    assert "openai:m" in names
