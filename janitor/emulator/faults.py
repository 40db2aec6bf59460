"""Faults on request: which requests go wrong, and how."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase

from janitor.emulator.errors import Json
from janitor.emulator.state import LogEntry


class How(StrEnum):
    """What goes wrong.

    `status` answers with `status`, `body` and `headers`; `reset` breaks the connection; `hang`
    never answers; `delay` answers after `delay` seconds. `truncated` drops the second half of a
    page and marks it as the last, `cut_body` cuts the JSON in the middle, `ignore_after` always
    sends the first page, `no_last_id` sends `has_more: true` without `last_id`. `deleted_false`,
    `empty_object`, `null`, `html` and `wrong_id` are successes that cannot be believed. `locked` is
    each kind's answer for a container in use. `acknowledged` confirms a deletion that was not
    carried out. `repeated` lists the last object of a page twice, `not_utf8` sends a byte that is
    not UTF-8, `huge` adds `padding` bytes to the object, `dressed` sends the true answer with
    `headers` and `status`. `duplicate_keys` sends each key twice, with different values;
    `with_error` adds an error to the true answer; `cut_gzip` compresses it and drops the checksum
    at the end. `ends_early` marks the first page of a list that begins with the oldest as its last,
    `never_ends` says on every page that more follows. `bomb` adds `padding` empty lists and
    compresses the whole, `nested` adds that many lists within each other, `long_number` a number
    with that many digits.
    """

    STATUS = "status"
    RESET = "reset"
    HANG = "hang"
    DELAY = "delay"
    TRUNCATED = "truncated"
    CUT_BODY = "cut_body"
    IGNORE_AFTER = "ignore_after"
    NO_LAST_ID = "no_last_id"
    DELETED_FALSE = "deleted_false"
    EMPTY_OBJECT = "empty_object"
    NULL = "null"
    HTML = "html"
    WRONG_ID = "wrong_id"
    LOCKED = "locked"
    ACKNOWLEDGED = "acknowledged"
    REPEATED = "repeated"
    NOT_UTF8 = "not_utf8"
    HUGE = "huge"
    DRESSED = "dressed"
    DUPLICATE_KEYS = "duplicate_keys"
    WITH_ERROR = "with_error"
    CUT_GZIP = "cut_gzip"
    ENDS_EARLY = "ends_early"
    NEVER_ENDS = "never_ends"
    BOMB = "bomb"
    NESTED = "nested"
    LONG_NUMBER = "long_number"


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault: every condition that is given must hold.

    `path` is a glob below the base path (`/conversations/*/items`); `kind` and `call` are those of
    the log (`conversation`, `items.delete`). Of the matching requests the first `skip` pass, then
    every `every`-th goes wrong, `times` times in all (`None`: forever). `applied` carries the
    change out before the answer goes wrong: a deletion whose reply is lost. Reads whose answer is
    changed are always carried out.
    """

    how: How | str
    method: str = "*"
    path: str = "*"
    kind: str | None = None
    call: str | None = None
    project: str | None = None
    status: int | None = None
    body: Json | str | bytes | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    padding: int = 1 << 20
    applied: bool = False
    times: int | None = None
    every: int = 1
    skip: int = 0

    def __post_init__(self) -> None:
        How(self.how)

    def matches(self, entry: LogEntry) -> bool:
        """Whether the fault applies to the request."""
        return (
            self.method in {"*", entry.method}
            and self.kind in {None, entry.kind}
            and self.call in {None, entry.call}
            and self.project in {None, entry.project}
            and fnmatchcase(entry.path, self.path)
        )


@dataclass(slots=True)
class _Armed:
    fault: Fault
    seen: int = 0
    struck: int = 0

    def strikes(self) -> bool:
        """Count one matching request and say whether it goes wrong."""
        fault = self.fault
        self.seen += 1
        due = self.seen > fault.skip and (self.seen - fault.skip) % fault.every == 0
        if not due or (fault.times is not None and self.struck >= fault.times):
            return False
        self.struck += 1
        return True


class Faults:
    """The faults in force, by number; where several strike, the oldest wins."""

    def __init__(self) -> None:
        self._armed: dict[int, _Armed] = {}
        self._numbers = itertools.count(1)

    def add(self, fault: Fault) -> int:
        """Put a fault in force; the number removes it."""
        number = next(self._numbers)
        self._armed[number] = _Armed(fault)
        return number

    def remove(self, number: int) -> None:
        """Lift a fault; does nothing if it is not in force."""
        self._armed.pop(number, None)

    def clear(self) -> None:
        """Lift every fault."""
        self._armed.clear()

    def struck(self) -> dict[int, int]:
        """How often each fault in force struck."""
        return {number: armed.struck for number, armed in self._armed.items()}

    def pick(self, entry: LogEntry) -> Fault | None:
        """The fault that strikes this request; every matching fault counts the request."""
        matching = [armed for armed in self._armed.values() if armed.fault.matches(entry)]
        striking = [armed.fault for armed in matching if armed.strikes()]
        return striking[0] if striking else None
