"""`sync --discover`, and the lists that are walked before a sweep."""

from __future__ import annotations

import asyncio
import logging
import signal
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from janitor.cli.context import Settings, emit, emit_lines, plain, table
from janitor.errors import AccessError, DriverError, FaultError, LockedError, StoppedError

if TYPE_CHECKING:
    from janitor.config import Config
    from janitor.model import Key
    from janitor.registry import Registry
    from janitor.sources.discovery import Found, Place
    from janitor.sweep import Parts

log = logging.getLogger("janitor")

SHOWN = 20
FIELDS = ("project", "kind", "listed", "added", "known", "absent", "ended")


@dataclass(slots=True)
class Lists:
    """What lists named (`found`) and lacked: the `first` absent threads; `tell` hears of all."""

    tell: Callable[[Key], None] = lambda _: None
    found: list[Found] = field(default_factory=list)
    first: list[Key] = field(default_factory=list)

    def absent(self, key: Key) -> None:
        """Take in a thread that is known here and not listed."""
        if len(self.first) < SHOWN:
            self.first.append(key)
        self.tell(key)

    @property
    def exit_code(self) -> int:
        """3 where a credential was refused, 1 where a list failed, 5 where another walks it."""
        codes = {one.failure.exit_code for one in self.found if one.failure is not None}
        gravest = (AccessError.exit_code, DriverError.exit_code, LockedError.exit_code)
        return next((code for code in gravest if code in codes), max(codes, default=0))


def discover_now(settings: Settings, *, dry_run: bool) -> int:
    """Walk the lists of all projects, say what was found, and give the exit code."""
    from janitor.cli.compose import open_registry
    from janitor.config import load

    config = load(settings.config_path())
    lists = Lists(lambda key: emit_lines([_lacking(key)]) if settings.output == "jsonl" else None)
    with open_registry(config, read_only=dry_run, create=True) as registry:
        stopped_by = asyncio.run(_walk_all(config, registry, lists, dry_run=dry_run))
    _show(settings, lists, dry_run=dry_run)
    return 128 + stopped_by if stopped_by else lists.exit_code


async def _walk_all(config: Config, registry: Registry, lists: Lists, *, dry_run: bool) -> int:
    """Walk everything; the signal that ended it, or 0."""
    from janitor.cli.compose import parts
    from janitor.sources.discovery import discover, preview

    stop, caught = threading.Event(), [0]

    def ask_to_stop(signum: int) -> None:
        caught[0] = signum
        stop.set()

    for signum in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signum, ask_to_stop, signum)
    async with parts(config, registry, changing=False, stop=stop) as composed:
        try:
            async for place in _places(composed, lists):
                if dry_run:
                    lists.found.append(await preview(registry, place, stop=stop))
                else:
                    walk = discover(registry, place, composed.clock, stop=stop, tell=lists.absent)
                    lists.found.append(await walk)
        except StoppedError as error:
            click.echo(f"janitor: {plain(error)}", err=True)
    return caught[0]


async def discover_due(parts: Parts, stop: threading.Event) -> tuple[str, ...]:
    """Walk, before a sweep, the lists whose time it is; why some could not be walked to their end.

    Raises:
        StoreError: The registry failed.
    """
    from janitor.sources.discovery import discover
    from janitor.sources.passes import Passes

    lists, registry = Lists(), parts.registry
    try:
        async for place in _places(parts, lists):
            passes = Passes(registry, place.round, place.access)
            if _is_wanted(parts, place) and passes.is_due(parts.clock()):
                found = await discover(registry, place, parts.clock, stop=stop)
                lists.found.append(found)
                _tell(found)
    except StoppedError:
        log.info("asked to stop amid a list; the next sweep goes on with it")
    failures = [one.failure for one in lists.found if one.failure is not None]
    return tuple(str(one) for one in failures if not isinstance(one, LockedError))


def _is_wanted(parts: Parts, place: Place) -> bool:
    pauses = parts.registry.pauses(parts.clock())
    is_paused = any(pause.covers(place.project, None) for pause in pauses)
    return parts.projects[place.project].discovers and not is_paused


async def _places(parts: Parts, lists: Lists) -> AsyncIterator[Place]:
    """Every list of every project; none more of a project that refused the credential."""
    from janitor.drivers import read_only
    from janitor.sources.discovery import Place

    for project in parts.projects.values():
        for kind, driver in project.drivers.items():
            last = lists.found[-1] if lists.found else None
            if last and last.place.project == project.name and _is_refused(last):
                break
            yield Place(project.name, kind, read_only(driver), project.access)


def _is_refused(found: Found) -> bool:
    return isinstance(found.failure, AccessError)


def _tell(found: Found) -> None:
    """Log how a walk ended."""
    where = f"{found.place.kind} of project {found.place.project}"
    extra = {"project": found.place.project, "kind": found.place.kind}
    match found.failure:
        case None:
            log.info(
                "discovery: %s: %d listed, %d added, %d known here and not listed",
                *(where, found.listed, found.registered.added, found.absent),
                extra=extra,
            )
        case LockedError() as error:
            log.info("%s", error, extra=extra)
        case FaultError() as error:
            log.error("discovery: %s", error, extra=extra, exc_info=error.__cause__)
        case error:
            log.info("discovery: %s", error, extra=extra)  # told at the end of the sweep


def row_of(found: Found) -> dict[str, Any]:
    """How a walk went, as one row."""
    return {
        "project": found.place.project,
        "kind": found.place.kind,
        "listed": found.listed,
        "added": found.registered.added,
        "known": found.registered.updated + found.registered.unchanged,
        "unfit": found.unfit,
        "absent": found.absent if found.is_whole else None,
        "resumed": found.is_resumed,
        "ended": _ended(found),
        "error": None if found.failure is None else str(found.failure),
    }


def _ended(found: Found) -> str:
    if found.failure is not None:
        return "failed"
    return "whole" if found.is_listed else "not listed by this server"


def _lacking(key: Key) -> dict[str, Any]:
    return {"absent": {"project": key.project, "kind": key.kind, "id": key.id}}


def _show(settings: Settings, lists: Lists, *, dry_run: bool) -> None:
    rows = [row_of(one) for one in lists.found]
    first = [_lacking(key)["absent"] for key in lists.first]
    if settings.output == "jsonl":
        emit_lines(rows)
    elif settings.output == "json":
        emit(settings, {"dry_run": dry_run, "lists": rows, "absent": first})
    else:
        title = "What discovery would do (nothing was written)" if dry_run else "Discovery"
        table(title, FIELDS, [_cells(row) for row in rows])
        _show_absent(lists)
    for one in lists.found:
        if one.failure is not None:
            click.echo(f"janitor: {plain(one.failure)}", err=True)


def _cells(row: dict[str, Any]) -> Sequence[object]:
    return ["-" if row[name] is None else row[name] for name in FIELDS]


def _show_absent(lists: Lists) -> None:
    number = sum(one.absent for one in lists.found if one.is_whole)
    if not number:
        return
    click.echo(f"\n{number} threads are known here and not listed; none was removed or marked:")
    for key in lists.first:
        click.echo(f"  {plain(key.project)} {key.kind} {plain(key.id)}")
    if number > len(lists.first):
        click.echo("  …; --output jsonl names all, a dry run only counts them")
