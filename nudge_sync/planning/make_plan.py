"""Feedback and vectors -> a plan: reads the collection by id and by search, writes nothing."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np

from nudge_sync.base.progress import Progress
from nudge_sync.config import CollectionSettings
from nudge_sync.connector import Float32
from nudge_sync.connector.vectors import angles, is_same_vector
from nudge_sync.errors import StalePlan
from nudge_sync.feedback.judgements import Judgements
from nudge_sync.planning.dataset import Dataset, build, concerned, points_in_play
from nudge_sync.planning.held_out import METRICS, Scores
from nudge_sync.planning.plan import Gate, Held, Plan, judge, rounded
from nudge_sync.planning.plan_file_schema import has_figures
from nudge_sync.solve.fit import fit
from nudge_sync.solve.problem import Choice, Similarity
from nudge_sync.solve.score import metric_values
from nudge_sync.store import checksum
from nudge_sync.store.erasure import Erasure
from nudge_sync.store.ledger import Ledger, Revision, head
from nudge_sync.store.provenance import Recognised, Standing
from nudge_sync.store.target import Target
from nudge_sync.store.verify import unsettled


def make_plan(
    target: Target,
    settings: CollectionSettings,
    judgements: Judgements,
    ledger: Ledger,
    progress: Progress,
    *,
    removed: Erasure,
) -> Plan:
    """What a cycle would write now, what it gains, and whether it may.

    removed: where that is pending, nothing of what is live may stay for its own sake.
    Where nothing that a plan depends on changed since the head revision, and every point holds
    what that revision says, the plan is that revision again, with nothing to write: an index that
    answers a little differently after each write cannot make a collection wander.
    """
    points = points_in_play(target, judgements, progress, ledger)
    # After the points: without the lease, what a cycle writes meanwhile is known to be ours.
    entries = ledger.entries()
    current = head(entries)
    feedback = _feedback_digest(judgements, removed)
    rows = concerned(target, judgements, points)
    inputs = _inputs(settings, feedback, points.only(rows))
    origin = {**_origin(target, settings, feedback, points), "head": current}
    for entry in entries:
        is_head = entry.number == current and entry.details.get("inputs") == inputs
        is_head = is_head and has_figures(entry.details.get("plan", {}))
        if is_head and not unsettled(target, points, entries, current):
            return _unchanged(points, entry, origin)
    dataset = build(
        target, judgements, points, rows=rows, exact=settings.solver.exact, progress=progress
    )
    progress("solve", 0, 1)
    choice = _solve(target, settings, dataset)
    progress("solve", 1, 1)
    origin["inputs"] = inputs
    afresh = removed.pending
    return _planned(
        target, settings, points, dataset, choice, origin=origin, entries=entries, afresh=afresh
    )


def refuse_stale(
    target: Target,
    settings: CollectionSettings,
    judgements: Judgements,
    ledger: Ledger,
    plan: Plan,
    *,
    removed: Erasure,
) -> None:
    """Raise StalePlan, naming what changed, unless the plan still fits."""
    now = {
        "collection": target.facts.collection,
        "revision": head(ledger.entries()),
        "feedback": _feedback_digest(judgements, removed),
        "settings": _settings_digest(settings),
    }
    then = {
        "collection": plan.collection,
        "revision": plan.head,
        "feedback": plan.feedback,
        "settings": plan.settings,
    }
    changed = [name for name in now if now[name] != then[name]]
    if changed:
        raise StalePlan(f"since the plan was made changed: {', '.join(changed)}; plan again")


def _solve(target: Target, settings: CollectionSettings, dataset: Dataset) -> Choice:
    return fit(
        dataset.points.originals,
        dataset.choosing,
        dataset.part,
        method=settings.solver.method,
        metric=settings.solver.metric,
        similarity=_similarity(target),
        angle=settings.solver.angle,
        max_angle=settings.solver.max_angle,
        weights=dataset.weights,
        threads=settings.solver.threads,
    )


def _planned(
    target: Target,
    settings: CollectionSettings,
    points: Recognised,
    dataset: Dataset,
    choice: Choice,
    *,
    origin: dict[str, Any],
    entries: list[Revision],
    afresh: bool,
) -> Plan:
    metric, similarity = settings.solver.metric, _similarity(target)
    live, originals, after = (
        _scores(vectors, dataset, similarity)
        for vectors in (dataset.points.live, dataset.points.originals, choice.vectors)
    )
    base = originals if afresh else live
    held = Held(originals[metric], base[metric], after[metric], dataset.bystanders)
    wanted = points.originals.copy()
    wanted[dataset.rows] = choice.vectors
    rows = _differing(target, wanted, points)
    gate = judge(
        held,
        settings.gate,
        wished=settings.solver.method == "nothing",
        method=choice.method,
        moved=len(rows),
        points=target.facts.points,
    )
    if not gate.passed:
        fallback = dataset.points.originals if afresh else _fallback(dataset, held)
        wanted[dataset.rows] = fallback
        rows = _differing(target, wanted, points)
        after = _scores(fallback, dataset, similarity)
    rows = _with_unsettled(target, points, rows, entries)
    apart = angles(wanted[rows], points.originals[rows])
    return Plan(
        **origin,
        metric=metric,
        method=choice.method,
        parameters=choice.parameters,
        scores=rounded(choice.scores),
        reasons=choice.reasons,
        judged=int(dataset.judged.sum()),
        queries={"choosing": len(dataset.choosing), "held": len(dataset.held), **dataset.left_out},
        before=rounded(_means(live)),
        after=rounded(_means(after)),
        originals=rounded(_means(originals)),
        found=dataset.found,
        gate=gate,
        ids=[points.ids[row] for row in rows],
        vectors=wanted[rows],
        live=checksum.of_vectors(points.live[rows]),
        held=points.live[rows],
        angles=[round(float(angle), 6) for angle in apart],
    )


def _unchanged(points: Recognised, entry: Revision, origin: dict[str, Any]) -> Plan:
    kept = entry.details["plan"]
    gate = {**kept["gate"], "interval": tuple(kept["gate"]["interval"])}
    return Plan(
        **origin,
        inputs=entry.details["inputs"],
        metric=kept["metric"],
        method=kept["method"],
        parameters=kept["parameters"],
        scores=kept["scores"],
        reasons=[f"nothing changed since revision {entry.number}", *kept["reasons"]],
        judged=kept["judged"],
        queries=kept["queries"],
        before=kept["after"],
        after=kept["after"],
        originals=kept["originals"],
        found=kept["found"],
        gate=Gate(**gate),
        ids=[],
        vectors=points.live[:0],
        live=[],
        angles=[],
    )


def _origin(
    target: Target, settings: CollectionSettings, feedback: str, points: Recognised
) -> dict[str, Any]:
    return {
        "collection": target.facts.collection,
        "feedback": feedback,
        "settings": _settings_digest(settings),
        "drifted": [points.ids[row] for row in points.where(Standing.DRIFTED)],
        "missing": points.missing,
    }


def _differing(target: Target, wanted: Float32, points: Recognised) -> list[int]:
    unchanged = is_same_vector(wanted, points.live, rescales=target.facts.rescales)
    return [int(row) for row in np.flatnonzero(~unchanged)]


def _with_unsettled(
    target: Target, points: Recognised, rows: list[int], entries: list[Revision]
) -> list[int]:
    """The same rows, and those that hold what they shall although the head says otherwise.

    A point that the application put back, say: unless this revision notes it, going back to this
    revision would bring the vector of an older one.
    """
    if not rows:
        return rows
    return sorted({*rows, *unsettled(target, points, entries, head(entries))})


def _fallback(dataset: Dataset, held: Held) -> Float32:
    """What the rows in play shall hold when the gate refuses.

    What they hold now, except that points which lost their feedback go back to their originals;
    and all of them do where what is live has come to be worse than the originals.
    """
    points = dataset.points
    if len(held.live) and float(np.mean(held.live - held.originals)) < 0:
        return points.originals
    return np.where(dataset.judged[:, None], points.live, points.originals)


def _similarity(target: Target) -> Similarity:
    # On Euclid collections only unit-length vectors are taken: nearest is most similar.
    return "dot" if target.facts.metric == "dot" else "cosine"


def _scores(vectors: Float32, dataset: Dataset, similarity: Similarity) -> Scores:
    """Every metric of the held-out queries if the points in play held `vectors`."""
    return {
        name: metric_values(vectors, dataset.held, name, similarity=similarity) for name in METRICS
    }


def _means(values: Scores) -> dict[str, float]:
    return {name: float(np.mean(found)) if len(found) else 0.0 for name, found in values.items()}


def _inputs(settings: CollectionSettings, feedback: str, points: Recognised) -> str:
    """A digest of everything that decides where the points go, but for the index's answers."""
    return checksum.of_document(
        [
            version("nudge-sync"),
            _settings_digest(settings),
            feedback,
            points.ids,
            checksum.of_bytes(points.originals.tobytes()),
        ]
    )


def _feedback_digest(judgements: Judgements, removed: Erasure) -> str:
    """Also of how often feedback was removed: a plan from before that no longer fits."""
    said = judgements.expected_gains
    arrays = (
        judgements.query_vectors,
        judgements.query_rows,
        judgements.weights,
        said.query_rows,
        said.gains,
    )
    ids = checksum.of_document([judgements.query_ids, judgements.point_ids, said.point_ids])
    return checksum.of_document(
        [ids, removed.asked, *(checksum.of_bytes(array.tobytes()) for array in arrays)]
    )


def _settings_digest(settings: CollectionSettings) -> str:
    relevant = settings.model_dump(mode="json", include={"solver", "gate", "feedback", "vector"})
    return checksum.of_document(relevant)
