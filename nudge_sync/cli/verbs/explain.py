"""`explain`: why a point of a collection moved."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from nudge_sync.base.text.percent import format_percent
from nudge_sync.cli import options
from nudge_sync.cli.output import print_line, print_result, print_table, show_progress

PointArgument = Annotated[
    str, typer.Argument(envvar="NUDGE_SYNC_EXPLAIN_POINT", help="The point's id.")
]
DepthOption = Annotated[
    int,
    typer.Option(
        min=1,
        max=100,
        envvar="NUDGE_SYNC_EXPLAIN_DEPTH",
        help="A query is won where the point enters its first so many results.",
    ),
]
LimitOption = Annotated[
    int,
    typer.Option(
        min=1,
        envvar="NUDGE_SYNC_EXPLAIN_LIMIT",
        help="Rows of each table at most; --json has them all.",
    ),
]


def explain(
    point: PointArgument,
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    collection: options.CollectionOption = None,
    depth: DepthOption = 10,
    limit: LimitOption = 10,
    as_json: options.JsonOption = False,
) -> None:
    """Say who pulled a point, how far it went, and which queries it wins and loses."""
    from nudge_sync.cli.run import open_job
    from nudge_sync.evaluate.inspection.explain_point import explain_point, explanation_to_dict
    from nudge_sync.feedback.judgements import load_judgements
    from nudge_sync.feedback.log.external import open_feedback

    with open_job(config, collection) as job, show_progress() as progress:
        judgements = load_judgements(job.target, job.settings, progress)
        searches = open_feedback(job.target, job.settings.feedback).queries
        explanation = explain_point(
            job.target, judgements, searches, point, depth=depth, progress=progress
        )
        result = {**explanation_to_dict(job.target, explanation), "depth": depth}
    print_result(result, as_json, lambda shown: _print_explanation(shown, limit))


def _print_explanation(result: dict[str, Any], limit: int) -> None:
    degrees = math.degrees(result["angle"])
    movement = f"turned by {degrees:.1f} degrees" if result["moved"] else "is where it was"
    print_line(f"{result['collection']}: point {result['point']} ({result['standing']}) {movement}")
    typer.echo(
        f"judged by {result['judged_by']} queries, {result['held_out']} of them held out and "
        f"pulling nothing; {result['queries']} queries looked at"
    )
    _print_pulls(result["pulls"], limit)
    if result["asked_by"]:
        _print_asking(result["asked_by"], limit)
    _print_rank_changes("Wins", "entered", result["wins"], result["depth"], limit)
    _print_rank_changes("Loses", "left", result["loses"], result["depth"], limit)


def _print_pulls(queries: Sequence[dict[str, Any]], limit: int) -> None:
    rows = [
        [
            query["query_id"],
            query["text"],
            format_percent(query["share"], 1),
            query["before"],
            query["after"],
        ]
        for query in queries
    ]
    _print_rows("Pulled by", ["query", "text", "share", "score before", "after"], rows, limit)


def _print_asking(points: Sequence[dict[str, Any]], limit: int) -> None:
    rows = [[asking["point"], format_percent(asking["share"], 1)] for asking in points]
    title = "Asked for by points that answer queries together with it"
    _print_rows(title, ["point", "share"], rows, limit)


def _print_rank_changes(
    name: str, verb: str, queries: Sequence[dict[str, Any]], depth: int, limit: int
) -> None:
    rows = [
        [
            query["query_id"],
            query["text"],
            "yes" if query["relevant"] else "no",
            *_format_ranks(query),
        ]
        for query in queries
    ]
    title = f"{name}: queries whose first {depth} results it {verb}"
    _print_rows(title, ["query", "text", "answers it", "rank before", "after"], rows, limit)


def _format_ranks(query: dict[str, Any]) -> list[str]:
    return ["-" if query[end] is None else str(query[end]) for end in ("before", "after")]


def _print_rows(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], limit: int
) -> None:
    typer.echo()
    if not rows:
        typer.echo(f"{title}: none")
        return
    print_table(title, columns, rows[:limit])
    if len(rows) > limit:
        typer.echo(f"and {len(rows) - limit} more")
