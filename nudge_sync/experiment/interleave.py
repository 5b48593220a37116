"""One list made of two arms' lists: team draft.

Radlinski, Kurup and Joachims, "How Does Clickthrough Data Reflect Retrieval Quality?", CIKM 2008.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nudge_sync.connector import PointId
from nudge_sync.feedback.schema.exposure import Team


@dataclass(frozen=True, slots=True)
class InterleavedList:
    """A list, and for each of its results whose choice it is."""

    ids: list[PointId]
    teams: list[Team]


def draft_teams(
    control: Sequence[PointId], treatment: Sequence[PointId], k: int, coins: Iterator[bool]
) -> InterleavedList:
    """Return `k` results in which each arm chose as often as the other, as nearly as k allows.

    In each round a coin says which arm chooses first: its best result that is not in the list yet;
    then the other one chooses. While both would choose the same, it goes to both teams and costs
    neither a turn: such a result says nothing about which arm is better. A rank belongs to either
    team equally often, so clicks that go by the rank alone favour none.
    """
    drafted = InterleavedList([], [])
    chosen: set[PointId] = set()

    def choose(team: Team, id_: PointId | None) -> None:
        if id_ is not None and len(drafted.ids) < k:
            chosen.add(id_)
            drafted.ids.append(id_)
            drafted.teams.append(team)

    while len(drafted.ids) < k:
        best_control, best_treatment = _find_best(control, chosen), _find_best(treatment, chosen)
        if best_control is None and best_treatment is None:
            break
        if best_control == best_treatment:
            choose("both", best_control)
        elif next(coins):
            choose("control", best_control)
            choose("treatment", _find_best(treatment, chosen))
        else:
            choose("treatment", best_treatment)
            choose("control", _find_best(control, chosen))
    return drafted


def _find_best(ranking: Sequence[PointId], chosen: set[PointId]) -> PointId | None:
    return next((id_ for id_ in ranking if id_ not in chosen), None)
