"""`feedback pull` from servers that are asked over APIs of their own: what arrives."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from nudge_sync.testing.source_conformance import LoggedOpinion, LoggedSearch
from tests.support.sources.langfuse.world import LangfuseWorld, start_langfuse
from tests.support.sources.langsmith.world import LangsmithWorld, start_langsmith
from tests.support.sources.ubi_world import UbiWorld
from tests.support.workspace import Workspace, make_workspace

DAY = 86_400.0


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Workspace:
    monkeypatch.setenv("LANGFUSE_SECRET_KEY", "sk")
    monkeypatch.setenv("LANGSMITH_API_KEY", "ls")
    workspace = make_workspace(tmp_path / "shop")
    (workspace.folder / "shop_embed.py").write_text(
        f"import numpy as np\nqueries = np.load({str(tmp_path / 'queries.npy')!r})\n"
        "def embed(texts):\n    return queries[[int(text.split()[1]) for text in texts]]\n"
    )
    np.save(tmp_path / "queries.npy", workspace.data.queries)
    monkeypatch.syspath_prepend(workspace.folder)
    return workspace


@contextmanager
def start_world(kind: str, request) -> Iterator[Any]:
    match kind:
        case "langfuse":
            with start_langfuse() as product:
                yield LangfuseWorld(*product)
        case "langsmith":
            with start_langsmith() as product:
                yield LangsmithWorld(*product)
        case "ubi":
            yield UbiWorld(request.getfixturevalue("opensearch_url"), embed="shop_embed:embed")


def write_table(kind: str, section: Mapping[str, str]) -> str:
    lines = [f'{name} = "{value}"' for name, value in {"source": kind, **section}.items()]
    return "[[feedback.sources]]\n" + "\n".join(lines) + "\n"


def make_searches(workspace: Workspace, days_ago: float, rows: range) -> list[LoggedSearch]:
    start = time.time() - days_ago * DAY - 60
    answers = workspace.data.answers
    return [
        LoggedSearch(
            text=f"question {row}",
            vector=tuple(map(float, workspace.data.queries[row])),
            shown=(str(answers[row]), str((answers[row] + 1) % 400)),
            time=start + row / 100,
            session=f"s{row}",
            client=f"c{row}",
        )
        for row in rows
    ]


def get_counts(result: Mapping[str, int]) -> list[int]:
    new = result["accepted"] - result["unchanged"]
    return [new, result["rejected"], result["without_search"]]


@pytest.mark.parametrize("kind", ["langfuse", "langsmith", "ubi"])
def test_what_is_logged_arrives_once(kind, workspace, request):
    old = make_searches(workspace, 3, range(120))
    new = make_searches(workspace, 0, range(120, 125))
    with start_world(kind, request) as world:
        workspace.write_config(write_table(kind, world.section))
        world.log_searches(old)
        world.log_opinions([LoggedOpinion(search, search.shown[0], 1.0) for search in old[:100]])
        first = workspace.run("feedback", "pull", kind)
        assert get_counts(first) == [220, 0, 0]
        assert first["model"]["matches"] is True
        assert get_counts(workspace.run("feedback", "pull", kind)) == [0, 0, 0]
        # Searches of now, and an opinion on one of three days ago.
        world.log_searches(new)
        late = old[110]
        world.log_opinions([LoggedOpinion(late, late.shown[1], 0.0)])
        assert get_counts(workspace.run("feedback", "pull", kind)) == [6, 0, 0]
    stats = workspace.run("feedback", "stats")
    assert (stats["searches"], stats["events"]) == (125, 101)
