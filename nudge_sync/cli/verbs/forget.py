"""`forget`: remove feedback for good."""

from __future__ import annotations

import typer

from nudge_sync.cli import options
from nudge_sync.cli.output import confirm, print_notice, print_pairs, print_result


def forget(
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    collection: options.CollectionOption = None,
    client: options.ClientOption = "",
    session: options.SessionOption = "",
    query: options.QueryOption = "",
    before: options.BeforeOption = "",
    yes: options.YesOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Remove the feedback of a client, session, query or old time; the next cycle undoes it."""
    from nudge_sync.cli.run import open_job
    from nudge_sync.feedback.erase import FeedbackSelector, erase_feedback
    from nudge_sync.feedback.log.external import open_feedback
    from nudge_sync.store.hold import read_hold

    selector = FeedbackSelector(client, session, query, before)
    selector.to_filter()
    with open_job(config, collection) as job:
        confirm(f"Remove this feedback on {job.target.name!r} for good?", yes)
        feedback = open_feedback(job.target, job.settings.feedback)
        query_ids = selector.find_query_ids(feedback)
        external_counts = feedback.count_external(selector.to_filter(), query_ids)
        erased = erase_feedback(job.target, selector, query_ids)
        hold = read_hold(job.target)
    result = {"collection": job.target.name, **erased.summary(), "left": external_counts}
    print_result(result, as_json, lambda shown: print_pairs("", shown))
    if hold is not None:
        print_notice(
            f"the collection is on hold {hold.describe()}: its vectors forget with the first cycle "
            "after `nudge-sync release`, or at once with `nudge-sync rollback --originals`"
        )
    for name, count in external_counts.items():
        print_notice(
            f'"{name}" still holds {count}: that log is your application\'s, and nudge-sync only '
            "reads it. Delete them there, or the next cycle learns from them again"
        )
    if external_counts:
        raise typer.Exit(1)
