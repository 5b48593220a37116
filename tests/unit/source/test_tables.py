"""What the tables of sources refuse."""

from __future__ import annotations

import pytest

from nudge_sync.errors import ConfigError
from nudge_sync.source import open_feedback_source

VARIABLES = {
    "langfuse": "LANGFUSE_SECRET_KEY",
    "langsmith": "LANGSMITH_API_KEY",
    "ubi": "OPENSEARCH_PASSWORD",
}


@pytest.mark.parametrize(("kind", "variable"), VARIABLES.items())
@pytest.mark.parametrize(
    "table", [{"password": "hush"}, {"secret_key": "hush"}, {"url": "https://me:hush@localhost"}]
)
def test_a_secret_in_the_file_is_refused_and_not_repeated(kind, variable, table):
    with pytest.raises(ConfigError) as caught:
        open_feedback_source(kind, table)
    assert variable in str(caught.value)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "table", "said"),
    [
        ("langfuse", {"score": ["thumb"]}, "did you mean 'scores'"),
        ("langfuse", {"score_point": "metadata."}, "no JMESPath expression"),
        ("langfuse", {"labels": {"good": "yes"}}, "feedback.sources.labels.good"),
        ("langsmith", {"lookback_days": -1}, "feedback.sources.lookback_days"),
        ("langsmith", {"history_days": 0}, "feedback.sources.history_days"),
        ("ubi", {"index": "ubi_queries"}, "feedback.sources.index: unknown key"),
    ],
)
def test_a_wrong_key_or_value_is_named(kind, table, said):
    with pytest.raises(ConfigError) as caught:
        open_feedback_source(kind, table)
    assert said in str(caught.value)
