"""The looks of a dry run. A project that fails is stopped as in a sweep; the others continue."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from janitor.archive import ArchiveDamagedError
from janitor.engine.breaker import NOT_ASKED, ProjectHealth
from janitor.engine.context import RunContext
from janitor.engine.missing import Inquiry
from janitor.errors import (
    AccessError,
    ArchiveError,
    BusyError,
    DriverError,
    GoneError,
    JanitorError,
    light_failures,
)
from janitor.kinds import Kind
from janitor.model import Key, Stage, State
from janitor.registry import Entry
from janitor.texts import counted

Found = TypeVar("Found")

FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Unanswered:
    """A thread that is due or in doubt, about which the server gave no answer.

    `error` says why. It is `None` if the thread was not asked about because its project was stopped
    before.
    """

    key: Key
    stage: Stage | None
    policy: str | None
    error: str | None = None

    def row(self) -> dict[str, Any]:
        """The thread as it appears in a plan's document."""
        fields = {name: value for name, value in asdict(self).items() if name != "key"}
        return {**asdict(self.key), **fields}

    def encoded(self) -> bytes:
        """The thread as bytes, which `decoded` reads."""
        return json.dumps(self.row()).encode()  # orjson refuses the lone surrogates of an error

    @classmethod
    def decoded(cls, encoded: bytes) -> Unanswered:
        """The thread that was `encoded`."""
        row = json.loads(encoded)
        stage = None if row["stage"] is None else Stage(row["stage"])
        key = Key(row["project"], Kind(row["kind"]), row["id"])
        return cls(key, stage, row["policy"], row["error"])


class DryLooks:
    """Looks at threads, as many of a project at once as it allows, and changes nothing.

    Failures count against the project or the thread as in a sweep: `health` knows which projects
    are stopped. `again` is the command that a person is told to run next.
    """

    def __init__(self, context: RunContext, again: str) -> None:
        self.health = ProjectHealth(context.projects, context.policies.limits, again, dry=True)
        self._inquiry = Inquiry(context, self.health)
        self.errors: dict[Key, str] = {}
        self._again = again
        self._rooms = {
            name: asyncio.Semaphore(project.concurrency)
            for name, project in context.projects.items()
        }

    def may_ask(self, entry: Entry) -> bool:
        """Whether the thread's project may still be probed."""
        return self.health.may_be_asked(entry.thread.key.project)

    async def of(self, entry: Entry, ask: Callable[[], Awaitable[Found]]) -> Found | str:
        """What `ask` finds about the thread, or one word for why there is no result.

        `missing` and `busy` are answers of the server; `failed`, `archive_down` and `not_asked`
        mean that it gave none.
        """
        async with self._rooms[entry.thread.key.project]:
            return await self.within(entry, ask)

    async def within(self, entry: Entry, ask: Callable[[], Awaitable[Found]]) -> Found | str:
        """Like `of`, for a thread that is probed on behalf of another one, which has the slot."""
        await self._inquiry.over(entry.thread.key.project)
        if not self.may_ask(entry):
            return NOT_ASKED
        try:
            with light_failures():
                answer = await ask()
        except (AccessError, DriverError, ArchiveError, ArchiveDamagedError) as error:
            return await self._ended(entry, error)
        await self._inquiry.answered(entry)
        return answer

    async def _ended(self, entry: Entry, error: JanitorError) -> str:
        """Settle a call that raised an error, and return one word for how it ended."""
        match error:
            case GoneError():
                if entry.thread.state is not State.MISSING and entry.intent is None:
                    await self._inquiry.missed(entry.thread.key)
                return "missing"
            case BusyError():
                await self._inquiry.answered(entry)
                return "busy"
            case ArchiveError():
                return "archive_down"
            case _:
                self.health.failed(entry, error)
        if isinstance(error, AccessError):
            return NOT_ASKED
        self.errors[entry.thread.key] = str(error)
        return FAILED

    def troubles(self, unanswered: Iterable[Key]) -> Iterator[str]:
        """For each project with unanswered threads: the cause, once, and what to do."""
        yield from (stop.message for stop in self.health.stops())
        yield from self.health.silences()
        explained = {stop.project for stop in self.health.stops()} | set(self.health.unanswered())
        failed: dict[str, list[Key]] = {}
        for key in unanswered:
            if key.project not in explained and key in self.errors:
                failed.setdefault(key.project, []).append(key)
        for project, keys in failed.items():
            number = counted(
                len(keys),
                "thread could not be checked and is kept",
                "threads could not be checked and are kept",
            )
            yield (
                f"project {project}: {number}. Last error: {self.errors[keys[-1]]}. Once that is "
                f"fixed, run: {self._again}"
            )
