"""`nudge-sync mcp` as an agent meets it: the SDK's own client, over stdin and stdout."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from mcp import Client, StdioServerParameters

from tests.support.command_line import invoke
from tests.support.sample_collection import JUDGED_POINTS
from tests.support.workspace import Workspace, make_workspace

READING = {"check", "plan", "explain", "verify", "log"}
WRITING = {"apply", "rollback", "hold"}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Workspace:
    workspace = make_workspace(tmp_path_factory.mktemp("shop"))
    workspace.run("feedback", "import", str(workspace.feedback_path))
    return workspace


def talk(
    workspace: Workspace,
    story: Callable[[Client], Awaitable[None]],
    *words: str,
    **variables: str,
) -> None:
    """Start the server as an agent's host does, and let `story` ask it."""
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "nudge_sync", "mcp", *words],
        env={**os.environ, "NUDGE_SYNC_CONFIG": str(workspace.config_path), **variables},
    )

    async def ask() -> None:
        async with Client(server) as client:
            await story(client)

    asyncio.run(ask())


async def call(client: Client, tool: str, **arguments: Any) -> Any:
    """Return the result of a tool that has to succeed."""
    answer = await client.call_tool(tool, arguments)
    assert not answer.is_error, answer.content
    return answer.structured_content["result"]


async def fail(client: Client, tool: str, **arguments: Any) -> str:
    """Return what a tool says that has to fail."""
    answer = await client.call_tool(tool, arguments)
    assert answer.is_error, answer
    return str(answer.content[0].text)


async def make_plan(client: Client) -> str:
    """Return the name of a new plan."""
    answer = await client.call_tool("plan", {"collection": "docs"})
    return str(answer.structured_content["plan"])


def test_an_agent_reads_what_the_verbs_print_and_writes_nothing(workspace: Workspace):
    async def story(client: Client) -> None:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert tools.keys() == READING
        assert all(tool.annotations.read_only_hint for tool in tools.values())
        assert all(tool.description for tool in tools.values())
        assert (await call(client, "check"))["ok"]
        plan = await call(client, "plan", collection="docs")
        assert (plan["gate"]["passed"], plan["moved"]) == (True, JUDGED_POINTS)
        assert (await call(client, "explain", point="0"))["point"] == 0
        assert (await call(client, "verify"))["as_written"] == 0
        assert await call(client, "log") == []
        assert "nothing was written" not in await fail(client, "apply", collection="docs")
        for tool in READING:
            point = {"point": "0"} if tool == "explain" else {}
            await call(client, tool, collection="docs", **point)
            said = await fail(client, tool, collection="", **point)
            assert "no collection ''" in said, tool
        assert "ConfigError" in await fail(client, "plan", collection="--help")
        assert "InputError" in await fail(client, "explain", point="--json")

    before = workspace.read_vectors()
    talk(workspace, story)
    assert (workspace.read_vectors() == before).all()
    assert workspace.run("log") == []


def test_a_write_needs_the_option_and_a_confirmation(workspace: Workspace):
    async def story(client: Client) -> None:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert tools.keys() == READING | WRITING
        assert all(tools[name].annotations.destructive_hint for name in WRITING)
        plan = await make_plan(client)
        for confirm in ("", "yes", "other"):
            refused = await fail(client, "apply", collection="docs", plan=plan, confirm=confirm)
            assert "nothing was written" in refused
        assert await call(client, "log") == []
        confirmed = {"collection": "docs", "plan": plan, "confirm": "docs"}
        applied = await call(client, "apply", **confirmed)
        assert applied["written"] == JUDGED_POINTS
        assert "StalePlan" in await fail(client, "apply", **confirmed)
        undo = {"collection": "docs", "confirm": "docs", "reason": "--yes; worse"}
        assert "InputError" in await fail(client, "rollback", revision=7, **undo)
        undone = await call(client, "rollback", revision=1, **undo)
        assert undone["restored"] == JUDGED_POINTS
        again = await fail(client, "rollback", revision=1, **undo)
        assert "the collection holds the originals by now" in again
        held = await call(client, "hold", collection="docs", confirm="docs", reason="look first")
        assert held["hold"]["by"] == "mcp"
        confirmed["plan"] = await make_plan(client)
        assert "OnHold" in await fail(client, "apply", **confirmed)

    before = workspace.read_vectors()
    talk(workspace, story, "--allow-writes")
    assert (workspace.read_vectors() == before).all()
    assert len(workspace.run("log")) == 2


def test_what_is_applied_is_a_plan_that_was_shown(workspace: Workspace):
    async def story(client: Client) -> None:
        plans = [await make_plan(client) for _ in range(9)]
        assert len(set(plans)) == 9
        gone, last = plans[0], plans[-1]
        for plan in ("", gone, last.upper(), f"../{last}", "/etc/passwd"):
            said = await fail(client, "apply", collection="docs", plan=plan, confirm="docs")
            assert "nothing was written: plan has to be" in said, plan

    before = workspace.read_vectors()
    talk(workspace, story, "--allow-writes")
    assert (workspace.read_vectors() == before).all()


@pytest.mark.parametrize("variables", [{}, {"NUDGE_SYNC_COLLECTION": "docs"}])
def test_a_write_names_its_collection(workspace: Workspace, variables):
    async def story(client: Client) -> None:
        for tool in WRITING:
            more = {"plan": "0"} if tool == "apply" else {"reason": "whatever"}
            more |= {"revision": 1} if tool == "rollback" else {}
            said = await fail(client, tool, collection="", confirm="", **more)
            assert "nothing was written: collection has to be" in said, tool

    def read_state() -> tuple[bytes, list[dict[str, Any]], Any]:
        hold = workspace.run("check")["collections"]["docs"]["hold"]
        return workspace.read_vectors().tobytes(), workspace.run("log"), hold

    before = read_state()
    talk(workspace, story, "--allow-writes", **variables)
    assert read_state() == before


def test_a_configuration_that_is_wrong_ends_it_at_once(tmp_path):
    done = invoke("mcp", "--config", str(tmp_path / "nothing.toml"))
    assert (done.exit_code, "no such file" in done.stderr) == (2, True)
