"""What commands print: lines and tables for people, one JSON object for programs.

Rich is imported where a table or a bar is drawn, since most commands print lines alone.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import click
import msgspec

_Command = TypeVar("_Command", bound=Callable[..., Any])


def json_option(command: _Command) -> _Command:
    """Give a command the option ``--json``; its function gets ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else.")(command)


def show(data: Mapping[str, Any], *lines: str, as_json: bool) -> None:
    """Print a result.

    Args:
        data: for a program.
        lines: for a person.
        as_json: which of them.
    """
    if as_json:
        click.echo(msgspec.json.encode(data))
        return
    for line in lines:
        click.echo(line)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, names: int) -> None:
    """Print a table, as wide as its content when nobody looks at it.

    Args:
        columns: their headings.
        rows: their cells.
        names: how many of the first columns name a row.
    """
    from rich.console import Console  # noqa: PLC0415 - see above
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = Console(highlight=False)
    if not console.is_terminal:
        # A file or a pipe has no width; folding cells at 80 columns would break what reads them.
        console = Console(highlight=False, width=1_000)
    drawn = Table(box=None, pad_edge=False, header_style="bold")
    rows = list(rows)
    for place, column in enumerate(columns):
        # What names a row stays whole on a narrow terminal; the rest is folded, not cut.
        whole = max(len(row[place]) for row in [columns, *rows]) if place < names else None
        drawn.add_column(column, overflow="fold", min_width=whole)
    for row in rows:
        # Text, since a name like "[red]" is no markup.
        drawn.add_row(*map(Text, row))
    console.print(drawn)


@contextmanager
def busy(what: str) -> Iterator[None]:
    """Show on a terminal that something goes on; on stderr, so that stdout holds the result alone."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console  # noqa: PLC0415 - see above

    with Console(stderr=True).status(what):
        yield


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on a terminal; the function it gives takes how many more are done."""
    from rich.console import Console  # noqa: PLC0415 - see above
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda more: bar.advance(task, more)
