"""`demo`: a whole cycle and its rollback, on data that ships with the package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from nudge_sync.base.text.percent import format_exact_percent
from nudge_sync.cli import options
from nudge_sync.cli.output import format_difference, print_result, print_table, show_progress

if TYPE_CHECKING:
    from nudge_sync.demo.demo_cycle import DemoResult

EngineOption = Annotated[
    str,
    typer.Option(envvar="NUDGE_SYNC_DEMO_ON", help="qdrant-edge, qdrant or milvus."),
]
UrlOption = Annotated[
    str | None,
    typer.Option(envvar="NUDGE_SYNC_DEMO_URL", help="The server's address, for --on."),
]
DemoCollectionOption = Annotated[
    str,
    typer.Option(
        "--collection",
        envvar="NUDGE_SYNC_DEMO_COLLECTION",
        help="The collection to make; dropped at the end, with its companions.",
    ),
]
KeepOption = Annotated[
    bool,
    typer.Option(
        "--keep", envvar="NUDGE_SYNC_DEMO_KEEP", help="Leave the collections on the server."
    ),
]


def demo(
    on: EngineOption = "qdrant-edge",
    url: UrlOption = None,
    collection: DemoCollectionOption = "nudge_sync_demo",
    keep: KeepOption = False,
    as_json: options.JsonOption = False,
) -> None:
    """Teach a collection of tools from real requests, measure on unseen ones, and undo it."""
    from nudge_sync.demo.demo_cycle import run_demo

    with show_progress() as progress:
        demo_result = run_demo(on, url, collection, progress, keep=keep)
    print_result(demo_result.summary, as_json, lambda summary: _print_demo(summary, demo_result))


def _print_demo(summary: dict[str, Any], demo_result: DemoResult) -> None:
    typer.echo(
        f"{summary['documents']} tools on {summary['engine']}; {summary['judged']} of them have "
        f"feedback, {summary['method']} moves {summary['moved']}.\n"
    )
    _print_canary(demo_result)
    _print_scores(summary)
    columns = ("request", "best before", "best after", "right")
    examples = ((e.request, e.before, e.after, e.right_answers) for e in demo_result.examples)
    print_table(
        f"\n{demo_result.gained_count} found a right answer in first place, "
        f"{demo_result.lost_count} lost it; such as",
        columns,
        examples,
    )
    comparison = summary["rolled_back"]
    typer.echo(
        f"\nrolled back: {comparison['identical']} of {comparison['points']} vectors are bit for "
        f"bit what they were (largest difference {comparison['max_abs_difference']:g}).\n"
        f"{summary['seconds']} s in all"
    )


def _print_canary(demo_result: DemoResult) -> None:
    from nudge_sync.demo.demo_cycle import HOLDBACK_SHARE

    reviews = demo_result.reviews
    rows = [
        (
            each.visitors,
            f"{each.effect:+z.2f}",
            f"{each.low:+z.2f} to {each.high:+z.2f}",
            each.reason if each.step == "none" else each.step,
        )
        for each in reviews
    ]
    columns = ("visitors", "effect", "interval", "")
    print_table(
        "canary: nothing is written; visitors see its results among today's, and click",
        columns,
        rows,
    )
    if reviews and reviews[-1].step == "promoted":
        typer.echo(
            f"written; {format_exact_percent(HOLDBACK_SHARE)} of the visitors go on seeing the "
            "originals, so that harm would show\n"
        )


def _print_scores(summary: dict[str, Any]) -> None:
    rows = []
    for name, score in summary["before"].items():
        before, after = 100 * score, 100 * summary["after"][name]
        rows.append(
            (name, f"{before:.2f}", f"{after:.2f}", format_difference(before, after, digits=2))
        )
    title = f"{summary['queries']} requests that nothing had seen, in per cent"
    print_table(title, ("", "before", "after", ""), rows)
