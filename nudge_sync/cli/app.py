"""All verbs, in the order of `--help`."""

from __future__ import annotations

from typing import Annotated

import typer

from nudge_sync.cli.errors import VerbGroup
from nudge_sync.cli.verbs.apply import apply
from nudge_sync.cli.verbs.canary.promote import promote
from nudge_sync.cli.verbs.canary.start import start
from nudge_sync.cli.verbs.canary.status import status
from nudge_sync.cli.verbs.canary.stop import stop
from nudge_sync.cli.verbs.check import check
from nudge_sync.cli.verbs.console import console
from nudge_sync.cli.verbs.demo import demo
from nudge_sync.cli.verbs.evaluate import evaluate
from nudge_sync.cli.verbs.explain import explain
from nudge_sync.cli.verbs.feedback.export import export
from nudge_sync.cli.verbs.feedback.import_ import import_
from nudge_sync.cli.verbs.feedback.judgements import judgements
from nudge_sync.cli.verbs.feedback.pull import pull
from nudge_sync.cli.verbs.feedback.stats import stats
from nudge_sync.cli.verbs.forget import forget
from nudge_sync.cli.verbs.gc import gc
from nudge_sync.cli.verbs.hold.hold import hold
from nudge_sync.cli.verbs.hold.release import release
from nudge_sync.cli.verbs.init import init
from nudge_sync.cli.verbs.log import log
from nudge_sync.cli.verbs.mcp.mcp import mcp
from nudge_sync.cli.verbs.plan import plan
from nudge_sync.cli.verbs.query_adapter import query_adapter
from nudge_sync.cli.verbs.resume import resume
from nudge_sync.cli.verbs.rollback import rollback
from nudge_sync.cli.verbs.serve import serve
from nudge_sync.cli.verbs.show import show
from nudge_sync.cli.verbs.unlock import unlock
from nudge_sync.cli.verbs.verify import verify

VERBS = (
    init,
    check,
    plan,
    apply,
    rollback,
    hold,
    release,
    resume,
    forget,
    log,
    show,
    verify,
    unlock,
    gc,
    evaluate,
    explain,
    query_adapter,
    console,
    serve,
    mcp,
    demo,
)
FEEDBACK_VERBS = (import_, pull, stats, judgements, export)
CANARY_VERBS = (start, status, promote, stop)

app = typer.Typer(
    cls=VerbGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "NUDGE_SYNC"},
    help="Moves the vectors of a live Qdrant or Milvus collection towards the queries they "
    "answered, and puts every bit back. Exit codes: 0 done, 1 failed, 2 usage or configuration, "
    "3 refused by the gate, on hold, or left to a canary. Any option may come from the "
    "environment instead: NUDGE_SYNC_EVALUATE_SEEDS=3 is evaluate --seeds 3.",
)
feedback_app = typer.Typer(
    cls=VerbGroup, no_args_is_help=True, help="What people found: import it, count it."
)


canary_app = typer.Typer(
    cls=VerbGroup,
    no_args_is_help=True,
    help="Prove a plan on live traffic: show it to some sessions before it is written.",
)


def _print_version(is_requested: bool) -> None:
    if is_requested:
        from importlib.metadata import version

        typer.echo(version("nudge-sync"))
        raise typer.Exit


@app.callback()
def accept_global_options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_version,
            is_eager=True,
            allow_from_autoenv=False,
            help="Print the version.",
        ),
    ] = False,
) -> None:
    """Take the options that stand before any verb."""


for verb in VERBS:
    app.command()(verb)
for feedback_verb in FEEDBACK_VERBS:
    feedback_app.command(feedback_verb.__name__.rstrip("_"))(feedback_verb)
app.add_typer(feedback_app, name="feedback")
for canary_verb in CANARY_VERBS:
    canary_app.command()(canary_verb)
app.add_typer(canary_app, name="canary")
