"""Results on stdout, progress and questions on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import typer

from nudge_sync.base.progress import Progress
from nudge_sync.base.signals import StopRequest, handle_stop_signals
from nudge_sync.base.terminal import escape_unprintable
from nudge_sync.errors import ConfigError


def print_result(result: Any, as_json: bool, print_text: Callable[[Any], None]) -> None:
    """The result on stdout: as JSON, or drawn for people."""
    if not as_json:
        print_text(result)
        return
    # A library's stray NaN must not become invalid JSON.
    text = json.dumps(to_json_value(result), indent=2, allow_nan=False, ensure_ascii=False)
    if not _is_encodable(text):
        text = json.dumps(to_json_value(result), indent=2, allow_nan=False)
    typer.echo(text)


def _is_encodable(text: str) -> bool:
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def print_line(text: str) -> None:
    """A line on stdout that may hold names from elsewhere."""
    typer.echo(escape_unprintable(text))


def to_json_value(value: Any) -> Any:
    """The value in what JSON can hold: arrays as lists, NumPy scalars as numbers, NaN as null."""
    if isinstance(value, Mapping):
        return {str(key): to_json_value(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_json_value(inner) for inner in value]
    if hasattr(value, "tolist"):
        return to_json_value(value.tolist())
    if isinstance(value, float) and value not in {float("inf"), float("-inf")} and value == value:  # noqa: PLR0124 - NaN
        return value
    if value is None or isinstance(value, str | int):
        return value
    return None if isinstance(value, float) else str(value)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    """A table on stdout, under its title."""
    from rich.console import Console
    from rich.table import Table

    rich_table = Table(show_edge=False, pad_edge=False, show_header=any(columns))
    for column in columns:
        rich_table.add_column(column, overflow="fold")
    for row in rows:
        rich_table.add_row(*[format_cell(cell) for cell in row])
    width = None if sys.stdout.isatty() else 120
    console = Console(width=width, highlight=False, markup=False)
    if title:
        # Not the table's own title, which is wrapped to the table's width.
        console.print(title)
    console.print(rich_table)


def format_cell(cell: Any) -> str:
    """A cell as people read it."""
    if isinstance(cell, float):
        return f"{cell:.4f}"
    return "" if cell is None else escape_unprintable(str(cell))


def print_pairs(title: str, values: Mapping[str, Any]) -> None:
    """Names and values on stdout."""
    print_table(title, ("", ""), ((name, _format_nested(value)) for name, value in values.items()))


def _format_nested(value: Any) -> Any:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {format_cell(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return "; ".join(format_cell(inner) for inner in value)
    return value


def confirm(question: str, assume_yes: bool) -> None:
    """Go on, if `yes` or if the person at the terminal says so.

    Raises ConfigError where nobody can be asked, and ends the program with 1 at a no.
    """
    if assume_yes:
        return
    require_terminal(assume_yes)
    if not typer.confirm(escape_unprintable(question), err=True):
        typer.echo("nothing was written", err=True)
        raise typer.Exit(1)


def require_terminal(assume_yes: bool) -> None:
    """Raises ConfigError where a question will come up and nobody can be asked."""
    if not assume_yes and not sys.stdin.isatty():
        raise ConfigError("this writes to the collection; say --yes where nobody can be asked")


@contextmanager
def show_progress() -> Iterator[Progress]:
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
    is_terminal = console.is_terminal
    stop = StopRequest()

    def report(stage: str, done: int, total: int) -> None:
        if is_terminal:
            if stage not in tasks:
                bars.start()
                tasks[stage] = bars.add_task(stage, total=total or None)
            bars.update(tasks[stage], completed=done, total=total or None)
        stop.raise_if_requested()

    def print_notice() -> None:
        typer.echo("nudge-sync: ending after this batch; once more ends at once", err=True)

    with handle_stop_signals(stop, print_notice):
        try:
            yield report
        finally:
            # Without a bar there is nothing to end, and nothing to put on stderr.
            if tasks:
                bars.stop()
