"""All verbs, in the order of `--help`."""

from __future__ import annotations

from typing import Annotated

import typer

from nudge_sync.cli.main import VerbGroup
from nudge_sync.cli.verbs import change, feedback, ledger, setup
from nudge_sync.cli.verbs.demo import demo
from nudge_sync.cli.verbs.evaluate import evaluate
from nudge_sync.cli.verbs.explain import explain
from nudge_sync.cli.verbs.serve import serve

app = typer.Typer(
    cls=VerbGroup,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "NUDGE_SYNC"},
    help="Moves the vectors of a live Qdrant or Milvus collection towards the queries they "
    "answered, and puts every bit back. Exit codes: 0 done, 1 failed, 2 usage or configuration, "
    "3 refused by the gate.",
)

VERBS = (
    setup.init,
    setup.check,
    change.plan,
    change.apply,
    change.rollback,
    change.resume,
    feedback.forget,
    ledger.log,
    ledger.show,
    ledger.verify,
    ledger.unlock,
    ledger.gc,
    evaluate,
    explain,
    serve,
    demo,
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

app.add_typer(feedback.app, name="feedback")
