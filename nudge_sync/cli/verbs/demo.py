"""`demo`: the whole round on data that ships with the package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from nudge_sync.cli import options
from nudge_sync.cli.output import emit, progress, table

if TYPE_CHECKING:
    from nudge_sync.demo.round import Outcome

On = Annotated[
    str,
    typer.Option(envvar="NUDGE_SYNC_DEMO_ON", help="qdrant-edge, qdrant or milvus."),
]
Url = Annotated[
    str | None,
    typer.Option(envvar="NUDGE_SYNC_DEMO_URL", help="The server's address, for --on."),
]
Name = Annotated[
    str,
    typer.Option(
        "--collection",
        envvar="NUDGE_SYNC_DEMO_COLLECTION",
        help="The collection to make; on a server it stays.",
    ),
]


def demo(
    on: On = "qdrant-edge",
    url: Url = None,
    collection: Name = "nudge_sync_demo",
    as_json: options.Json = False,
) -> None:
    """Teach a collection of tools from real requests, measure on unseen ones, and undo it."""
    from nudge_sync.demo import run

    with progress() as report:
        outcome = run(on, url, collection, report)
    emit(outcome.summary, as_json, lambda summary: _draw(summary, outcome))


def _draw(summary: dict[str, Any], outcome: Outcome) -> None:
    typer.echo(
        f"{summary['documents']} tools on {summary['engine']}; {summary['judged']} of them have "
        f"feedback, {summary['method']} moved {summary['moved']}.\n"
    )
    rows = (
        (name, 100 * value, 100 * summary["after"][name], _signed(summary, name))
        for name, value in summary["before"].items()
    )
    title = f"{summary['queries']} requests that nothing had seen, in per cent"
    table(
        title, ("", "before", "after", ""), ((n, f"{b:.2f}", f"{a:.2f}", d) for n, b, a, d in rows)
    )
    columns = ("request", "best before", "best after", "right")
    examples = ((e.request, e.before, e.after, e.right) for e in outcome.examples)
    table(
        f"\n{outcome.gained} found a right answer in first place, {outcome.lost} lost it; such as",
        columns,
        examples,
    )
    back = summary["rolled_back"]
    typer.echo(
        f"\nrolled back: {back['identical']} of {back['points']} vectors are bit for bit what they "
        f"were (largest difference {back['max_abs_difference']:g}); {summary['seconds']} s in all"
    )


def _signed(summary: dict[str, Any], name: str) -> str:
    return f"{100 * (summary['after'][name] - summary['before'][name]):+.2f}"
