"""`feedback stats`: how much feedback there is, and what it comes to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import typer

from nudge_sync.base.text.percent import format_percent
from nudge_sync.cli import options
from nudge_sync.cli.output import print_line, print_pairs, print_result, print_table, show_progress


def stats(
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    collection: options.CollectionOption = None,
    as_json: options.JsonOption = False,
) -> None:
    """Count what is stored, and what of it turns into judgements."""
    from nudge_sync.cli.run import open_job
    from nudge_sync.feedback.agreement import MACHINE_LABEL, measure_agreement
    from nudge_sync.feedback.log.collection_log import load_collection_log
    from nudge_sync.feedback.log.external import open_feedback
    from nudge_sync.feedback.stats import summarise_log

    with open_job(config, collection) as job:
        with show_progress() as progress:
            log = load_collection_log(job.target, job.settings, progress)
        counts = summarise_log(log, job.settings.feedback, job.target.facts.points)
        if counts.actions.get(MACHINE_LABEL):
            events = open_feedback(job.target, job.settings.feedback).events
            counts = replace(counts, agreement=measure_agreement(events.scan(vectors=False)))
    print_result(counts.summary(), as_json, _print_stats)


def _print_stats(result: dict[str, Any]) -> None:
    from nudge_sync.feedback.coverage import Coverage

    tables = ("funnel", "agreement")
    print_pairs("", {name: value for name, value in result.items() if name not in tables})
    stages = [tuple(stage.values()) for stage in result["funnel"]]
    print_table(
        "\nfrom events to judgements", ("stage", "kept", "removed", "removed because"), stages
    )
    if result["agreement"] is not None:
        _print_agreement(result["agreement"])
    typer.echo()
    print_line(str(Coverage(result["judged"], result["points"])))


def _print_agreement(agreement: dict[str, Any]) -> None:
    columns = ("models judge", "people say relevant", "people say not", "models are right")
    rows = [
        (
            "relevant",
            agreement["both_relevant"],
            agreement["only_machine"],
            _format_share(agreement["right_where_relevant"]),
        ),
        (
            "not relevant",
            agreement["only_people"],
            agreement["neither"],
            _format_share(agreement["right_where_not"]),
        ),
    ]
    print_table("\nmodels beside people, on the same search and point", columns, rows)
    if agreement["kappa"] is not None:
        print_line(f"Cohen's kappa: {agreement['kappa']:.2f}")


def _format_share(share: float | None) -> str:
    return "" if share is None else format_percent(share)
