"""The daemon as a real process, and what a client asks it over HTTP."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from subprocess import Popen
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from tests.support.timeouts import TIMEOUT_SECONDS
from tests.support.workspace import Workspace


@contextmanager
def start_daemon(
    workspace: Workspace, *words: str, **variables: str
) -> Iterator[tuple[Popen[str], str]]:
    """The daemon on a free port, and its address."""
    child = workspace.start_process(
        "serve", "--port", "0", "--log-format", "json", *words, **variables
    )
    try:
        said = next(line for line in child.stderr if '"listening"' in line)
        yield child, f"http://127.0.0.1:{json.loads(said)['port']}"
    finally:
        child.kill()
        child.communicate()


def stop_daemon(child: Popen[str], number: int = signal.SIGTERM) -> str:
    """Ask the daemon to end, and return the rest of its log."""
    child.send_signal(number)
    _, log = child.communicate(timeout=TIMEOUT_SECONDS)
    assert child.returncode == 0, log
    return log


def fetch_page(url: str, token: str = "") -> tuple[int, str]:
    """Return the status and the body of a page."""
    try:
        with urlopen(Request(url, headers={"Authorization": f"Bearer {token}"})) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()


def read_metric(url: str, name: str) -> float:
    """Return a sample of /metrics by its name and labels as they stand there; 0 for none."""
    found = re.search(rf"^{re.escape(name)} (\S+)$", fetch_page(f"{url}/metrics")[1], re.MULTILINE)
    return float(found[1]) if found else 0.0


def wait_until(reached: Callable[[], bool]) -> None:
    """Return once `reached` says yes; fail where it does not in time."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.1)
