"""Errors in a table of settings name the key, and the nearest known one."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError

from nudge_sync.connector.settings import Section, validate_settings
from nudge_sync.errors import ConfigError


class Inner(Section):
    threads: Annotated[int, Field(ge=0)] = 0


class Table(Section):
    url: str = ""
    kind: Literal["a", "b"] = "a"
    inner: Inner = Inner()
    either: Inner | None = None


class Elsewhere(Section):
    keep_log: int = 0


def test_a_table_becomes_its_model():
    table = validate_settings(Table, {"url": "x", "inner": {"threads": 2}}, "database")
    assert (table.url, table.inner.threads) == ("x", 2)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ur": "x"}, "database.ur: unknown key; did you mean 'url'?"),
        ({"zzzz": 1}, "database.zzzz: unknown key"),
        ({"inner": {"treads": 1}}, "database.inner.treads: unknown key; did you mean 'threads'?"),
        ({"either": {"treads": 1}}, "did you mean 'threads'?"),
        ({"kepe_log": 1}, "did you mean 'write.keep_log'?"),
        ({"inner": {"threads": -1}}, "database.inner.threads: "),
        ({"kind": "c"}, "database.kind: "),
    ],
)
def test_what_is_wrong_is_named(values, message):
    with pytest.raises(ConfigError) as caught:
        validate_settings(Table, values, "database", [("write", Elsewhere)])
    assert message in str(caught.value)


def test_every_error_is_told_and_no_value_repeated():
    with pytest.raises(ConfigError) as caught:
        validate_settings(Table, {"kind": "hunter2", "url": 7}, "database")
    assert "database.kind" in str(caught.value)
    assert "database.url" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_section_does_not_change_and_holds_finite_numbers():
    class Numbers(Section):
        share: float = 0.0

    with pytest.raises(ValidationError):
        Numbers().share = 1.0
    with pytest.raises(ConfigError, match="share"):
        validate_settings(Numbers, {"share": float("nan")}, "")
