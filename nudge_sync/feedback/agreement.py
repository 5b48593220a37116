"""How far what models judge agrees with what people say, on the same search and point.

Models' judgements are stored under actions of their own and weigh nothing unless the settings say
so; this tells what they are worth.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from typing import Any, TypeAlias

from nudge_sync.connector import PointId, Record
from nudge_sync.feedback.log.columns import LABEL_ACTIONS
from nudge_sync.feedback.log.validation import RecordValidator
from nudge_sync.source import MACHINE_PREFIX

MACHINE_LABEL = f"{MACHINE_PREFIX}relevant"
"""What a model judged of a point on a search."""
_Pair: TypeAlias = tuple[str, type, PointId]
_Verdicts: TypeAlias = dict[_Pair, tuple[float, bool]]
"""Pair of a search and a point -> when it was last judged, and whether it was found not relevant:
of equally late ones that is the greater, and counts, as in the judgements."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """On how many pairs of a search and a point both judged, and how."""

    both_relevant: int
    only_machine: int
    """Relevant by the model alone."""
    only_people: int
    """Relevant by people alone."""
    neither: int

    @property
    def pairs(self) -> int:
        """How many pairs both judged."""
        return self.both_relevant + self.only_machine + self.only_people + self.neither

    @property
    def kappa(self) -> float | None:
        """Cohen's kappa (Educational and Psychological Measurement 20, 1960), 0 where they agree no
        more than chance has it, 1 where always; None where either says the same of every pair.
        """
        machine_relevant = self.both_relevant + self.only_machine
        people_relevant = self.both_relevant + self.only_people
        if {machine_relevant, people_relevant} & {0, self.pairs}:
            return None
        observed = (self.both_relevant + self.neither) / self.pairs
        chance = (
            machine_relevant * people_relevant
            + (self.pairs - machine_relevant) * (self.pairs - people_relevant)
        ) / self.pairs**2
        return (observed - chance) / (1 - chance)

    def summary(self) -> dict[str, Any]:
        """Return the fields of `agreement` that `feedback stats --json` prints."""
        machine_relevant = self.both_relevant + self.only_machine
        machine_not_relevant = self.only_people + self.neither
        return {
            "pairs": self.pairs,
            "both_relevant": self.both_relevant,
            "only_machine": self.only_machine,
            "only_people": self.only_people,
            "neither": self.neither,
            "right_where_relevant": _divide(self.both_relevant, machine_relevant),
            "right_where_not": _divide(self.neither, machine_not_relevant),
            "kappa": self.kappa,
        }


def measure_agreement(batches: Iterable[list[Record]]) -> Agreement:
    """Compare the labels of people and of models in the records of events.

    Of several on one search and point the latest counts; a grade above 0 is relevant.
    """
    validator = RecordValidator()
    people: _Verdicts = {}
    machine: _Verdicts = {}
    for batch in batches:
        events = validator.validate_events(batch)
        for query_id, action, point, grade, moment in zip(
            events.query_id,
            events.action_name,
            events.object_id,
            events.grade,
            events.timestamp,
            strict=True,
        ):
            if action == MACHINE_LABEL or action in LABEL_ACTIONS:
                is_relevant = action != "not_relevant" and (grade is None or grade > 0)
                verdicts = machine if action == MACHINE_LABEL else people
                pair = (query_id, type(point), point)
                verdicts[pair] = max(verdicts.get(pair, (-inf, False)), (moment, not is_relevant))
    return _compare(people, machine)


def _compare(people: _Verdicts, machine: _Verdicts) -> Agreement:
    counts = dict.fromkeys(((True, True), (True, False), (False, True), (False, False)), 0)
    for pair in people.keys() & machine.keys():
        counts[not machine[pair][1], not people[pair][1]] += 1
    return Agreement(
        counts[True, True], counts[True, False], counts[False, True], counts[False, False]
    )


def _divide(part: int, whole: int) -> float | None:
    return part / whole if whole else None
