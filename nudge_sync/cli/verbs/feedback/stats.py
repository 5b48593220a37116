"""`feedback stats`: how much feedback there is, and what it comes to."""

from __future__ import annotations

from typing import Any

import typer

from nudge_sync.cli import options
from nudge_sync.cli.output import print_line, print_pairs, print_result, print_table, show_progress


def stats(
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    collection: options.CollectionOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Count what is stored, and what of it turns into judgements."""
    from nudge_sync.cli.run import open_job
    from nudge_sync.feedback.log.collection_log import load_collection_log
    from nudge_sync.feedback.stats import summarise_log

    with open_job(config, collection) as job:
        with show_progress() as progress:
            log = load_collection_log(job.target, job.settings, progress)
        counts = summarise_log(log, job.settings.feedback, job.target.facts.points)
    print_result(counts.summary(), as_json, _print_stats)


def _print_stats(result: dict[str, Any]) -> None:
    from nudge_sync.feedback.coverage import Coverage

    print_pairs("", {name: value for name, value in result.items() if name != "funnel"})
    stages = [tuple(stage.values()) for stage in result["funnel"]]
    print_table(
        "\nfrom events to judgements", ("stage", "kept", "removed", "removed because"), stages
    )
    typer.echo()
    print_line(str(Coverage(result["judged"], result["points"])))
