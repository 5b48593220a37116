"""The console of a running daemon in a real browser."""

from __future__ import annotations

import re
import signal

from tests.support.console.browser_visit import Visit
from tests.support.console.console_site import ACTION_TOKEN
from tests.support.timeouts import TIMEOUT_SECONDS
from tests.support.workspace import make_workspace


def test_a_plan_is_applied_and_taken_back_beside_the_cycles(chromium, tmp_path):
    workspace = make_workspace(tmp_path / "shop")
    workspace.run("feedback", "import", str(workspace.feedback_path))
    workspace.write_config(
        '[serve]\nport = 0\nconsole_port = 0\nfeedback_port = 0\n[schedule]\nevery = "1h"'
    )
    process = workspace.start_process("serve", NUDGE_SYNC_CONSOLE_ACTION_TOKEN=ACTION_TOKEN)
    try:
        lines = iter(process.stderr.readline, "")
        port = next(
            found[1] for line in lines if (found := re.search(r"console .*port=(\d+)", line))
        )
        visit = Visit(chromium, f"http://127.0.0.1:{port}")
        visit.sign_in()
        visit.open("/c/docs/plan")
        visit.page.get_by_role("button", name="Compute a plan").click()
        visit.wait()
        visit.page.get_by_role("link", name="Apply …").click()
        visit.page.get_by_role("button", name="Write").click()
        visit.page.wait_for_selector("text=Done")
        assert [entry["state"] for entry in workspace.run("log")] == ["applied"]
        visit.open("/c/docs/revisions")
        visit.page.get_by_role("link", name="Back to the originals").click()
        visit.page.get_by_role("button", name="Write back").click()
        visit.page.wait_for_selector("text=Done")
        visit.open("/c/docs/feedback")
        assert visit.page.get_by_text("What came in since the daemon started").count() == 1
        assert visit.find_faults() == []
        assert visit.complaints == []
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=TIMEOUT_SECONDS)
    assert process.returncode == 0
    actions = workspace.run("log", "--actions")
    assert [(line["action"], line["by"]) for line in actions] == [
        ("apply", "Anna"),
        ("rollback", "Anna"),
    ]
