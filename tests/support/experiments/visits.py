"""Sessions of an experiment, stored as an application would, that all prefer one arm."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from nudge_sync.feedback.schema.exposure import Exposure
from nudge_sync.feedback.schema.records import Event, Search, to_event_record, to_search_record
from nudge_sync.store.experiments.running import RunningExperiment
from nudge_sync.store.target import Target

Team: TypeAlias = Literal["treatment", "control"]


def log_sessions(
    target: Target,
    running: RunningExperiment,
    preferred: Team | None,
    *,
    after: float = 0.0,
    count: int = 80,
) -> None:
    """Store interleaved sessions, a second apart from `after` seconds past the start, who each
    click the one result that `preferred` chose; None: of each arm every other time.
    """
    started = running.started_at / 1000 + after
    dimension = target.facts.dimension
    for n in range(count):
        name, teams = f"{after} {n:03d}", ("treatment", "control")
        teams = teams[::-1] if n % 2 else teams
        vector = np.eye(dimension, dtype=np.float32)[n % dimension]
        exposure = Exposure(running.experiment_id, "interleaved", teams, (False, False))
        search = Search(
            name, vector, timestamp=started + n, shown=(1, 2), session_id=name, exposure=exposure
        )
        target.queries.put([to_search_record(search)])
        clicked = 1 + teams.index(preferred or ("treatment", "control")[n // 2 % 2])
        target.events.put([to_event_record(Event(name, "click", clicked, timestamp=started + n))])
