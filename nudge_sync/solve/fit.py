"""Arrays in, arrays out: where judged points should go. No I/O, no logging, no clock."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from nudge_sync import metrics
from nudge_sync.base.threads import limit_threads
from nudge_sync.errors import InputError
from nudge_sync.solve import choose
from nudge_sync.solve.problem import (
    PARTS,
    Choice,
    Float32,
    Method,
    Queries,
    Similarity,
    check,
    check_vectors,
)
from nudge_sync.solve.relevance import answered
from nudge_sync.solve.score import metric_values
from nudge_sync.solve.task import Split, Task, attraction, rejection, splits, tidy

__all__ = ["PARTS", "Choice", "Queries", "answered", "choose_and_learn", "fit", "metric_values"]

MAX_ANGLE = float(np.pi / 3)
FURTHEST = {False: float(np.pi / 2), True: 1000.0}


def fit(
    points: Float32,
    queries: Queries,
    part: NDArray[np.int64],
    *,
    method: Method = "auto",
    metric: str = "ndcg@10",
    similarity: Similarity = "cosine",
    angle: float | None = None,
    max_angle: float = MAX_ANGLE,
    weights: csr_matrix | NDArray[Any] | None = None,
    threads: int = 0,
) -> Choice:
    """Where the judged points should go, and why.

    points: (n, d), as stored; a row's length is kept.  part: (q,), 0 to 9, a hash of each query.
    weights: how much each query, (q,), or judgement, (q, n), pulls; 1 where absent. Entries of
    `queries.relevance` above 0 attract, explicit entries of 0 or below push away (nudge-c only).
    angle: fixed, for nudge-n and as the furthest turn of nudge-c; nudge-m takes it as its step.
    The method is chosen on held-out queries and then learned from all of them.
    Equal input gives equal bits on one machine. Raises InputError.
    """
    queries = tidy(queries)
    check_vectors(points, queries.vectors)
    task = checked(points, queries, weights, metric, similarity, max_angle)
    everyone = np.ones(len(queries), np.bool_)
    with limit_threads(threads):
        return choose_and_learn(task, splits(part, queries.relevance), everyone, method, angle)


def checked(
    points: Float32,
    queries: Queries,
    weights: csr_matrix | NDArray[Any] | None,
    metric: str,
    similarity: Similarity,
    max_angle: float,
) -> Task:
    """The problem, or InputError.  points and queries: finite."""
    what = metrics.parse(metric)
    check(points, queries, what.depth)
    pull, push = attraction(queries.relevance, weights), rejection(queries.relevance)
    return Task(points, queries, pull, push, what, similarity, max_angle)


def choose_and_learn(
    task: Task,
    made: list[Split],
    learn: NDArray[np.bool_],
    method: Method,
    angle: float | None,
) -> Choice:
    """Compare what `method` asks for on the splits, then learn from the queries `learn`."""
    if angle is not None and not 0 <= angle <= FURTHEST[method == "nudge-m"]:
        raise InputError(
            f"the angle {angle:g} is outside 0 to pi/2 (for nudge-m: a step, 0 to 1000)"
        )
    if method == "nudge-m" and task.similarity == "cosine":
        raise InputError(
            "nudge-m changes lengths, which cosine undoes; use nudge-n, nudge-c or auto"
        )
    if not made and (angle is None or method in {"auto", "nothing"}):
        return _still(task, learn, {}, ["too few queries with an answer to hold some out"])
    if method == "auto":
        return _best(task, made, learn, angle)
    tried = _tried(task, made, method, angle)
    scores = {}
    if method == "nothing" and made:
        tried = choose.nothing(task, made)
    if made:
        still = tried.still if tried.still is not None else choose.nothing(task, made).values
        scores = {"nothing": float(still.mean()), tried.method: tried.mean}
    reasons = [_counted(task, made), *([tried.reason] if tried.reason else [])]
    return choose.choice(task, tried, learn, scores, reasons)


def _best(task: Task, made: list[Split], learn: NDArray[np.bool_], angle: float | None) -> Choice:
    """The best method; `angle` is given only to those that are not nudge-m."""
    still = choose.nothing(task, made)
    reasons = [_counted(task, made)]
    if not choose.related(task, made, still.values):
        reasons.append("the judgements fit these vectors no better than shuffled ones would")
        return _still(task, learn, {"nothing": still.mean}, reasons)
    ways: list[Method] = ["nudge-n", "nudge-m", "nudge-c"]
    if task.similarity == "cosine":
        ways.remove("nudge-m")
    tried = [_tried(task, made, way, None if way == "nudge-m" else angle) for way in ways]
    held, why = choose.pick([still, *tried])
    scores = {one.method: one.mean for one in (still, *tried)}
    return choose.choice(task, held, learn, scores, [*reasons, *(one.reason for one in tried), why])


def _still(
    task: Task, learn: NDArray[np.bool_], scores: dict[str, float], reasons: list[str]
) -> Choice:
    still = choose.Candidate("nothing", {}, np.zeros(0))
    return choose.choice(task, still, learn, scores, [*reasons, "so the points are left alone"])


def _counted(task: Task, made: list[Split]) -> str:
    judging = sum(int(one.judge.sum()) for one in made)
    counted = int(answered(task.queries.relevance).sum())
    return (
        f"{counted} of {len(task.queries)} queries have a relevant point; "
        f"{judging} of them judged held out, in {len(made)} split{'s' if len(made) != 1 else ''}"
    )


def _tried(task: Task, made: list[Split], method: Method, angle: float | None) -> choose.Candidate:
    if method == "nothing":
        return choose.Candidate("nothing", {}, np.zeros(0))
    if angle is not None:
        return choose.fixed_angle(task, made, method, angle)
    ways = {"nudge-n": choose.nudge_n, "nudge-m": choose.nudge_m, "nudge-c": choose.nudge_c}
    return ways[method](task, made)
