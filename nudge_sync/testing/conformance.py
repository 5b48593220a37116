"""The conformance kit: what a connector has to pass.

    class TestCollection(CollectionConformance):
        @pytest.fixture
        def engine(self, tmp_path):
            database = connect("mine", {"path": str(tmp_path)})
            yield Engine(database, backdoor=RawClient(...), reopen=...)

    class TestRecords(RecordsConformance): ...with the same fixture

The `Backdoor` is the database's own client: it fills the collections and looks at what became of
them, so that the code under test never checks itself. Needs pytest.
"""

import pytest

# So that a failing assert of the kit shows its values.
pytest.register_assert_rewrite(
    "nudge_sync.testing.collections",
    "nudge_sync.testing.records.copies",
    "nudge_sync.testing.records.dimensions",
    "nudge_sync.testing.records.keeping",
    "nudge_sync.testing.records.sizes",
)

from nudge_sync.testing.collections import CollectionConformance  # noqa: E402
from nudge_sync.testing.engine import Backdoor, Case, Engine, prepared  # noqa: E402
from nudge_sync.testing.records.keeping import RecordsConformance  # noqa: E402

__all__ = [
    "Backdoor",
    "Case",
    "CollectionConformance",
    "Engine",
    "RecordsConformance",
    "prepared",
]
