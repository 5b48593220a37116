"""What an experiment did to one search: which arm answered it, and who chose each result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast, get_args

from nudge_sync.errors import InputError

Arm: TypeAlias = Literal["control", "treatment", "interleaved"]
"""Which list a search was assigned to: that of one of the two arms, or one made of both."""
Team: TypeAlias = Literal["control", "treatment", "both"]
"""Whose choice a result of an interleaved list is; both, where the two arms agreed on it."""

EXPERIMENT_FIELD = "experiment"
"""Field of a search's document by which the searches of one experiment are found."""
MAX_NAME_LENGTH = 200
"""Most characters of an experiment's id, and of a reason."""
_OPTIONAL_FIELDS = ("teams", "moved", "fallback")


@dataclass(frozen=True, slots=True)
class Exposure:
    """What a search that takes part in an experiment was exposed to.

    The arm is the one that the session or client was assigned to, also where `fallback` says that
    another list was shown: who compares arms by assignment counts every search.
    """

    experiment: str
    """The experiment's id, such as "canary:12"."""
    arm: Arm
    teams: tuple[Team, ...] = ()
    """For each shown id whose choice it is; empty unless the list is interleaved."""
    moved: tuple[bool, ...] = ()
    """For each shown id whether the arms hold different vectors of it; empty if not known."""
    fallback: str = ""
    """Why the list shown is not the arm's own: "deadline", "error", "depth" or "filter". Empty
    where it is."""


def to_exposure_fields(exposure: Exposure) -> dict[str, Any]:
    """Return the fields that an exposure adds to the document of a search, or to a row."""
    fields: dict[str, Any] = {EXPERIMENT_FIELD: exposure.experiment, "arm": exposure.arm}
    optional = {
        "teams": list(exposure.teams),
        "moved": list(exposure.moved),
        "fallback": exposure.fallback,
    }
    return fields | {name: value for name, value in optional.items() if value}


def parse_exposure(fields: Mapping[str, Any], shown_count: int) -> Exposure | None:
    """Return the exposure in the document of a search or in a row; None if it has none.

    shown_count: how many ids were shown; `teams` and `moved` hold one value for each of them, or
    none at all. Raises InputError for a field that is not what `to_exposure_fields` gives.
    """
    experiment, arm = fields.get(EXPERIMENT_FIELD), fields.get("arm")
    if experiment in (None, ""):
        if arm or any(fields.get(name) for name in _OPTIONAL_FIELDS):
            raise InputError("an arm, teams, moved or fallback needs an experiment")
        return None
    if arm not in get_args(Arm):
        raise InputError(f"arm: one of {', '.join(get_args(Arm))}")
    teams = _parse_list(fields, "teams", shown_count)
    if not all(type(team) is str and team in get_args(Team) for team in teams):
        raise InputError(f"teams: each one of {', '.join(get_args(Team))}")
    moved = _parse_list(fields, "moved", shown_count)
    if not all(type(flag) is bool for flag in moved):
        raise InputError("moved: each true or false")
    return Exposure(
        experiment=_parse_name(experiment, EXPERIMENT_FIELD),
        arm=cast(Arm, arm),
        teams=cast(tuple[Team, ...], teams),
        moved=moved,
        fallback=_parse_name(fields.get("fallback") or "", "fallback"),
    )


def _parse_list(fields: Mapping[str, Any], name: str, shown_count: int) -> tuple[Any, ...]:
    values = fields.get(name)
    if values is None or values == []:
        return ()
    if not isinstance(values, list | tuple) or len(values) != shown_count:
        raise InputError(f"{name}: a list with one value for each shown id")
    return tuple(values)


def _parse_name(value: Any, name: str) -> str:
    if not isinstance(value, str) or len(value) > MAX_NAME_LENGTH:
        raise InputError(f"{name}: a text of at most {MAX_NAME_LENGTH} characters")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InputError(f"{name}: text with half a surrogate pair") from None
    return value
