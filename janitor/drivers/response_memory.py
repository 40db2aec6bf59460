"""How much memory answers may take.

A few kilobytes of gzip, or a few megabytes of JSON, can become gigabytes of Python objects. The
memory of an answer is estimated from its bytes before it is parsed, and counted until it is freed.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType

from janitor.errors import TooLargeError

MIB = 1 << 20
SMALL = 4 * MIB
"""Bytes of memory for an answer about one container: to a read, a deletion or a change."""
LARGE = 128 * MIB
"""Bytes of memory for a page of a list, or for one item, until it is archived."""
TOGETHER = 96 * MIB
"""Bytes of memory for all answers of the process; the one in front may take `LARGE` more."""
UNCOUNTED = MIB // 16
"""Bytes of memory that an answer may take without being counted, so that most never wait."""
PATIENCE = 600.0
"""Seconds that an answer waits for others to free memory."""

PACKED, DECODED = 9, 3
"""Copies of an answer that exist at once until it is archived: as UTF-8, and as text."""
LEAST = 11
"""The same in total for text with the fewest bytes per character."""
STRUCTURAL = b'[{,:"'
VALUE = 128
"""Bytes of memory for each structural byte, in two parsed copies."""
LIST = 64
"""Additional bytes of memory for each list."""
WORST = 112
"""Bytes of memory for one byte of JSON at worst; used for bodies too short to be measured."""
SHORT = 1 << 14
_CONTINUATION = bytes(range(0x80, 0xC0))
_BELOW_WIDE = bytes(range(0xF0))
_LONG = 64
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)


def weight(content: bytes, most: int = LARGE) -> int:
    """An upper bound on the memory that JSON takes until it is archived; exact counting is slow.

    A body of up to `SHORT` bytes counts as the worst of its length. Structural bytes inside long
    strings are subtracted only if the bound would otherwise exceed `most`.
    """
    if len(content) <= SHORT:
        return WORST * len(content)
    text = PACKED * len(content) + DECODED * _decoded(content)
    bound = text + _structure(content)
    if text > most or bound <= most:
        return bound
    return bound - sum(_structure(string) for string in _long_strings(content))


def _decoded(content: bytes) -> int:
    """The bytes that Python takes for these characters, if all are as wide as the widest."""
    if b"\\u" in content:
        return 4 * len(content)
    if content.isascii():
        return len(content)
    is_wide = bool(content.translate(None, _BELOW_WIDE))
    return len(content.translate(None, _CONTINUATION)) * (4 if is_wide else 2)


def _structure(content: bytes) -> int:
    count = len(content) - len(content.translate(None, STRUCTURAL))
    return VALUE * count + LIST * content.count(b"[")


def _long_strings(content: bytes) -> Iterator[bytes]:
    """The content of long strings, between their quotes."""
    for string in _STRING.finditer(content):
        if string.end() - string.start() > _LONG:
            yield content[string.start() + 1 : string.end() - 1]


class Budget:
    """The memory that all answers of a process may take; safe with threads and event loops.

    An answer that needs more waits until others are freed. The one in front may take more than is
    left, so that one can always finish. `small`, `large` and `together` are bytes.
    """

    def __init__(
        self,
        *,
        small: int = SMALL,
        large: int = LARGE,
        together: int = TOGETHER,
        patience: float = PATIENCE,
    ) -> None:
        self._small = small
        self._large = large
        self._left = together
        self._patience = patience
        self._front: Share | None = None
        self._waiting: deque[tuple[Share, int, asyncio.Future[None]]] = deque()
        self._turn = threading.Lock()

    def small(self, subject: str) -> Share:
        """The share of a call whose answer is about one container."""
        return Share(self, self._small, subject)

    def large(self, subject: str) -> Share:
        """The share of a call that is answered with items."""
        return Share(self, self._large, subject)

    async def take(self, share: Share, more: int) -> None:
        """Count more for a share once there is room. Raises `TooLargeError` after `patience`."""
        with self._turn:
            is_next = share is self._front or not self._waiting
            if is_next and self._gives(share, more):
                return
            granted = asyncio.get_running_loop().create_future()
            waiting = share, more, granted
            self._waiting.append(waiting)
        try:
            async with asyncio.timeout(self._patience):
                await granted
        except TimeoutError:
            raise TooLargeError(
                f"{share.subject}: other answers leave no memory for this one; kept"
            ) from None
        finally:
            with self._turn:
                if waiting in self._waiting:
                    self._waiting.remove(waiting)

    def give_back(self, share: Share) -> None:
        """Free all memory of a share."""
        with self._turn:
            self._left += share.counted
            share.counted = 0
            if self._front is share:
                self._front = None
            while self._waiting and self._gives(*self._waiting[0][:2]):
                granted = self._waiting.popleft()[2]
                granted.get_loop().call_soon_threadsafe(_grant, granted)

    def _gives(self, share: Share, more: int) -> bool:
        if more > self._left:
            if self._front not in (None, share):
                return False
            self._front = share
        self._left -= more
        share.counted += more
        return True


def _grant(granted: asyncio.Future[None]) -> None:
    if not granted.done():
        granted.set_result(None)


class Share:
    """The part of a budget that one call's answer takes, given back at the end of a `with`.

    `size` is what it takes, `most` what it may take, `counted` what others cannot have meanwhile.
    """

    def __init__(self, budget: Budget, most: int, subject: str) -> None:
        self.subject = subject
        self.most = most
        self.size = 0
        self.counted = 0
        self._budget = budget

    async def grow(self, size: int) -> None:
        """Wait until the answer may take `size` bytes. Raises `TooLargeError` if it may never."""
        if size > self.most:
            raise TooLargeError(
                f"{self.subject}: an answer that would take more than {self.most // MIB} MiB of "
                "memory; not read, kept"
            )
        self.size = max(self.size, size)
        more = self.size - UNCOUNTED - self.counted
        if more > 0:
            await self._budget.take(self, more)

    def empty(self) -> None:
        """Give everything back: the answer is no longer needed."""
        self.size = 0
        if self.counted:
            self._budget.give_back(self)

    def __enter__(self) -> Share:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.empty()


PROCESS = Budget()
"""The one budget of the process."""

_OF_CALL: ContextVar[Share | None] = ContextVar("share_of_call", default=None)


@contextmanager
def counted_in(share: Share) -> Iterator[None]:
    """Count the answers to requests made in the `with` block in this share."""
    token = _OF_CALL.set(share)
    try:
        yield
    finally:
        _OF_CALL.reset(token)


def share_of_call() -> Share:
    """The share of the call in progress, emptied; a new one if it has none."""
    share = _OF_CALL.get() or Budget().small("a call")
    share.empty()
    return share
