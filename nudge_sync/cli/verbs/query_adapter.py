"""`query-adapter`: a map of queries for the application, learned and proven, in a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

from nudge_sync.cli import options
from nudge_sync.cli.output import (
    format_difference,
    print_pairs,
    print_result,
    print_table,
    show_progress,
)
from nudge_sync.cli.tables import print_answer_gains, select_shown_fields
from nudge_sync.errors import ConfigError

if TYPE_CHECKING:
    from nudge_sync.cli.run import Job, RefusedResult

AdapterFileOption = Annotated[
    Path | None,
    typer.Option(
        envvar="NUDGE_SYNC_QUERY_ADAPTER_OUT",
        help="Where to put the adapter if the gate lets it through; default: COLLECTION"
        ".adapter.json. A file that is there is replaced.",
    ),
]
CheckedFileOption = Annotated[
    Path | None,
    typer.Option(
        "--check",
        envvar="NUDGE_SYNC_QUERY_ADAPTER_CHECK",
        help="Learn nothing: measure this adapter on today's vectors and held-out queries.",
    ),
]


def query_adapter(
    config: options.ConfigOption = options.DEFAULT_CONFIG_PATH,
    collection: options.CollectionOption = None,
    out: AdapterFileOption = None,
    check: CheckedFileOption = None,
    exact: options.ExactOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Learn a map that the application applies to its queries; write nothing to any database."""
    from nudge_sync.cli.run import RefusedResult, run_on_collections
    from nudge_sync.evaluate.adapters.adapter_proof import learn_from_collection, prove_adapter
    from nudge_sync.tuning.query_adapter import QueryAdapter

    if check is not None and out is not None:
        raise ConfigError("--check measures a file and writes none; leave --out away")
    given = QueryAdapter.load(check) if check is not None else None

    def work(job: Job) -> dict[str, Any] | RefusedResult:
        target, settings = job.target, job.settings
        with show_progress() as progress:
            if given is None:
                proof = learn_from_collection(target, settings, exact=exact, progress=progress)
            else:
                proof = prove_adapter(target, settings, given, exact=exact, progress=progress)
        if not proof.gate.passed or proof.adapter is None:
            refused = {**proof.summary(), "file": None if check is None else str(check)}
            return RefusedResult(refused, "; ".join(proof.gate.reasons))
        path = check or out or Path(f"{quote(job.target.name, safe='')}.adapter.json")
        if check is None:
            proof.adapter.save(path)
        return {**proof.summary(), "file": str(path)}

    result, exit_code = run_on_collections(config, collection, False, work)
    print_result(result, as_json, _print_proof)
    raise typer.Exit(exit_code)


def _print_proof(summary: Mapping[str, Any]) -> None:
    shown = select_shown_fields(summary)
    if not summary["gate"]["passed"]:
        # The gate says it, and why no map was kept is one of its reasons.
        shown.pop("error", None)
        if summary["reason"] in summary["gate"]["reasons"]:
            del shown["reason"]
    print_pairs(str(summary["collection"]), shown)
    rows = [
        (name, value, summary["after"][name], format_difference(value, summary["after"][name]))
        for name, value in summary["before"].items()
    ]
    print_table("\nfound", ("held-out queries", "as logged", "adapted", ""), rows)
    if summary["cold"] is not None:
        print_answer_gains("", summary["cold"], str(summary["metric"]))
