"""The lists of the API that are walked before a sweep, or when a person asks for it."""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from janitor.drivers import read_only
from janitor.engine.context import RunContext
from janitor.errors import (
    AccessError,
    DriverError,
    FaultError,
    LockedError,
    StoppedError,
    TransientError,
)
from janitor.model import Key
from janitor.sources.discovery import ApiList, ListResult, Passes, discover
from janitor.texts import counted

log = logging.getLogger("janitor")

SHOWN = 20


@dataclass(slots=True)
class ListWalks:
    """How lists were walked (`found`), and the `first` absent threads; `tell` gets all of them."""

    tell: Callable[[Key], None] = lambda _: None
    found: list[ListResult] = field(default_factory=list)
    first: list[Key] = field(default_factory=list)

    def absent(self, key: Key) -> None:
        """Records a thread that is registered but not listed."""
        if len(self.first) < SHOWN:
            self.first.append(key)
        self.tell(key)

    @property
    def exit_code(self) -> int:
        """3 if a credential was refused, 1 if a list failed, 5 if another janitor is walking it."""
        codes = {one.failure.exit_code for one in self.found if one.failure is not None}
        gravest = (AccessError.exit_code, DriverError.exit_code, LockedError.exit_code)
        return next((code for code in gravest if code in codes), max(codes, default=0))


async def discover_due(context: RunContext, stop: threading.Event) -> tuple[str, ...]:
    """Walks the lists that are due before a sweep; returns why some were not walked to their end.

    Raises:
        StoreError: The registry failed.
    """
    lists, registry = ListWalks(), context.registry
    try:
        async for place in places(context, lists):
            passes = Passes(registry, place.round, place.access)
            if _is_wanted(context, place) and passes.is_due(context.clock()):
                found = await discover(registry, place, context.clock, stop=stop)
                lists.found.append(found)
                _log_list(found)
    except StoppedError:
        log.info("stopped in the middle of a list; the next sweep continues it")
    failures = [one.failure for one in lists.found if one.failure is not None]
    return tuple(str(one) for one in failures if not isinstance(one, LockedError))


def _is_wanted(context: RunContext, place: ApiList) -> bool:
    pauses = context.registry.pauses.in_force(context.clock())
    is_paused = any(pause.covers(place.project, None) for pause in pauses)
    return context.projects[place.project].discovers and not is_paused


async def places(context: RunContext, lists: ListWalks) -> AsyncIterator[ApiList]:
    """Every list of every project; skips the rest of one that refuses access or does not answer."""
    for project in context.projects.values():
        for kind, driver in project.drivers.items():
            last = lists.found[-1] if lists.found else None
            if last and last.place.project == project.name and _is_over(last):
                break
            yield ApiList(project.name, kind, read_only(driver), project.access)


def _is_over(found: ListResult) -> bool:
    """Whether a list failed in a way that the project's other lists would, too."""
    why = found.failure
    is_silent = isinstance(why, TransientError) and why.status is None
    return is_silent or isinstance(why, AccessError)


def _log_list(found: ListResult) -> None:
    """Logs how a walk ended."""
    where = f"{found.place.kind} of project {found.place.project}"
    extra = {"project": found.place.project, "kind": found.place.kind}
    if (unfit := unfit_ids(found)) is not None:
        log.warning("discovery: %s", unfit, extra=extra)
    match found.failure:
        case None:
            log.info(
                "discovery: %s: %d listed, %d added, %d registered but not listed",
                *(where, found.listed, found.registered.added, found.absent),
                extra=extra,
            )
        case LockedError() as error:
            log.info("%s", error, extra=extra)
        case FaultError() as error:
            log.error("discovery: %s", error, extra=extra, exc_info=error.__cause__)
        case error:
            log.info("discovery: %s", error, extra=extra)  # reported at the end of the sweep


def unfit_ids(found: ListResult) -> str | None:
    """How many ids of a list are skipped, and where; never the ids, which may be anything."""
    if not found.unfit:
        return None
    ids = counted(found.unfit, "id", "ids")
    return (
        f"project {found.place.project}, list of kind {found.place.kind}: {ids} skipped. An id is "
        "1 to 200 letters, digits and . _ : -, and janitor asks for nothing else. Their threads "
        "are kept; ask the server's operator"
    )
