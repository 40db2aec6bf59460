"""What tagging would do, by the same looks and without a change anywhere."""

from __future__ import annotations

import asyncio
import threading
from itertools import islice

from janitor.errors import AccessError, BusyError, DriverError, GoneError
from janitor.registry import Entry
from janitor.sweep.approval import under_approval
from janitor.sweep.breaker import Stop
from janitor.sweep.parts import Parts
from janitor.sweep.paused import is_paused
from janitor.sweep.review import Reviewer
from janitor.sweep.standing import Standing
from janitor.sweep.tagging import Tag, Tagged, Wanted, check, tag_of, untagged

CHUNK = 16


async def foresee(
    parts: Parts, wanted: Wanted, stop: threading.Event, done: Tagged
) -> tuple[Stop, ...]:
    """Look at everything that is meant as `tag` would, count it in `done`, and tell what stopped.

    Raises:
        ConfigError: `wanted` cannot be meant.
        LimitError: The policies approved last cannot be read.
    """
    check(parts, wanted)
    looker, entries = _Looker(under_approval(parts)), untagged(parts, wanted, done)
    while not stop.is_set() and (page := list(islice(entries, CHUNK))):
        for found in await asyncio.gather(*(looker.look(entry) for entry in page)):
            if isinstance(found, Tag):
                done.count(found)
            else:
                done.kept[found] += 1
    return tuple(looker.standing.stops())


class _Looker:
    """Asks for threads and says what would be done with each; no part of it can change anything."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._reviewer = Reviewer(parts, parts.registry.holds(parts.clock()))
        self.standing = Standing(parts.projects, parts.policies.limits)

    async def look(self, entry: Entry) -> Tag | str:
        """What is to be done with it, or why nothing is."""
        project = entry.thread.key.project
        if not self._reviewer.serves(entry):
            return "not_served"
        if self.standing.is_stopped(project):
            return "limit"
        if is_paused(self._parts, entry, entry.policy):
            return "paused"
        try:
            review = await self._reviewer.on_probe(entry, self._parts.clock())
        except AccessError as error:
            self.standing.unauthorised(project, str(error))
            return "limit"
        except DriverError as error:
            return self._failed(entry, error)
        self.standing.answered(project)
        return tag_of(review.thread.upstream or {})

    def _failed(self, entry: Entry, error: DriverError) -> str:
        project = entry.thread.key.project
        breaker = self.standing.breaker(project)
        match error:
            case GoneError():
                self.standing.missed(project)
                if breaker.must_be_judged:
                    breaker.doubt("a dry run takes no proof that they are right")
                return "missing"
            case BusyError():
                self.standing.answered(project)
                return "busy"
            case _:
                self.standing.failed(entry, error)
                return "failed"
