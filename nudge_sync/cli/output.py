"""Results on stdout, progress and questions on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import typer

from nudge_sync.base.progress import Progress
from nudge_sync.base.signals import Stop, on_signal
from nudge_sync.base.terminal import visible
from nudge_sync.errors import ConfigError


def emit(result: Any, as_json: bool, draw: Callable[[Any], None]) -> None:
    """The result on stdout: as JSON, or drawn for people."""
    if not as_json:
        draw(result)
        return
    # A library's stray NaN must not become invalid JSON.
    text = json.dumps(plain(result), indent=2, allow_nan=False, ensure_ascii=False)
    if not _can_be_printed(text):
        text = json.dumps(plain(result), indent=2, allow_nan=False)
    typer.echo(text)


def _can_be_printed(text: str) -> bool:
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def say(text: str) -> None:
    """A line on stdout that may hold names from elsewhere."""
    typer.echo(visible(text))


def plain(value: Any) -> Any:
    """The value in what JSON can hold: arrays as lists, NumPy scalars as numbers, NaN as null."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(inner) for inner in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and value not in {float("inf"), float("-inf")} and value == value:  # noqa: PLR0124 - NaN
        return value
    if value is None or isinstance(value, str | int):
        return value
    return None if isinstance(value, float) else str(value)


def table(title: str, columns: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    """A table on stdout, under its title."""
    from rich.console import Console
    from rich.table import Table

    drawn = Table(show_edge=False, pad_edge=False, show_header=any(columns))
    for column in columns:
        drawn.add_column(column, overflow="fold")
    for row in rows:
        drawn.add_row(*[text(cell) for cell in row])
    width = None if sys.stdout.isatty() else 120
    console = Console(width=width, highlight=False, markup=False)
    if title:
        # Not the table's own title, which is wrapped to the table's width.
        console.print(title)
    console.print(drawn)


def text(cell: Any) -> str:
    """A cell as people read it."""
    if isinstance(cell, float):
        return f"{cell:.4f}"
    return "" if cell is None else visible(str(cell))


def pairs(title: str, values: Mapping[str, Any]) -> None:
    """Names and values on stdout."""
    table(title, ("", ""), ((name, _inline(value)) for name, value in values.items()))


def _inline(value: Any) -> Any:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {text(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return "; ".join(text(inner) for inner in value)
    return value


def confirm(question: str, yes: bool) -> None:
    """Go on, if `yes` or if the person at the terminal says so.

    Raises ConfigError where nobody can be asked, and ends the program with 1 at a no.
    """
    if yes:
        return
    demand_somebody(yes)
    if not typer.confirm(visible(question), err=True):
        typer.echo("nothing was written", err=True)
        raise typer.Exit(1)


def demand_somebody(yes: bool) -> None:
    """Raises ConfigError where a question will come up and nobody can be asked."""
    if not yes and not sys.stdin.isatty():
        raise ConfigError("this writes to the collection; say --yes where nobody can be asked")


@contextmanager
def progress() -> Iterator[Progress]:
    """What the core reports its batches to: bars on a terminal, and the way out at a signal.

    The first SIGINT or SIGTERM ends after the batch in hand, by raising Interrupted from the
    report; a second one ends at once.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bars

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    console = Console(stderr=True)
    bars = Bars(*columns, console=console, transient=True)
    tasks: dict[str, Any] = {}
    drawn = console.is_terminal
    stop = Stop()

    def report(stage: str, done: int, total: int) -> None:
        if drawn:
            if stage not in tasks:
                bars.start()
                tasks[stage] = bars.add_task(stage, total=total or None)
            bars.update(tasks[stage], completed=done, total=total or None)
        stop.check()

    def said() -> None:
        typer.echo("nudge-sync: ending after this batch; once more ends at once", err=True)

    with on_signal(stop, said):
        try:
            yield report
        finally:
            # Without a bar there is nothing to end, and nothing to put on stderr.
            if tasks:
                bars.stop()
