"""Progress that nobody wants to hear of."""

from __future__ import annotations

from nudge_sync.base.progress import Progress, ignore_progress


def test_a_caller_that_wants_none_is_told_nothing(capsys):
    progress: Progress = ignore_progress
    for done in range(3):
        progress("read", done, 0)
    assert capsys.readouterr() == ("", "")
