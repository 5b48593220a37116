"""A console over a sample collection, called in this process or on a real socket."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from fastapi.testclient import TestClient
from httpx import Response

from nudge_sync.config import Config
from nudge_sync.console.access import Access
from nudge_sync.console.app import create_console_app
from nudge_sync.console.context import Console
from nudge_sync.console.guards import PROOF_FIELD
from nudge_sync.console.opener import DatabaseOpener
from nudge_sync.serve.feedback_server import serve_feedback_api
from tests.support.sample_collection import SampleCollection
from tests.support.timeouts import TIMEOUT_SECONDS

READ_TOKEN, ACTION_TOKEN = "a token that only reads", "a token that also acts"
COLLECTION_SETTINGS: dict[str, Any] = {
    "solver": {"method": "nudge-n"},
    "gate": {"min_queries": 20},
    "write": {"batch_size": 16},
    "console": {"title": "title", "link": "link"},
}


def build_config(serve: dict[str, Any] | None = None, embed: str | None = None) -> Config:
    feedback = {"feedback": {"embed": embed}} if embed else {}
    return Config.model_validate(
        {
            "database": {"connector": "memory", "patience": "1s"},
            "collections": {"docs": {**COLLECTION_SETTINGS, **feedback}},
            "serve": serve or {},
        }
    )


@dataclass
class ConsoleSite:
    """A console, and browsers that are signed in to it."""

    console: Console

    def browse(self, token: str = "", name: str = "") -> TestClient:
        """Return a browser; with a token it is signed in."""
        client = TestClient(
            create_console_app(self.console),
            base_url="http://localhost",
            follow_redirects=False,
            headers={"Accept": "text/html"},
        )
        if token:
            answer = client.post("/login", data={"token": token, "name": name})
            assert answer.status_code == 303, answer.text
        return client

    def wait_for_jobs(self) -> None:
        """Return when nothing is under way any more."""
        end = time.monotonic() + TIMEOUT_SECONDS
        while not all(job.is_finished for job in self.console.jobs.list_jobs()):
            assert time.monotonic() < end
            time.sleep(0.02)

    def compute_plan(self, client: TestClient) -> None:
        """Let the console compute a plan of "docs", as the button does."""
        answer = post_form(client, "/c/docs/plan", find_proof(client.get("/c/docs/plan")))
        assert answer.status_code == 303, answer.text
        self.wait_for_jobs()


@contextmanager
def open_console(
    sample: SampleCollection, serve: dict[str, Any] | None = None
) -> Iterator[ConsoleSite]:
    """Open a console over the sample collection; its work ends at the end."""
    opener = DatabaseOpener(build_config(serve), sample.reopen)
    console = Console(opener, Access(READ_TOKEN, ACTION_TOKEN))
    try:
        yield ConsoleSite(console)
    finally:
        console.jobs.close()
        opener.close()


@contextmanager
def serve_site(site: ConsoleSite) -> Iterator[str]:
    """Serve the console on a real socket, and give its address."""
    with serve_feedback_api("127.0.0.1", 0, create_console_app(site.console)) as port:
        yield f"http://127.0.0.1:{port}"


def find_proof(page: Response) -> str:
    """Return the proof that the forms of a page carry."""
    [proof, *_] = re.findall(rf'name="{PROOF_FIELD}" value="([0-9a-f]+)"', page.text)
    return proof


def find_confirmed(question: Response) -> str:
    """Return what a page asks about, as its form says it; "" where it asks about nothing."""
    return "".join(re.findall(r'name="confirmed" value="([^"]*)"', question.text))


def post_form(client: TestClient, path: str, proof: str, **fields: str) -> Response:
    return client.post(path, data={PROOF_FIELD: proof, **fields})


def apply_plan(site: ConsoleSite, client: TestClient) -> Response:
    """Compute a plan and apply it, as a person does."""
    site.compute_plan(client)
    question = client.get("/c/docs/do/apply")
    [confirmed] = re.findall(r'name="confirmed" value="(\w+)"', question.text)
    answer = post_form(client, "/c/docs/do/apply", find_proof(question), confirmed=confirmed)
    assert answer.status_code == 303, answer.text
    site.wait_for_jobs()
    return client.get(answer.headers["location"])


def roll_back(site: ConsoleSite, client: TestClient, to: str = "") -> Response:
    """Roll back with a reason, as a person does."""
    question = client.get(f"/c/docs/do/rollback?to={to}")
    [confirmed] = re.findall(r'name="confirmed" value="(\w*)"', question.text)
    fields = {"to": to, "confirmed": confirmed, "reason": "it looks wrong"}
    answer = post_form(client, "/c/docs/do/rollback", find_proof(question), **fields)
    assert answer.status_code == 303, answer.text
    site.wait_for_jobs()
    return client.get(answer.headers["location"])


def do_confirmed(site: ConsoleSite, client: TestClient, action: str, **fields: str) -> str:
    """Do what a page asked about, as a person does who says yes."""
    question = client.get(f"/c/docs/do/{action}")
    confirmed = find_confirmed(question)
    proof = find_proof(question)
    answer = post_form(client, f"/c/docs/do/{action}", proof, confirmed=confirmed, **fields)
    assert answer.status_code == 303, answer.text
    site.wait_for_jobs()
    return client.get(answer.headers["location"]).text
