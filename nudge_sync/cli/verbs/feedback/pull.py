"""`feedback pull`: what is new in a source of feedback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from nudge_sync.cli import options
from nudge_sync.cli.output import (
    print_line,
    print_notice,
    print_pairs,
    print_result,
    print_table,
    show_progress,
)
from nudge_sync.errors import ConfigError

if TYPE_CHECKING:
    from nudge_sync.settings.feedback import FeedbackSettings
    from nudge_sync.settings.sources import SourceSettings

_SHOWN_DETAILS = 3
"""Details of refused rows that are printed for each reason."""
SourceArgument = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE", help=r"The name of a \[\[feedback.sources]] table.", show_default=False
    ),
]
DryRunOption = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        envvar="NUDGE_SYNC_FEEDBACK_DRY_RUN",
        help="Store nothing; show ten rows of the next page as they would be stored.",
    ),
]

FromBeginningOption = Annotated[
    bool,
    typer.Option(
        "--from-beginning",
        envvar="NUDGE_SYNC_FEEDBACK_FROM_BEGINNING",
        help="Read all that the source has, after feedback was restored from a backup; nothing is "
        "stored twice.",
    ),
]


def pull(
    source: SourceArgument,
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    collection: options.CollectionOption = None,
    dry_run: DryRunOption = False,
    from_beginning: FromBeginningOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Store what a source of feedback has since the last time; `serve` does so before cycles."""
    from nudge_sync.cli.run import open_job
    from nudge_sync.feedback.fetch.fetch import fetch_feedback, sample_feedback

    with open_job(config, collection) as job:
        settings = job.settings.feedback
        source_settings = _find_source(settings, source)
        if dry_run:
            sample = sample_feedback(
                job.target, settings, source_settings, from_beginning=from_beginning
            )
            result = sample.summary()
        else:
            with show_progress() as progress:
                report = fetch_feedback(
                    job.target,
                    settings,
                    source_settings,
                    progress,
                    from_beginning=from_beginning,
                )
            result = report.summary()
    print_result(result, as_json, _print_fetch)


def _find_source(settings: FeedbackSettings, name: str) -> SourceSettings:
    for source in settings.sources:
        if source.name == name:
            return source
    known = ", ".join(source.name for source in settings.sources) or "none"
    raise ConfigError(f"no [[feedback.sources]] is called {name!r}; the file has: {known}")


def _print_fetch(result: dict[str, Any]) -> None:
    names = ("source", "product", "accepted", "unchanged", "searches", "events", "rejected")
    print_pairs("", {name: result[name] for name in names})
    if result["reasons"]:
        rows = [
            (reason, count, "; ".join(list(result["details"][reason])[:_SHOWN_DETAILS]))
            for reason, count in result["reasons"].items()
        ]
        print_table("\nrefused", ("reason", "rows", "such as"), rows)
    for action, count in result["unweighted_actions"].items():
        print_line(f'{count} events are "{action}", which has no weight in [feedback.actions]')
    for reason, count in result["left_out"].items():
        print_line(f"{count} rows were left out: {reason}")
    if result["stopped"]:
        print_notice(result["stopped"])
    if result.get("dry_run"):
        _print_sample(result)


def _print_sample(result: dict[str, Any]) -> None:
    points = result["points"]
    print_line(f"{points['found']} of {points['named']} points named are in the collection")
    for name in result["unknown_points"]:
        print_line(f"not in the collection: {name}")
    for row in result["sample"]:
        print_line(", ".join(f"{name}={value}" for name, value in row.items()))
    print_notice("nothing was stored: --dry-run")
