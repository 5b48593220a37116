"""Which name may have been meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_MAX_LISTED_NAMES = 10
_COMPANION_MARK = "__nudge_"
"""Stands in the names of the sidecar's own collections, which nobody means."""


def describe_near_names(name: str, names: Iterable[str]) -> str:
    """Return the end of a message about a name that does not exist: what is near, what there is."""
    known = sorted(each for each in names if _COMPANION_MARK not in each and each[:1] != ".")
    near = get_close_matches(name, known, n=1)
    more = ", ..." if len(known) > _MAX_LISTED_NAMES else ""
    meant = f"; did you mean {near[0]!r}?" if near else ""
    listed = f"; there are: {', '.join(known[:_MAX_LISTED_NAMES])}{more}"
    return f"{meant}{listed}" if known else "; there are none"
