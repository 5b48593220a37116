"""Results on stdout; progress bars and questions on stderr."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import typer

from nudge_sync.base.progress import Progress
from nudge_sync.base.signals import StopRequest, handle_stop_signals
from nudge_sync.base.terminal import escape_unprintable
from nudge_sync.errors import ConfigError, Declined


def print_result(result: Any, as_json: bool, print_text: Callable[[Any], None]) -> None:
    """Print the result on stdout: as one JSON document, or by `print_text`."""
    if as_json:
        print_json(result)
    else:
        print_text(result)


def print_json(result: Any) -> None:
    """Print the result on stdout as one JSON document."""
    value = to_json_value(result)
    text = json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False)
    if not _is_encodable(text):
        text = json.dumps(value, indent=2, allow_nan=False)
    typer.echo(text)


def _is_encodable(text: str) -> bool:
    try:
        text.encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def print_line(text: str) -> None:
    """Print a line on stdout that may hold names from elsewhere."""
    typer.echo(escape_unprintable(text))


def to_json_value(value: Any) -> Any:
    """Return the value as JSON can hold it: arrays as lists, NumPy scalars as numbers.

    NaN and infinity, which JSON lacks, become null.
    """
    if isinstance(value, Mapping):
        return {str(key): to_json_value(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [to_json_value(inner) for inner in value]
    if hasattr(value, "tolist"):
        return to_json_value(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int) else str(value)


def print_table(title: str, columns: Sequence[str], rows: Iterable[Iterable[Any]]) -> None:
    """Print a table on stdout, under its title."""
    from rich.console import Console
    from rich.table import Table

    rich_table = Table(show_edge=False, pad_edge=False, show_header=any(columns))
    for column in columns:
        rich_table.add_column(column, overflow="fold")
    for row in rows:
        rich_table.add_row(*[_format_cell(cell) for cell in row])
    width = None if sys.stdout.isatty() else 120
    console = Console(width=width, highlight=False, markup=False)
    if title:
        # Not the table's own title, which is wrapped to the table's width.
        console.print(title)
    console.print(rich_table)


def _format_cell(cell: Any) -> str:
    if isinstance(cell, float):
        return f"{cell:.4f}"
    return "" if cell is None else escape_unprintable(str(cell))


def format_difference(before: float | None, after: float | None, digits: int = 4) -> str:
    """Return `after - before` with its sign; "" where one of the two is not known."""
    return "" if before is None or after is None else f"{after - before:+.{digits}f}"


def print_pairs(title: str, values: Mapping[str, Any]) -> None:
    """Print a table of names and values on stdout, without a header."""
    print_table(title, ("", ""), ((name, _format_nested(value)) for name, value in values.items()))


def _format_nested(value: Any) -> Any:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_format_cell(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return "; ".join(_format_cell(inner) for inner in value)
    return value


def confirm(question: str, assume_yes: bool) -> None:
    """Return if `assume_yes`, or if the person at the terminal says yes to `question`.

    Raises ConfigError where there is no terminal to ask at, and Declined at a no.
    """
    if assume_yes:
        return
    require_terminal(assume_yes)
    if not typer.confirm(escape_unprintable(question), err=True):
        raise Declined


def require_terminal(assume_yes: bool) -> None:
    """Raise ConfigError where a question will come up and there is no terminal to ask it at."""
    if not assume_yes and not sys.stdin.isatty():
        raise ConfigError("this writes to the collection; say --yes where nobody can be asked")


@contextmanager
def show_progress() -> Iterator[Progress]:
    """Give a Progress that draws bars on a terminal and stops the work at a signal.

    At the first SIGINT or SIGTERM the next report raises Interrupted, so that the work ends after
    the batch in hand; a second signal ends the program at once.
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
            # A bar that never started must not put anything on stderr as it stops.
            if tasks:
                bars.stop()
