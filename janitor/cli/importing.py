"""How the import of a file shows itself, and how it ends."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from janitor.cli.context import Settings, emit_long, is_terminal, plain
from janitor.cli.options import quit_with
from janitor.errors import JanitorError

if TYPE_CHECKING:
    from janitor.registry import Registry
    from janitor.sources import Import, Order

SHOWN = 20


def import_file(settings: Settings, registry: Registry | None, order: Order) -> None:
    """Take a file in, say what became of it, and exit; without a registry it is a dry run.

    Raises:
        ConfigError: It cannot be read, is empty or a CSV without the right columns.
        StoreError: The registry or the file of rejects failed; what was read before stands.
    """
    from janitor.sources import opened

    began = time.monotonic()
    with opened(order, registry) as begun:
        _tell_where(begun, order)
        _carry_out(begun, order)
        _show(settings, begun, order, time.monotonic() - began, is_dry=registry is None)
        refused = begun.tally.refused
    quit_with(1 if refused else 0)


def _tell_where(begun: Import, order: Order) -> None:
    if begun.resumed is not None:
        mark = begun.resumed
        said = f"goes on behind line {mark.line}, where it stopped at {mark.at}"
        _say(f"{order.name}: {said}; --restart begins anew")
    if begun.anew is not None:
        _say(f"{order.name}: begins anew, since {begun.anew}")


def _carry_out(begun: Import, order: Order) -> None:
    from janitor.cli.showing import now

    try:
        with _bar(order.name, begun) as advance:
            for offset in begun.pages(order.projects, now()):
                advance(offset)
    except (JanitorError, KeyboardInterrupt, SystemExit):
        if begun.line:
            again = "the same command goes on there" if begun.is_resumable else "give it again"
            _say(f"{order.name}: stopped behind line {begun.line}; {again}")
        raise


@contextmanager
def _bar(title: str, begun: Import) -> Iterator[Callable[[int], None]]:
    """Show on a terminal's stderr how far the file was read, and how fast."""
    if not is_terminal(sys.stderr):
        yield lambda _: None
        return
    from rich import progress as bars
    from rich.console import Console

    rate = bars.TextColumn("{task.fields[lines]:,} lines, {task.fields[rate]:,.0f}/s")
    columns = (bars.TextColumn("{task.description}", markup=False), bars.BarColumn())
    left = (bars.DownloadColumn(), rate, bars.TimeRemainingColumn())
    console, began, before = Console(stderr=True), time.monotonic(), begun.tally.read
    with bars.Progress(*columns, *left, console=console, transient=True) as shown:
        task = shown.add_task(title, total=begun.size, lines=before, rate=0)

        def advance(offset: int) -> None:
            lines = begun.tally.read
            rate = (lines - before) / max(time.monotonic() - began, 1e-9)
            shown.update(task, completed=offset, lines=lines, rate=rate)

        yield advance


def _show(settings: Settings, begun: Import, order: Order, seconds: float, *, is_dry: bool) -> None:
    tally = begun.tally
    if not settings.wants_table:
        emit_long(
            _document(begun, seconds, is_dry=is_dry),
            *("rejected", begun.rejects),
            one_line=settings.output == "jsonl",
        )
    elif is_dry:
        good = tally.read - tally.refused
        click.echo(f"{good} of {tally.read} would be taken; nothing was registered.")
    else:
        click.echo(f"{tally.added} added, {tally.updated} updated, {tally.unchanged} unchanged.")
        rate = f"{tally.read} read, {tally.refused} refused in {seconds:.1f} s"
        click.echo(f"{rate}.")
        show_earlier(tally.due_earlier)
    _name_odd(begun, order)
    _name_rejects(begun, order)


def _document(begun: Import, seconds: float, *, is_dry: bool) -> dict[str, Any]:
    tally = asdict(begun.tally)
    if is_dry:
        tally |= dict.fromkeys(("added", "updated", "unchanged", "due_earlier"))
    resumed = None if begun.resumed is None else begun.resumed.line
    told = {"seconds": round(seconds, 3), "dry_run": is_dry, "resumed_behind": resumed}
    return {**tally, **told, "remarks": [asdict(one) for one in begun.remarks]}


def show_earlier(number: int) -> None:
    """Say how many threads fall due earlier by what an operator reported."""
    if number:
        click.echo(
            f"{number} threads fall due earlier: they were dated by a first sight alone, and are "
            "now dated earlier. See `janitor plan`."
        )


def _name_odd(begun: Import, order: Order) -> None:
    for one in begun.remarks:
        _say(f"{order.name}:{one.line}: {one.reason}")
    if begun.tally.odd_times:
        _say(f"lines with a time that is not taken as it was said: {begun.tally.odd_times}")


def _name_rejects(begun: Import, order: Order) -> None:
    for reject in islice(begun.rejects, SHOWN):
        _say(f"{order.name}:{reject['line']}: {reject['reason']}")
    refused = begun.tally.refused
    where = f"; {begun.rejects.path} names each" if begun.rejects.path is not None else ""
    if refused > SHOWN or (refused and where):
        lines = "1 line was" if refused == 1 else f"{refused} lines were"
        _say(f"… {lines} refused in all{where}")


def _say(text: str) -> None:
    click.echo(f"janitor: {plain(text)}", err=True)
