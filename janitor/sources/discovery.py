"""Discovery: registers the containers in a project's lists, and decides when a scan is due.

A scan goes page by page. Each page is registered and the cursor moved in one transaction, so an
interrupted scan resumes where it stopped. No thread is ever removed or marked for not being listed.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from janitor.drivers import Driver, Listing, LostPlaceError, UnlistedError
from janitor.errors import (
    FaultError,
    JanitorError,
    LockedError,
    RefusedError,
    StoppedError,
    StoreError,
)
from janitor.model import Key, Kind, State
from janitor.registry import Registered, Registration, Registry, ScanScope
from janitor.sources.watermark import failed, recovered
from janitor.texts import counted

AGAIN_AFTER = timedelta(hours=20)
"""Less than a day, because the schedule's jitter shifts a daily sweep."""


class Passes:
    """The scans of one list, stored in the registry under the name of their round.

    `begun_at` is when the current scan began. `access` is the fingerprint of endpoint and
    credential: a scan that was interrupted under another one starts over.
    """

    def __init__(self, registry: Registry, round: str, access: str) -> None:
        self._registry = registry
        self._round = round
        self._access = access
        self.begun_at: datetime | None = None

    def begin(self, now: datetime) -> str | None:
        """The cursor of the interrupted scan; `None` after starting a new one."""
        after = self._registry.scans.cursor(self._round)
        document = json.loads(self._registry.key_values.recall(f"{self._round}:begun") or "{}")
        if after is None or document.get("access") != self._access:
            self.anew(now)
            return None
        self.begun_at = datetime.fromisoformat(document["at"])
        return after

    def anew(self, now: datetime) -> None:
        """Start a new scan."""
        self._registry.scans.end_round(self._round)
        text = json.dumps({"at": now.isoformat(), "access": self._access})
        self._registry.key_values.remember(f"{self._round}:begun", text)
        self.begun_at = now

    def end(self, now: datetime) -> None:
        """Forget what the scan has seen, and remember when it ended; the next one starts over."""
        self._registry.scans.end_round(self._round)
        self._registry.key_values.remember(f"{self._round}:ended", now.isoformat())

    def is_due(self, now: datetime) -> bool:
        """Whether a scan is unfinished, or none has ended within `AGAIN_AFTER`."""
        if self._registry.scans.cursor(self._round) is not None:
            return True
        ended = self._registry.key_values.recall(f"{self._round}:ended")
        return ended is None or now - datetime.fromisoformat(ended) >= AGAIN_AFTER


MOST_PAGES = 100_000
"""Ten million containers; a list that is longer than that counts as endless."""
RESTARTS = 3
PATIENCE = timedelta(seconds=1)

Clock = Callable[[], datetime]


def round_of(project: str, kind: Kind) -> str:
    """The name of the scans of a project's list of one kind."""
    return f"discover:{project}:{kind}"


def place_of(round: str) -> tuple[str, str] | None:
    """The project and kind in a name that `round_of` made; `None` for any other name."""
    match round.split(":"):
        case ["discover", project, kind]:
            return project, kind
        case _:
            return None


@dataclass(frozen=True, slots=True)
class ApiList:
    """The list of a project's containers of one kind, with the driver that reads it.

    `access` is the fingerprint of endpoint and credential: when it changes, a scan starts over.
    """

    project: str
    kind: Kind
    driver: Driver
    access: str

    @property
    def round(self) -> str:
        """The name of its scans."""
        return round_of(self.project, self.kind)

    def key(self, id: str) -> Key:
        """The key of one of its containers."""
        return Key(self.project, self.kind, id)

    def explained(self, error: Exception) -> JanitorError:
        """A failure to read the list as a `JanitorError`; an unforeseen one is a `FaultError`."""
        return error if isinstance(error, JanitorError) else FaultError(self.round, error)


@dataclass(slots=True)
class ListResult:
    """The result of a scan: what this call listed and registered, and what the list lacks.

    `absent` counts the live threads registered before the scan that the list lacks; it is known
    only if the list was read to its end (`is_whole`). `is_listed` is false if the server has no
    such list. `failure` is why the scan ended before the list did.
    """

    place: ApiList
    listed: int = 0
    registered: Registered = field(default_factory=Registered)
    unfit: int = 0
    absent: int = 0
    is_listed: bool = True
    is_whole: bool = False
    is_resumed: bool = False
    failure: JanitorError | None = None


async def discover(
    registry: Registry,
    place: ApiList,
    clock: Clock,
    *,
    stop: threading.Event | None = None,
    tell: Callable[[Key], None] = lambda _: None,
) -> ListResult:
    """Read one list to its end, register its containers, and `tell` each thread that it lacks.

    Whatever was registered stays, however the scan ends. After an interruption, the next call
    resumes after the last page; a list that cannot be trusted is read from the beginning.

    Raises:
        StoreError: The registry failed.
        StoppedError: `stop` was set.
    """
    found, passes = ListResult(place), Passes(registry, place.round, place.access)
    try:
        with registry.walking(place.round, PATIENCE):  # two walks of one scan would seem to loop
            await _Walk(registry, found, passes, clock, stop).walk()
            await asyncio.to_thread(_compare, registry, found, passes.begun_at, tell)
            passes.end(clock())
    except UnlistedError:
        found.is_listed = False
        passes.end(clock())
    except (StoppedError, StoreError):
        raise
    except Exception as error:  # noqa: BLE001 - whatever a list raises concerns that list
        found.failure = place.explained(error)
        if isinstance(error, RefusedError):
            passes.end(clock())
    _remember(registry, found)
    return found


def _remember(registry: Registry, found: ListResult) -> None:
    """Record how the scan ended, unless another janitor is reading the list and will record it."""
    if found.failure is None:
        recovered(registry, found.place.round)
    elif not isinstance(found.failure, LockedError):
        failed(registry, found.place.round, str(found.failure))


class _Walk:
    def __init__(
        self,
        registry: Registry,
        found: ListResult,
        passes: Passes,
        clock: Clock,
        stop: threading.Event | None,
    ) -> None:
        self._registry = registry
        self._stop = stop
        self._found = found
        self._place = found.place
        self._passes = passes
        self._clock = clock

    async def walk(self) -> None:
        """Register every page, from where the last scan stopped or from the beginning."""
        after = self._passes.begin(self._clock())
        self._found.is_resumed = after is not None
        for _ in range(RESTARTS):
            try:
                return await self._pages(after)
            except LostPlaceError:  # the container at the cursor is gone by now
                self._passes.anew(self._clock())
                after = None
        raise self._broken("its place was lost repeatedly")

    async def _pages(self, after: str | None) -> None:
        for _ in range(MOST_PAGES):
            _heed(self._stop)
            page = await self._place.driver.list_page(after)
            await asyncio.to_thread(self._take, page, after)
            if page.after is None:
                self._found.is_whole = True
                return
            after = page.after
        raise self._broken("it does not end")

    def _take(self, page: Listing, after: str | None) -> None:
        found, now = self._found, self._clock()
        named = [Registration(self._place.key(one.id), one.created_at) for one in page.listed]
        cursor = page.after or (page.listed[-1].id if page.listed else after)
        found.unfit += page.unfit
        if cursor is None:
            return  # an empty list
        taken = self._registry.scans.take(self._place.round, named, now, cursor=cursor)
        found.registered += taken.registered
        found.listed += len(named) - taken.again
        if taken.again or (cursor == after and page.after is not None):
            raise self._broken("it repeats what it has listed before: a loop")

    def _broken(self, why: str) -> RefusedError:
        return RefusedError(
            f"{self._place.round}: the list cannot be trusted: {why}; stopped. "
            f"{counted(self._found.registered.added, 'thread was', 'threads were')} added by this "
            "call and stay; none was removed, and what the list lacks is unknown"
        )


def _heed(stop: threading.Event | None) -> None:
    if stop is not None and stop.is_set():
        raise StoppedError("stopped in the middle of a list; what was registered from it stays")


def _compare(
    registry: Registry, found: ListResult, begun_at: datetime | None, tell: Callable[[Key], None]
) -> None:
    """Report the threads that the list lacks; none is removed."""
    place, after = found.place, None
    fed = ScanScope(project=place.project, kind=place.kind)
    while begun_at and (page := registry.scans.unseen(place.round, fed, begun_at, after)):
        for entry in page:
            if entry.thread.state is not State.DELETING:
                found.absent += 1
                tell(entry.thread.key)
        after = page[-1].thread.key


async def preview(
    registry: Registry, place: ApiList, *, stop: threading.Event | None = None
) -> ListResult:
    """Read one list and count what `discover` would add and what is absent; writes nothing.

    Memory does not grow with the list, because ids are not kept. So a list that names a container
    twice is noticed only if a cursor recurs, and absent threads are counted, not named.

    Raises:
        StoppedError: `stop` was set.
    """
    found = ListResult(place)
    try:
        known = await _preview_pages(registry, found, stop)
    except UnlistedError:
        found.is_listed = False
    except (StoppedError, StoreError):
        raise
    except Exception as error:  # noqa: BLE001 - likewise
        found.failure = place.explained(error)
    else:
        found.is_whole = True
        found.absent = max(0, await asyncio.to_thread(_living, registry, place) - known)
    return found


async def _preview_pages(
    registry: Registry, found: ListResult, stop: threading.Event | None
) -> int:
    """Count all pages; returns how many live threads of the registry they name."""
    place, after, known = found.place, None, 0
    loops = Cycle()
    while True:
        _heed(stop)
        page = await place.driver.list_page(after)
        ids = [one.id for one in page.listed]
        states = await asyncio.to_thread(registry.threads.states_of, place.project, place.kind, ids)
        known += sum(state in PRESENT for state in states.values())
        found.listed, found.unfit = found.listed + len(ids), found.unfit + page.unfit
        found.registered += Registered(added=len(ids) - len(states), unchanged=len(states))
        if (after := page.after) is None:
            return known
        if loops.closes(after):
            raise RefusedError(f"{place.round}: the list returns to where it was: a loop")


PRESENT = frozenset({State.ACTIVE, State.ARCHIVED, State.SOFT_DELETED})


def _living(registry: Registry, place: ApiList) -> int:
    return sum(
        registry.threads.states().get((place.project, place.kind, state), 0) for state in PRESENT
    )


class Cycle:
    """Detects in constant memory that a sequence repeats itself (Brent's algorithm)."""

    def __init__(self) -> None:
        self._marked: str | None = None
        self._steps, self._reach = 0, 1

    def closes(self, cursor: str) -> bool:
        """Whether the cursor repeats; found after at most three times the length of the cycle."""
        if cursor == self._marked:
            return True
        self._steps += 1
        if self._steps == self._reach:
            self._marked, self._steps, self._reach = cursor, 0, self._reach * 2
        return False
