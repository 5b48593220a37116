"""The conformance kit of feedback sources: what each has to pass.

    class TestMine(SourceConformance):
        @pytest.fixture
        def world(self):
            return MineWorld(...)

A `SourceWorld` fills the product through its own client. Needs pytest.
"""

import pytest

# So that a failing assert of the kit shows its values.
pytest.register_assert_rewrite("nudge_sync.testing.sources")

from nudge_sync.testing.source_world import LoggedOpinion, LoggedSearch, SourceWorld  # noqa: E402
from nudge_sync.testing.sources import SourceConformance  # noqa: E402

__all__ = ["LoggedOpinion", "LoggedSearch", "SourceConformance", "SourceWorld"]
