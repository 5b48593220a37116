"""The list that one search gets: its arm, the arm's list, and how it is logged."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal
from uuid import UUID, uuid4

import numpy as np

from nudge_sync.base.debug import format_logged_error
from nudge_sync.connector import LARGEST_ANSWER, PointId
from nudge_sync.experiment.assign import is_chosen, toss_coins
from nudge_sync.experiment.interleave import InterleavedList, draft_teams
from nudge_sync.experiment.loading import LoadedExperiment
from nudge_sync.experiment.merge import Listed, Merged, merge_overlay
from nudge_sync.experiment.overlay import OverlayQuery
from nudge_sync.experiment.questions import Answer, AskAbout, LateAnswer, Question, SearchDeeper
from nudge_sync.experiment.ranked import ExposureLog, Fallback, Ranked, RankingTally
from nudge_sync.experiment.results import AppliedResults, read_id, read_results
from nudge_sync.feedback.schema.exposure import Arm, Exposure, Team

_REMEMBERED_DEPTHS = 256
_LOGGER = logging.getLogger("nudge_sync.experiment")


@dataclass(frozen=True, slots=True)
class Request:
    """One search of an application, with what it found."""

    query_vector: Any
    results: Sequence[Any]
    """Best first, as `list_results` makes it of what an application hands over."""
    k: int
    session: str = ""
    client: str = ""
    text: str = ""
    query_id: str = ""
    limit: int | None = None
    """How many results were asked for; fewer came only because there are no more."""
    is_filtered: bool = False
    """Whether the application's search had a filter."""
    can_ask: bool = False
    """Whether somebody answers `AskAbout`."""

    @property
    def others(self) -> Literal["admit", "ask", "leave"]:
        """What becomes of points that the results do not hold; see `merge_overlay`."""
        if self.can_ask:
            return "ask"
        return "leave" if self.is_filtered else "admit"


class TooShort(Exception):
    """The list vouches for too little, and nobody gave a longer one."""

    def __init__(self, wanted: int) -> None:
        super().__init__(wanted)
        self.wanted = wanted
        """How many results might be enough."""


class Ranker:
    """Ranks the searches of one process by the experiment that runs."""

    def __init__(self, log: ExposureLog | None) -> None:
        self._log = log
        self.tally = RankingTally()
        self._extra_depths: deque[int] = deque(maxlen=_REMEMBERED_DEPTHS)
        """Results beyond k that recent searches needed."""
        self._logged_errors: set[str] = set()

    def suggest_depth(
        self, loaded: LoadedExperiment | None, k: int, session: str, client: str
    ) -> int:
        """Return how many results to ask for so that the `k` best of the arm are mostly among them.

        k itself where the list is not changed; else as many as the last 256 such searches needed.
        """
        arm = self._assign_arm(loaded, session, client)
        if loaded is None or arm is None or arm == loaded.running.live_arm:
            return k
        return k + max(self._extra_depths, default=k)

    def rank(
        self, loaded: LoadedExperiment | None, request: Request
    ) -> Generator[Question, Answer, Ranked]:
        """Return the list to show, and log the search. Yields what has to be asked meanwhile.

        Raises nothing: whatever goes wrong, the list is the application's own.
        """
        arm = self._assign_arm(loaded, request.session, request.client)
        if loaded is None or arm is None or arm == loaded.running.live_arm:
            return self._finish(loaded, request, _Shown(list(request.results[: request.k])), arm)
        try:
            shown = yield from self._rank_arm(loaded, request, arm)
        except LateAnswer:
            shown = _fall_back(request, "deadline")
        except TooShort as error:
            shown = _fall_back(request, "depth", error.wanted)
        except Exception as error:  # noqa: BLE001 - a search never fails for an experiment
            self._report(error)
            shown = _fall_back(request, "error")
        return self._finish(loaded, request, shown, arm)

    def _assign_arm(
        self, loaded: LoadedExperiment | None, session: object, client: object
    ) -> Arm | None:
        """Return what `assign_arm` does, and None where it fails."""
        try:
            return assign_arm(loaded, session, client)
        except Exception as error:  # noqa: BLE001 - a search never fails for an experiment
            self._report(error)
            return None

    def _rank_arm(
        self, loaded: LoadedExperiment, request: Request, arm: Arm
    ) -> Generator[Question, Answer, _Shown]:
        metric = loaded.overlay.metric
        query_vector = np.asarray(request.query_vector, np.float32)
        query = loaded.overlay.query(query_vector)
        asked_for = request.k if request.limit is None else request.limit
        results, limit = request.results, asked_for
        brought_in: dict[PointId, Any] = {}
        while True:
            applied = read_results(results, metric, is_complete=len(results) < limit)
            merged = yield from _merge(loaded, query, request, applied.listed, brought_in)
            if merged.is_exact:
                break
            limit = merged.depth
            deeper = (yield SearchDeeper(limit)) if limit <= LARGEST_ANSWER else None
            if deeper is None:
                self._extra_depths.append(max(0, limit - request.k))
                raise TooShort(limit)
            results = list(deeper)
        self._extra_depths.append(max(0, merged.depth - request.k))
        shown = _build_list(loaded, request, arm, applied, merged)
        # What the application returned for a point may carry its payload.
        items = [_choose_item(item, brought_in) for item in shown.results]
        return replace(shown, results=items)

    def _finish(
        self, loaded: LoadedExperiment | None, request: Request, shown: _Shown, arm: Arm | None
    ) -> Ranked:
        """Return the list, counted and logged."""
        exposure = None
        try:
            ids = [read_id(item) for item in shown.results] if shown.ids is None else shown.ids
            if loaded is not None and arm is not None:
                moved = tuple(id_ in loaded.overlay for id_ in ids)
                exposure = Exposure(
                    loaded.running.experiment_id, arm, shown.teams, moved, shown.fallback
                )
        except Exception as error:  # noqa: BLE001 - a search never fails for an experiment
            self._report(error)
            ids, exposure = [], None
        ranked = Ranked(
            results=shown.results,
            ids=ids,
            query_id=self._log_search(request, ids, exposure),
            arm=exposure.arm if exposure is not None else "",
            experiment=exposure.experiment if exposure is not None else "",
            teams=shown.teams,
            fallback=shown.fallback,
            wanted=shown.wanted,
        )
        self.tally.add(ranked)
        return ranked

    def _log_search(self, request: Request, ids: list[PointId], exposure: Exposure | None) -> str:
        if self._log is None:
            return request.query_id or uuid4().hex
        return self._log.search(
            request.query_vector,
            ids,
            text=request.text,
            session=request.session,
            client=request.client,
            query_id=request.query_id,
            exposure=exposure,
        )

    def _report(self, error: Exception) -> None:
        kind = type(error).__name__
        self.tally.last_error = f"{kind}: {error}"
        if kind not in self._logged_errors:
            self._logged_errors.add(kind)
            summary = format_logged_error(error)
            _LOGGER.warning("a search keeps the collection's own list: %s", summary)


@dataclass(frozen=True, slots=True)
class _Shown:
    """What is shown."""

    results: list[Any]
    ids: list[PointId] | None = None
    teams: tuple[Team, ...] = ()
    fallback: Fallback = ""
    wanted: int = 0


def list_results(results: Any) -> list[Any]:
    """Return results as a list; also those of an iterator, and of qdrant-client's responses."""
    points = getattr(results, "points", results)
    return [] if points is None else list(points)


def assign_arm(loaded: LoadedExperiment | None, session: object, client: object) -> Arm | None:
    """Return the arm of a session or client; None where it takes no part.

    session, client: names or numbers, which count as the text that they are logged as.
    split: the chosen get the arm that the collection does not hold, all others the other one.
    interleave: the chosen get interleaved lists, and all others take no part.
    """
    if loaded is None:
        return None
    running = loaded.running
    unit = _name_unit(running.unit, session, client)
    if not unit:
        return None
    chosen = is_chosen(running.key, unit, running.share)
    if running.mode == "interleave":
        return "interleaved" if chosen else None
    if not chosen:
        return running.live_arm
    return "treatment" if running.live_arm == "control" else "control"


def _fall_back(request: Request, reason: Fallback, wanted: int = 0) -> _Shown:
    return _Shown(list(request.results[: request.k]), fallback=reason, wanted=wanted)


def _merge(
    loaded: LoadedExperiment,
    query: OverlayQuery,
    request: Request,
    listed: Listed,
    brought_in: dict[PointId, Any],
) -> Generator[Question, Answer, Merged]:
    """Merge, with the questions about points put as `AskAbout`; answers go into `brought_in`."""
    merging = merge_overlay(listed, loaded.overlay, query, request.k, request.others)
    try:
        ids = next(merging)
        while True:
            answer = yield AskAbout(ids)
            admitted = {read_id(item): item for item in answer or ()}
            brought_in |= admitted
            ids = merging.send(list(admitted))
    except StopIteration as stop:
        merged: Merged = stop.value
        return merged


def _build_list(
    loaded: LoadedExperiment,
    request: Request,
    arm: Arm,
    applied: AppliedResults,
    merged: Merged,
) -> _Shown:
    """Return the arm's list with the application's results, or that of both arms interleaved."""
    ids: Sequence[PointId] = merged.ids
    teams: Sequence[Team] = ()
    if arm == "interleaved":
        drafted = _interleave(loaded, request, applied.listed.ids[: request.k], merged.ids)
        ids, teams = drafted.ids, drafted.teams
    scores = dict(zip(merged.ids, merged.scores, strict=True))
    items = dict(zip(applied.listed.ids, applied.items, strict=True))
    results = [items[id_] if id_ in items else (id_, scores[id_]) for id_ in ids]
    return _Shown(results, list(ids), tuple(teams), "filter" if merged.left_out else "")


def _interleave(
    loaded: LoadedExperiment,
    request: Request,
    live_ids: Sequence[PointId],
    other_ids: Sequence[PointId],
) -> InterleavedList:
    running = loaded.running
    is_live_control = running.live_arm == "control"
    control, treatment = (live_ids, other_ids) if is_live_control else (other_ids, live_ids)
    unit = _name_unit(running.unit, request.session, request.client)
    query_vector = np.asarray(request.query_vector, np.float32)
    return draft_teams(control, treatment, request.k, toss_coins(running.key, unit, query_vector))


def _name_unit(unit: str, session: object, client: object) -> str:
    """Return the name of what is assigned to an arm; "" where it is not known."""
    name = client if unit == "client" else session
    return "" if name is None else str(name)


def _choose_item(item: Any, brought_in: Mapping[PointId, Any]) -> Any:
    """Return a result or, for a pair that stands for a point, what a callback returned for it."""
    if not isinstance(item, tuple):
        return item
    answer = brought_in.get(item[0])
    is_id = isinstance(answer, int | str | UUID | np.integer)
    return item if answer is None or is_id else answer
