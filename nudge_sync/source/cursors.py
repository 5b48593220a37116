"""Cursors of sources as text: a JSON object with the fields that the source gave it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from nudge_sync.errors import InputError


def format_cursor(state: Mapping[str, Any]) -> str:
    """Return a cursor that holds `state`, which JSON can hold."""
    return json.dumps(state, sort_keys=True, separators=(",", ":"))


def parse_cursor(cursor: str, beginning: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `format_cursor` put into a cursor, or `beginning` for "".

    Raises InputError unless the fields are those of `beginning`, of the same types.
    """
    if not cursor:
        return dict(beginning)
    try:
        state = json.loads(cursor)
    except ValueError:
        state = None
    if not isinstance(state, dict) or state.keys() != beginning.keys():
        raise InputError("a cursor that this source did not give out")
    for name, value in beginning.items():
        if type(state[name]) is not type(value):
            raise InputError(f"a cursor that this source did not give out: {name}")
    return state
