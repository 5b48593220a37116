"""`feedback judgements`: which queries say something of a point, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from nudge_sync.cli import options
from nudge_sync.cli.output import print_result, print_table, show_progress
from nudge_sync.errors import InputError

if TYPE_CHECKING:
    from nudge_sync.connector import PointId
    from nudge_sync.store.target import Target

PointOption = Annotated[
    str,
    typer.Option("--point", envvar="NUDGE_SYNC_FEEDBACK_POINT", help="The point's id."),
]


def judgements(
    point: PointOption,
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    collection: options.CollectionOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Say why a point is judged as it is: every query that says something of it."""
    from nudge_sync.cli.run import open_job
    from nudge_sync.feedback.explain import explain_judgements
    from nudge_sync.feedback.log.collection_log import load_collection_log

    with open_job(config, collection) as job:
        target = job.target
        point_id = _find_point_id(target, point)
        with show_progress() as progress:
            log = load_collection_log(target, job.settings, progress)
        reasons = explain_judgements(log, job.settings.feedback, point_id)
    summaries = [reason.summary() for reason in reasons]
    result = {"collection": target.name, "point": point_id, "judgements": summaries}
    print_result(result, as_json, _print_judgements)


def _find_point_id(target: Target, text: str) -> PointId:
    from nudge_sync.feedback.schema.point_ids import PointIdResolver

    resolver = PointIdResolver(target.collection)
    resolver.look_up([text])
    point_id = resolver.get(text)
    if point_id is None:
        raise InputError(f"there is no point {text!r} in {target.name!r}")
    return point_id


def _print_judgements(result: dict[str, Any]) -> None:
    columns = (
        "query_id",
        "source",
        "weight",
        "belief",
        "people",
        "shown",
        "clicked",
        "place",
        "why",
    )
    rows = [[entry[name] for name in columns] for entry in result["judgements"]]
    print_table(f"point {result['point']}", columns, rows)
