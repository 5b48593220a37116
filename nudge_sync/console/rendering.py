"""Pages from templates. Everything that a template prints is escaped; nothing is marked as safe."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from typing import Any

import jinja2
from fastapi import Request
from fastapi.responses import HTMLResponse

from nudge_sync.base.text.percent import (
    format_exact_percent,
    format_number,
    format_percent,
    format_points,
    space_percent,
)
from nudge_sync.connector import PointId
from nudge_sync.console import charts
from nudge_sync.console.context import get_console
from nudge_sync.console.guards import PROOF_FIELD, find_visitor
from nudge_sync.console.titles import PointTitle

UNKNOWN = "\N{EN DASH}"
"""What stands in the place of a figure that is not known."""
MAX_SHOWN_LENGTH = 300
"""Characters of a text from elsewhere that are shown."""
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_SUBSTITUTE = "\N{REPLACEMENT CHARACTER}"
_BIDI_CONTROLS = [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]
_UNSHOWABLE: Mapping[int, str] = {
    # Control characters do nothing on a page; marks of direction could turn round what follows.
    **dict.fromkeys([*range(0x20), *range(0x7F, 0xA0)], " "),
    **dict.fromkeys(_BIDI_CONTROLS, _SUBSTITUTE),
}


def render_page(
    request: Request, template: str, *, status: int = 200, **values: Any
) -> HTMLResponse:
    """Return the page that `template` makes of `values`."""
    console = get_console(request)
    visitor = find_visitor(request, console)
    text = (
        get_environment()
        .get_template(template)
        .render(
            visitor=visitor,
            proof=console.access.prove(visitor) if visitor else "",
            proof_field=PROOF_FIELD,
            collections=list(console.config.collections),
            path=request.url.path,
            charts=charts,
            **{"collection": None, "section": "", "job": None, "titles": {}, **values},
        )
    )
    # A text from elsewhere may hold half a surrogate pair.
    return HTMLResponse(text.encode("utf-8", "replace"), status)


@cache
def get_environment() -> jinja2.Environment:
    """Return the environment of all templates."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("nudge_sync.console", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": format_count,
        "plain": format_plain,
        "score": format_score,
        "change": format_change,
        "signed": format_signed,
        "share": format_share,
        "set_share": format_set_share,
        "degrees": format_degrees,
        "moment": format_moment,
        "ago": format_ago,
        "until": format_until,
    }
    environment.globals |= {
        "name_point": name_point,
        "subtract": subtract,
        "version": version("nudge-sync"),
    }
    return environment


def name_point(point: PointId, titles: Mapping[PointId, PointTitle]) -> str:
    """Return what a point is called: its title, or its id."""
    title = titles.get(point)
    return format_plain(title.text if title and title.text else point)


def subtract(value: float | None, other: float | None) -> float | None:
    """Return `value` - `other`; None where one of the two is not known."""
    return None if value is None or other is None else value - other


def format_plain(value: Any, length: int = MAX_SHOWN_LENGTH) -> str:
    """Return a text from elsewhere as one short line without control characters."""
    text = str(value).translate(_UNSHOWABLE)
    return text if len(text) <= length else f"{text[:length]}…"


def format_count(value: int | None) -> str:
    """Return a number of things; a dash where it is not known."""
    return UNKNOWN if value is None else f"{value:,}"


def format_score(value: float | None) -> str:
    """Return a metric's value between 0 and 1; a dash where it is not known."""
    return UNKNOWN if value is None else f"{value:.3f}"


def format_change(value: float | None) -> str:
    """Return a difference of a metric in points of 100, with its sign; a dash if not known."""
    if value is None:
        return UNKNOWN
    text = format_points(value, 1)
    # A true minus sign is as wide as a plus.
    return "0.0" if text == "+0.0" else text.replace("-", "\N{MINUS SIGN}")


def format_signed(value: float) -> str:
    """Return a number with three decimals, or one digit where it is too small, with its sign."""
    return format_number(value, 3, "+")


def format_share(share: float, decimals: int = 0) -> str:
    """Return a measured share of 0 to 1 in percent, as pages write it."""
    return space_percent(format_percent(share, decimals))


def format_set_share(share: float) -> str:
    """Return a share that somebody has set in percent, as pages write it."""
    return space_percent(format_exact_percent(share))


def format_degrees(value: float | None) -> str:
    """Return an angle, given in radians, in degrees; a dash where it is not known."""
    return UNKNOWN if value is None else f"{value * 57.29577951308232:.1f}°"


def format_moment(milliseconds: int | None) -> str:
    """Return a time in milliseconds since 1970 as people read it; a dash where there is none."""
    if not milliseconds:
        return UNKNOWN
    try:
        moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return UNKNOWN
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def format_ago(milliseconds: int | None) -> str:
    """Return how long ago a time, in milliseconds since 1970, was; "" where there is none."""
    if not milliseconds:
        return ""
    seconds = time.time() - milliseconds / 1000
    return "just now" if seconds < _MINUTE else f"{_format_span(seconds)} ago"


def format_until(seconds: float | None) -> str:
    """Return how long it is until a time in seconds since 1970; "" where there is none."""
    if seconds is None:
        return ""
    left = seconds - time.time()
    return "now" if left < _MINUTE else f"in {_format_span(left)}"


def _format_span(seconds: float) -> str:
    for size, unit in ((_DAY, "day"), (_HOUR, "hour"), (_MINUTE, "minute")):
        if seconds >= size:
            number = int(seconds // size)
            return f"{number} {unit}{'s' if number > 1 else ''}"
    return "less than a minute"
