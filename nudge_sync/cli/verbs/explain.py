"""`explain`: why a point of a collection moved."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from nudge_sync.cli import options
from nudge_sync.cli.output import emit, progress, say, table

Point = Annotated[str, typer.Argument(envvar="NUDGE_SYNC_EXPLAIN_POINT", help="The point's id.")]
Depth = Annotated[
    int,
    typer.Option(
        min=1,
        max=100,
        envvar="NUDGE_SYNC_EXPLAIN_DEPTH",
        help="A query is won where the point enters its first so many places.",
    ),
]
Limit = Annotated[
    int,
    typer.Option(
        min=1,
        envvar="NUDGE_SYNC_EXPLAIN_LIMIT",
        help="Rows of each table at most; --json has them all.",
    ),
]


def explain(
    point: Point,
    config: options.Config = options.CONFIG,
    collection: options.Collection = None,
    depth: Depth = 10,
    limit: Limit = 10,
    as_json: options.Json = False,
) -> None:
    """Say who pulled a point, how far it went, and which queries it wins and loses."""
    from nudge_sync.cli.run import chosen, opened
    from nudge_sync.evaluate.explain_point import as_object, explain_point
    from nudge_sync.feedback.judged import judgements_of
    from nudge_sync.feedback.log.external import open_feedback

    with opened(config) as workspace, progress() as said:
        job = workspace.job(chosen(workspace.config, collection, everything=False)[0])
        judgements = judgements_of(job.target, job.settings, said)
        searches = open_feedback(job.target, job.settings.feedback).queries
        found = explain_point(job.target, judgements, searches, point, depth=depth, progress=said)
        result = {**as_object(job.target, found), "depth": depth}
    emit(result, as_json, lambda shown: _draw(shown, limit))


def _draw(result: dict[str, Any], limit: int) -> None:
    turned = math.degrees(result["angle"])
    how = f"turned by {turned:.1f} degrees" if result["moved"] else "is where it was"
    say(f"{result['collection']}: point {result['point']} ({result['standing']}) {how}")
    typer.echo(
        f"judged by {result['judged_by']} queries, {result['held_out']} of them held out and "
        f"pulling nothing; {result['queries']} queries looked at"
    )
    pulls = [
        [one["query_id"], one["text"], f"{one['share']:.1%}", one["before"], one["after"]]
        for one in result["pulls"]
    ]
    _list("Pulled by", ["query", "text", "share", "score before", "after"], pulls, limit)
    for name in ("wins", "loses"):
        rows = [
            [one["query_id"], one["text"], "yes" if one["relevant"] else "no", *_places(one)]
            for one in result[name]
        ]
        title = f"{name.capitalize()}: queries whose first {result['depth']} places it "
        title += "entered" if name == "wins" else "left"
        _list(title, ["query", "text", "answers it", "rank before", "after"], rows, limit)


def _places(one: dict[str, Any]) -> list[str]:
    return ["-" if one[end] is None else str(one[end]) for end in ("before", "after")]


def _list(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], limit: int) -> None:
    typer.echo()
    if not rows:
        typer.echo(f"{title}: none")
        return
    table(title, columns, rows[:limit])
    if len(rows) > limit:
        typer.echo(f"and {len(rows) - limit} more")
