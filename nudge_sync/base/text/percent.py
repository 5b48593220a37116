"""Shares and differences as people read them: short, but never rounded to what they are not."""

from __future__ import annotations

import math

_MAX_DECIMALS = 8
_SET_DECIMALS = 4
"""Decimals of a percentage that somebody has set."""
_SMALL_PERCENT = 1.0
"""Percent: a share nearer than this to none or all is shown more exactly."""
_MAX_RELATIVE_ERROR = 0.1
_LEAST_SHOWN = 5e-7
"""Figures are kept with six places: below, a number is shown by its magnitude alone, and a
difference is none."""


def format_percent(share: float, decimals: int = 0, limit: float | None = None) -> str:
    """Return a share of 0 to 1 that was measured, in percent, such as "12%".

    It has `decimals`, and more where it would read as none, as all, or as quite another small
    share. limit: a share that it stands beside and was compared with: it has as many decimals as
    it takes to see which one is larger.
    """
    for more in range(decimals, _MAX_DECIMALS):
        text = f"{100 * share:.{more}f}"
        if _is_close(100 * share, float(text)) and _keeps_order(share, float(text), limit):
            return f"{text}%"
    return f"{100 * share:.{_MAX_DECIMALS}f}%"


def format_exact_percent(share: float) -> str:
    """Return a share or a confidence that somebody has set, in percent, as they set it."""
    percent = round(100 * share, _SET_DECIMALS)
    is_rounded_away = percent in {0.0, 100.0} and share not in {0.0, 1.0}
    return format_percent(share) if is_rounded_away else f"{percent:.10g}%"


def space_percent(text: str) -> str:
    """Return "12 %" for "12%", as pages write it."""
    return text.replace("%", " %")


def format_number(value: float, decimals: int, sign: str = "") -> str:
    """Return a number with `decimals`, or with one digit where it is too small for them.

    sign: "+" to show it of numbers above zero, too.
    """
    magnitude = abs(value)
    if not math.isfinite(value) or magnitude == 0 or magnitude >= 0.5 * 10.0**-decimals:
        return f"{value:{sign}z.{decimals}f}"
    if magnitude < _LEAST_SHOWN:
        return f"{value:{sign}.0e}"
    return f"{value:{sign}.{math.ceil(-math.log10(magnitude))}f}"


def format_points(difference: float, decimals: int) -> str:
    """Return a difference of a metric, of -1 to 1, in points of 100, with its sign."""
    is_none = abs(difference) < _LEAST_SHOWN
    return format_number(0.0 if is_none else 100 * difference, decimals, "+")


def _is_close(percent: float, shown: float) -> bool:
    rest, shown_rest = min(percent, 100 - percent), min(shown, 100 - shown)
    if rest <= 0 or rest >= _SMALL_PERCENT:
        return True
    return abs(shown_rest - rest) <= _MAX_RELATIVE_ERROR * rest


def _keeps_order(share: float, shown: float, limit: float | None) -> bool:
    if limit is None or share == limit:
        return True
    shown_limit = round(100 * limit, _SET_DECIMALS)
    return shown > shown_limit if share > limit else shown < shown_limit
