"""A small chat application on the real SDK, as somebody writes one who tracks what it makes.

It notes in a journal of its own, on disk before it goes on, what it made, when and for whom; and in
a transcript what every call gave. As a program it reads its settings from stdin as JSON.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any

import openai
from chat_scripts import Chat, Say
from chat_settings import Settings, parse

import janitor
from janitor.tracking import delivery, inbox

PLAN = "trial"
WORKERS = 4
TALKER: ContextVar[dict[str, object]] = ContextVar("TALKER")


class Journal:
    """What was made and used: a line each, on disk before the application goes on."""

    def __init__(self, settings: Settings) -> None:
        flags = os.O_APPEND | os.O_CREAT | os.O_WRONLY
        self._file = os.open(settings.journal, flags, 0o600)
        self._mark = os.open(settings.mark, os.O_WRONLY) if settings.mark else None

    def note(self, **said: object) -> None:
        """Write a line; it may come from any thread and any worker."""
        line = json.dumps(said | {"ended": _now(), "pid": os.getpid()})
        os.write(self._file, line.encode() + b"\n")
        os.fsync(self._file)
        if self._mark is not None:
            os.write(self._mark, b".")


def client_of(settings: Settings) -> Any:  # noqa: ANN401  one of four classes
    """The SDK's client, tracked where there is a registry."""
    given = {"base_url": settings.base_url, "api_key": settings.key, "max_retries": 0}
    given |= {"api_version": "2026-01-01"} if "Azure" in settings.client else {}
    made = getattr(openai, settings.client)(**given)
    if settings.registry is None:
        return made
    return janitor.track(
        made,
        settings.registry,
        project=settings.project,
        metadata=TALKER.get,
        tag=settings.tag,
        send=["plan"] if settings.tag else [],
    )


@dataclass(slots=True)
class Talk:
    """One chat: who talks, what is said, and what came of it."""

    settings: Settings
    journal: Journal
    number: int
    chat: Chat
    id: str | None = None

    @property
    def told(self) -> dict[str, object]:
        """What the registry is to know of it."""
        return {"user_id": f"u{self.number}", "plan": PLAN, "turn": self.number}

    def says(self) -> Iterator[Say]:
        """What is said next, until a container could not be made."""
        TALKER.set(self.told)
        for number, say in enumerate(self.chat.says):
            if number == 0 or self.id is not None:
                yield say

    def call(self, client: Any, say: Say) -> tuple[Any, dict[str, Any]]:  # noqa: ANN401
        """The SDK's method in the way that is set, and what it is to be given."""
        resource, _, name = say.call.rpartition(".")
        found = attrgetter(resource)(client)
        if self.settings.way != "plain":
            found = getattr(found, self.settings.way)
        return getattr(found, name), say.filled(self.id)

    def done(self, say: Say, began: str, result: str) -> None:
        """Take what a call gave into the journal and the transcript."""
        self.settings.transcript.append(f"{say.call}: {result}")
        event = "deleted" if say.call.endswith("delete") else "used"
        made: dict[str, object] = {}
        if self.id is None:
            answer = json.loads(result)
            self.id, event = answer.get("thread_id") or answer["id"], "made"
            made = {"created_at": None if "thread_id" in answer else answer["created_at"]}
            made |= {"told": self.told, "call": say.call, "given": say.given}
        self.journal.note(event=event, id=self.id, kind=self.chat.kind, began=began, **made)

    def failed(self, say: Say, error: Exception) -> None:
        """Take an error into the transcript."""
        self.settings.transcript.append(f"{say.call}: {type(error).__name__}: {error}")

    def hold(self, client: Any) -> None:  # noqa: ANN401
        """Hold the chat."""
        for say in self.says():
            began = _now()
            try:
                method, given = self.call(client, say)
                result = _result(method(**given), self.settings.way)
            except openai.OpenAIError as error:
                self.failed(say, error)
            else:
                self.done(say, began, result)

    async def hold_on_loop(self, client: Any) -> None:  # noqa: ANN401
        """Hold the chat on the event loop."""
        for say in self.says():
            began = _now()
            try:
                method, given = self.call(client, say)
                result = await _awaited(method(**given), self.settings.way)
            except openai.OpenAIError as error:
                self.failed(say, error)
            else:
                self.done(say, began, result)


def _result(answer: Any, way: str) -> str:  # noqa: ANN401  what the SDK gives
    """What a call gave, as text: the body of a raw answer, each event of a stream."""
    if way == "with_streaming_response":
        with answer as response:
            return b"".join(response.iter_bytes()).decode()
    if way == "with_raw_response":
        parsed = answer.parse()
        return _lines(parsed) if isinstance(parsed, openai.Stream) else answer.content.decode()
    return _lines(answer) if isinstance(answer, openai.Stream) else _line(answer)


async def _awaited(answer: Any, way: str) -> str:  # noqa: ANN401
    if way == "with_streaming_response":
        async with answer as response:
            return b"".join([part async for part in response.iter_bytes()]).decode()
    given = await answer
    if way == "with_raw_response":
        parsed = given.parse()
        if not isinstance(parsed, openai.AsyncStream):
            return str(given.content.decode())
        given = parsed
    if isinstance(given, openai.AsyncStream):
        return _lines([event async for event in given])
    return _line(given)


def _line(model: Any) -> str:  # noqa: ANN401
    return json.dumps(model.to_dict(mode="json"), separators=(",", ":"))


def _lines(events: Iterable[Any]) -> str:
    return "\n".join(_line(event) for event in events)


def run(settings: Settings) -> None:
    """Hold all chats."""
    delivery.EVERY, inbox.PATIENCE = settings.minute, settings.patience
    warnings.filterwarnings("ignore", "The Assistants API", DeprecationWarning)
    journal = Journal(settings)
    talks = [
        Talk(settings, journal, number, chat, settings.given if chat.goes_on else None)
        for number, chat in settings.talks
    ]
    if settings.is_async:
        asyncio.run(_on_loop(settings, talks))
        return
    with client_of(settings) as client:
        _MODES[settings.mode](client, talks)


async def _on_loop(settings: Settings, talks: list[Talk]) -> None:
    async with client_of(settings) as client:
        if settings.mode == "loop":
            await asyncio.gather(*(talk.hold_on_loop(client) for talk in talks))
            return
        for talk in talks:
            await talk.hold_on_loop(client)


def _in_turn(client: Any, talks: list[Talk]) -> None:  # noqa: ANN401
    for talk in talks:
        talk.hold(client)


def _in_threads(client: Any, talks: list[Talk]) -> None:  # noqa: ANN401
    with ThreadPoolExecutor(32) as pool:
        list(pool.map(lambda talk: copy_context().run(talk.hold, client), talks))


def _in_forks(client: Any, talks: list[Talk]) -> None:  # noqa: ANN401
    """As a server does that forks workers: each uses the client that was made before."""
    _busy(talks)
    for number in range(WORKERS):
        if os.fork() == 0:
            code = 1
            with suppress(Exception):
                _in_turn(client, talks[number::WORKERS])
                code = 0
            os._exit(code)
    ended = [os.waitstatus_to_exitcode(os.wait()[1]) for _ in range(WORKERS)]
    if any(ended):
        raise RuntimeError(f"workers ended with {ended}")


def _in_pool(client: Any, talks: list[Talk]) -> None:  # noqa: ANN401
    _busy(talks)
    processes = [
        multiprocessing.get_context("fork").Process(
            target=_in_turn, args=(client, talks[number::WORKERS])
        )
        for number in range(WORKERS)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise RuntimeError("a worker failed")


def _busy(talks: list[Talk]) -> None:
    """Have this process's own delivery at work before it forks, with connections of its own."""
    first = talks[0]
    with client_of(first.settings) as own:
        Talk(first.settings, first.journal, len(talks), first.chat).hold(own)


_MODES = {
    "turn": _in_turn,
    "threads": _in_threads,
    "fork": _in_forks,
    "multiprocessing": _in_pool,
}


def _now() -> str:
    return datetime.now(UTC).isoformat()


def main() -> None:
    """Be the application, once; the transcript goes to stdout."""
    settings = parse(sys.stdin.readline())
    run(settings)
    sys.stdout.write("\n".join(settings.transcript))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
