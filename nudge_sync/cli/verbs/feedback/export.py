"""`feedback export`: everything that is held on somebody."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from nudge_sync.cli import options
from nudge_sync.cli.output import print_notice

ExportJsonOption = Annotated[
    bool,
    typer.Option("--json", envvar="NUDGE_SYNC_JSON", help="Changes nothing: they are JSON lines."),
]


def export(
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    collection: options.CollectionOption = None,
    client: options.ClientOption = "",
    session: options.SessionOption = "",
    query: options.QueryOption = "",
    before: options.BeforeOption = "",
    as_json: ExportJsonOption = False,
) -> None:
    """Print everything held on a client, session or query, or of old times, as JSON lines."""
    from nudge_sync.cli.run import open_job
    from nudge_sync.feedback.erase import FeedbackSelector, export_rows
    from nudge_sync.feedback.log.external import open_feedback

    del as_json  # it prints JSON lines with and without it
    selector = FeedbackSelector(client, session, query, before)
    with open_job(config, collection) as job:
        feedback = open_feedback(job.target, job.settings.feedback)
        query_ids = selector.find_query_ids(feedback)
        for row in export_rows(job.target.queries, job.target.events, selector, query_ids):
            typer.echo(json.dumps(row))
        external_counts = feedback.count_external(selector.to_filter(), query_ids)
    for name, count in external_counts.items():
        print_notice(f'"{name}" holds {count} more, in your application\'s own log: look there')
