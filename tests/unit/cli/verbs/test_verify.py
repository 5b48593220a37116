"""`verify`: when a collection counts as clean."""

from __future__ import annotations

import pytest

from nudge_sync.cli.verbs.verify import _is_clean
from tests.support.workspace import Workspace


def test_an_untouched_collection_is_clean(untouched_workspace: Workspace):
    result = untouched_workspace.run("verify", "--drill")
    assert (result["clean"], result["points"], result["drill"]["ok"]) == (True, 0, True)


@pytest.mark.parametrize(
    ("summary", "expected"),
    [
        ({"clean": True}, True),
        ({"clean": False}, False),
        ({"clean": True, "drill": {"ok": True}}, True),
        ({"clean": True, "drill": {"ok": False}}, False),
        ({"collection": "docs", "error": "held"}, False),
    ],
)
def test_clean_is_what_verification_and_drill_both_say(summary, expected):
    assert _is_clean(summary) is expected
