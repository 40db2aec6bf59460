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
    page and calls it the last, `cut_body` ends amid the JSON, `ignore_after` sends the first page
    for ever, `no_last_id` says `has_more: true` without `last_id`. `deleted_false`,
    `empty_object`, `null`, `html` and `wrong_id` are successes that cannot be believed. `locked`
    is how each kind says that it is in use. `acknowledged` says that it deleted and did not.
    `repeated` names the last object of a page twice, `not_utf8` sends a byte that is no text,
    `huge` adds `padding` bytes to the object, `dressed` sends the true answer under `headers` and
    `status`. `duplicate_keys` says each thing twice, and not the same; `with_error` puts an error
    into the true answer; `cut_gzip` packs it and drops the checksum at the end. `ends_early` calls
    the first page of a list that begins with the oldest its last, `never_ends` says of every page
    that more follows. `bomb` adds `padding` empty lists and packs the whole, `nested` adds as many
    lists within each other, `long_number` a number of as many digits.
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

    `path` is a glob below the base path (`/conversations/*/items`); `kind` and `call` are those
    of the log (`conversation`, `items.delete`). Of the matching requests the first `skip` pass,
    then each `every`-th goes wrong, `times` times in all (`None`: for ever). `applied` carries
    the change out before the answer goes wrong: a deletion whose reply is lost. Reads whose
    answer is changed are always carried out.
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
        """Whether the request is meant."""
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
        """Lift a fault; one that is not in force is none."""
        self._armed.pop(number, None)

    def clear(self) -> None:
        """Lift every fault."""
        self._armed.clear()

    def struck(self) -> dict[int, int]:
        """How often each fault in force struck."""
        return {number: armed.struck for number, armed in self._armed.items()}

    def pick(self, entry: LogEntry) -> Fault | None:
        """The fault that strikes this request; every matching one counts it."""
        matching = [armed for armed in self._armed.values() if armed.fault.matches(entry)]
        striking = [armed.fault for armed in matching if armed.strikes()]
        return striking[0] if striking else None
