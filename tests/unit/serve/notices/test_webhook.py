"""The webhook, against a server that answers as it is told, and the specification's own library."""

from __future__ import annotations

import base64
import json
import threading
import time
from contextlib import contextmanager

import pytest
from standardwebhooks import Webhook as OtherWebhook

from nudge_sync.errors import ConfigError
from nudge_sync.serve.notices.webhook import Notification, Webhook, parse_secret
from tests.support.canned_server import Answers, start_server

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
NOTIFICATION = Notification(
    "cycle.applied", "docs", 'nudge-sync, docs: applied "ü"', {"revision": 3}
)


class Receiver(Answers):
    """Answers with each of `codes` in turn, then with the last, and keeps what was posted."""

    codes = (204,)

    def answer(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append((dict(self.headers), body))
        self.send_response(self.codes[min(len(self.seen), len(self.codes)) - 1])
        self.send_header("Location", "/elsewhere")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = answer  # noqa: N815


@contextmanager
def receive(*codes):
    with start_server(type("Handler", (Receiver,), {"codes": codes or (204,)})) as handler:
        yield handler


def wait_until(reached):
    end = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.01)


def deliver(handler, *events, secret=SECRET, count=None):
    with Webhook(handler.section["url"], secret, delays=(0.01, 0.01)).run() as webhook:
        for event in events:
            webhook.send(event)
        wait_until(lambda: len(handler.seen) >= (count or len(events)))
    return handler.seen


def test_another_implementation_accepts_the_signature():
    with receive() as handler:
        headers, body = deliver(handler, NOTIFICATION)[0]
    document = OtherWebhook(SECRET).verify(body, {k.lower(): v for k, v in headers.items()})
    assert document == json.loads(body)
    assert (document["type"], document["collection"]) == ("cycle.applied", "docs")
    assert (document["text"], document["data"]) == (NOTIFICATION.text, {"revision": 3})


def test_without_a_secret_nothing_is_signed():
    with receive() as handler:
        headers, _ = deliver(handler, NOTIFICATION, secret="")[0]
    assert "webhook-signature" not in {name.lower() for name in headers}


def test_what_is_refused_is_tried_again_under_the_same_id_and_in_order():
    second = Notification("cycle.refused", "docs", "no gain")
    with receive(500, 429, 204) as handler:
        seen = deliver(handler, NOTIFICATION, second, count=4)
    types = [json.loads(body)["type"] for _, body in seen]
    assert types == ["cycle.applied"] * 3 + ["cycle.refused"]
    ids = [{k.lower(): v for k, v in headers.items()}["webhook-id"] for headers, _ in seen]
    assert len(set(ids[:3])) == 1
    assert ids[3] != ids[0]


def test_a_notification_is_given_up_after_its_last_attempt(caplog):
    with receive(503) as handler:
        assert len(deliver(handler, NOTIFICATION, count=3)) == 3
    assert "webhook not delivered" in caplog.text
    assert handler.section["url"] not in caplog.text


def test_what_json_cannot_say_is_replaced():
    data = {"share": float("nan"), "gain": {"low": [float("-inf"), 0.5]}, "id": "a\ud800b"}
    with receive() as handler:
        headers, body = deliver(handler, Notification("cycle.applied", "docs\ud800", "x", data))[0]
    OtherWebhook(SECRET).verify(body, {k.lower(): v for k, v in headers.items()})
    document = json.loads(body, parse_constant=pytest.fail)
    assert document["data"] == {"share": None, "gain": {"low": [None, 0.5]}, "id": "a?b"}


def test_one_that_cannot_be_said_at_all_is_given_up_and_later_ones_are_sent(caplog):
    strange = Notification("cycle.applied", "docs", "x", {"a": {("no", "name"): 1}})
    with receive() as handler:
        (_, body), *_ = deliver(handler, strange, NOTIFICATION, count=1)
    assert json.loads(body)["text"] == NOTIFICATION.text
    assert [record.details["reason"] for record in caplog.records] == ["TypeError"]


def test_redirects_are_not_followed(caplog):
    with receive(302) as handler:
        deliver(handler, NOTIFICATION, count=3)
        assert len(handler.seen) == 3
    assert caplog.records[-1].details["reason"] == "answered with 302"


def test_a_receiver_that_is_away_keeps_nobody_waiting(caplog):
    before = threading.active_count()
    with Webhook("http://127.0.0.1:9", delays=(300.0,)).run() as webhook:
        for number in range(300):
            webhook.send(Notification("cycle.applied", "docs", str(number)))
    wait_until(lambda: threading.active_count() <= before)
    reasons = [record.details["reason"] for record in caplog.records]
    assert "too many wait" in reasons


@pytest.mark.parametrize("url", ["ftp://example.org", "example.org", "https://", "file:///etc"])
def test_addresses_that_cannot_be_posted_to_are_refused(url):
    with pytest.raises(ConfigError, match="NUDGE_SYNC_WEBHOOK_URL"):
        Webhook(url)


def test_a_secret_that_is_not_base64_is_refused():
    assert parse_secret(SECRET) == parse_secret(SECRET.removeprefix("whsec_")) == b"k" * 32
    with pytest.raises(ConfigError, match="expected base64"):
        parse_secret("not a secret!")
