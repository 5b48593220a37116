"""`canary promote`: write what the canary shows."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from nudge_sync.cli import options
from nudge_sync.cli.output import confirm, require_terminal, show_progress
from nudge_sync.cli.tables import print_and_exit

if TYPE_CHECKING:
    from nudge_sync.canary.status import ExperimentStatus
    from nudge_sync.cli.run import Job, RefusedResult


def promote(
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    collection: options.CollectionOption = None,
    all_collections: options.AllOption = False,
    by: options.ByOption = "",
    yes: options.YesOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Write the vectors that the canary shows; `rollback` undoes it."""
    from nudge_sync.canary.by_hand import promote as promote_candidate
    from nudge_sync.canary.status import read_status
    from nudge_sync.cli.run import RefusedResult, run_on_collections
    from nudge_sync.cli.verbs.hold.hold import describe_operator

    require_terminal(yes)

    def work(job: Job) -> dict[str, Any] | RefusedResult:
        number = None
        if not yes:
            current = read_status(job.target, job.settings, now=time.time())
            # No revision has the number 0.
            number = current.candidate.number if current.candidate is not None else 0
            confirm(_format_question(current), yes)
        with show_progress() as progress:
            report = promote_candidate(
                job.target, job.settings, by or describe_operator(), progress, number=number
            )
        if report.step == "lost":
            return RefusedResult(report.summary(), report.reason)
        return report.summary()

    result, exit_code = run_on_collections(config, collection, all_collections, work)
    print_and_exit(result, exit_code, as_json)


def _format_question(current: ExperimentStatus) -> str:
    decision, points = current.decision, 0
    if current.candidate is not None:
        points = current.candidate.details.staged
    evidence = (
        f"{decision.verdict}: {decision.reason}" if decision else "nothing is known of it yet"
    )
    return f"{current.collection!r}: the evidence says {evidence}. Write {points} vectors?"
