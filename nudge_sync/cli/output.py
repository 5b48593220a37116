"""Results on stdout; progress bars and questions on stderr."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from typing import Any

import typer

from nudge_sync.base.progress import Progress
from nudge_sync.base.signals import StopRequest, handle_stop_signals
from nudge_sync.base.terminal import escape_unprintable
from nudge_sync.cli.progress_lines import INTERVAL_SECONDS, ProgressLines
from nudge_sync.errors import ConfigError, Declined

_LEAST_SHOWN = 1e-4
"""The smallest number that four digits after the point can show."""
_MAX_LISTED_VALUES = 10
"""Values of a list that people are shown; `--json` has more."""


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
    """Print a table on stdout, under its title; a column that is empty in every row is left out."""
    from rich.console import Console
    from rich.table import Table

    cells = [[_format_cell(cell) for cell in row] for row in rows]
    shown = [
        number for number in range(len(columns)) if not cells or any(row[number] for row in cells)
    ]
    rich_table = Table(show_edge=False, pad_edge=False, show_header=any(columns))
    for number in shown:
        rich_table.add_column(columns[number], overflow="fold")
    for row in cells:
        rich_table.add_row(*[row[number] for number in shown])
    width = None if sys.stdout.isatty() else 120
    console = Console(width=width, highlight=False, markup=False)
    if title:
        # Not the table's own title, which is wrapped to the table's width.
        console.print(title)
    console.print(rich_table)


def _format_cell(cell: Any) -> str:
    if isinstance(cell, float):
        return f"{cell:.4f}" if cell == 0 or abs(cell) >= _LEAST_SHOWN else f"{cell:.1g}"
    return "" if cell is None else escape_unprintable(str(cell))


def format_difference(before: float | None, after: float | None, digits: int = 4) -> str:
    """Return `after - before` with its sign; "" where one of the two is not known."""
    return "" if before is None or after is None else f"{after - before:+z.{digits}f}"


def print_pairs(title: str, values: Mapping[str, Any]) -> None:
    """Print a table of names and values on stdout, without a header; what is empty is left out.

    Times are shown as dates, numbers with four digits, and of long lists the first entries.
    """
    rows = [
        (name, format_value(name, value))
        for name, value in values.items()
        if value is not None and (isinstance(value, float | int) or value)
    ]
    print_table(title, ("", ""), rows)


def format_value(name: str, value: Any) -> str:
    """Return a value of a summary as one line for people.

    name: the field's; one that ends in `_at`, or is `since`, holds milliseconds since 1970.
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int) and (name.endswith("_at") or name == "since"):
        return format_time(value)
    if isinstance(value, Mapping):
        parts = ((key, format_value(str(key), inner)) for key, inner in value.items())
        return ", ".join(f"{key} {text}" for key, text in parts if text)
    if isinstance(value, list | tuple):
        return _format_list(name, value)
    return _format_cell(value)


def format_time(milliseconds: int) -> str:
    """Return milliseconds since 1970 as a date and a time, in UTC, to the second."""
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _format_list(name: str, values: Sequence[Any]) -> str:
    shown = values[:_MAX_LISTED_VALUES]
    # A sentence may hold a comma itself.
    separator = "; " if any(isinstance(value, str) and " " in value for value in shown) else ", "
    more = len(values) - len(shown)
    text = separator.join(format_value(name, value) for value in shown)
    return f"{text} and {more} more" if more else text


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


def print_notice(message: str) -> None:
    """Print an error, or how far the work is, as one line on stderr, after the program's name."""
    typer.echo(f"nudge-sync: {escape_unprintable(message)}", err=True)


@contextmanager
def show_progress() -> Iterator[Progress]:
    """Give a Progress that draws bars, or prints a line now and then, and stops at a signal.

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

    lines = ProgressLines(print_notice, INTERVAL_SECONDS)

    def report(stage: str, done: int, total: int) -> None:
        lines.report(stage, done, total)
        if is_terminal:
            if stage not in tasks:
                bars.start()
                tasks[stage] = bars.add_task(stage, total=total or None)
            bars.update(tasks[stage], completed=done, total=total or None)
        stop.raise_if_requested()

    def announce_stop() -> None:
        typer.echo("nudge-sync: ending after this batch; once more ends at once", err=True)

    with handle_stop_signals(stop, announce_stop), nullcontext() if is_terminal else lines:
        try:
            yield report
        finally:
            # A bar that never started must not put anything on stderr as it stops.
            if tasks:
                bars.stop()
