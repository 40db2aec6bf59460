"""How notices reach the registry: which are written, the spool, and its delivery.

The application writes a notice to the spool at once; it reaches the registry in the background.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from pathlib import Path

from janitor.causes import cause
from janitor.model import Key
from janitor.tracking.greenlets import RLock, apart, is_passing
from janitor.tracking.inbox import NoticeInbox, failure_reason, inbox_of
from janitor.tracking.metrics import COUNTERS
from janitor.tracking.notices import Notice, line_of, notice_of
from janitor.tracking.spool import LIMIT, VARIABLE, FullError, Segment, Spool, spool_directory

EVERY = 60.0
REMEMBERED = 10_000


class Touches:
    """When containers were last reported, for the most recent ones; thread-safe."""

    def __init__(self) -> None:
        self._told_at: OrderedDict[Key, float] = OrderedDict()
        self._lock = RLock()

    def are_due(self, key: Key) -> bool:
        """Whether a container was not reported for a minute; if so, it counts as reported now."""
        now = time.monotonic()
        with self._lock:
            before = self._told_at.get(key)
            if before is not None and now - before < EVERY:
                return False
            self._told_at[key] = now
            self._told_at.move_to_end(key)
            if len(self._told_at) > REMEMBERED:
                self._told_at.popitem(last=False)
            return True


GATHER = 0.25
IDLE = 10.0
LONGEST = 60.0
AT_EXIT = 1.0
LOOK = 0.01


class Post:
    """Takes notices for one registry: `put` writes a line, a delivery does the rest."""

    def __init__(self, inbox: NoticeInbox | None, place: Callable[[], Path]) -> None:
        self._inbox = inbox
        self._place = place
        self._ready()

    def _ready(self) -> None:
        self._lock = RLock()
        self.touches = Touches()
        self._spool: Spool | None = None
        self._delivery: Delivery | None = None

    def put(self, notice: Notice) -> None:
        """Write a notice to the spool. It never waits for the registry, and never raises."""
        try:
            spool = self._opened()
            spool.append(line_of(notice))
        except FullError:
            COUNTERS.drop("the spool is full: is the registry reachable?")
        except OSError as error:
            COUNTERS.drop(f"the spool cannot be written: {_spool_fault(error)}")
        else:
            COUNTERS.count(notice.kind, notice.event)
            COUNTERS.spool_bytes[str(spool.directory)] = spool.size
        if delivery := self.start():
            delivery.wake()

    def _opened(self) -> Spool:
        with self._lock:
            if self._spool is None:
                self._spool = Spool(self._place(), limit=LIMIT)
            return self._spool

    def start(self) -> Delivery | None:
        """Start the delivery, first of what dead processes left; `None` if it cannot be started."""
        with self._lock:
            if self._delivery is not None or is_passing():
                return self._delivery
            begun = self._delivery = Delivery(self._inbox, self._opened, self.sync)
        try:
            begun.begin()  # not under the lock, which other greenlets of this thread hold, too
        except RuntimeError:
            self._delivery = None
            COUNTERS.complain("nothing is delivered for now", "no thread can be started")
        return self._delivery

    def flush(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds; whether everything put so far is in the registry then."""
        delivery = self.start()
        return delivery is not None and delivery.flush(timeout)

    def sync(self) -> None:
        """Make everything put so far survive a power cut.

        Raises:
            OSError: The disk refuses it.
        """
        if self._spool is not None:
            self._spool.sync()

    def close(self) -> None:
        """Stop the delivery; what is not delivered stays in the spool."""
        if self._delivery is not None:
            self._delivery.end()

    def forget(self) -> None:
        """Start anew in the child after a fork: open files and threads are the parent's."""
        if self._delivery is not None:
            self._delivery.is_over = True  # greenlets go on in the child
        if self._spool is not None:
            self._spool.forget()
        self._ready()


class Delivery:
    """The two background threads of a post.

    One makes the lines durable within a second, so that they survive a power cut, whatever the
    registry does. The other hands them to the registry and retries for as long as it must.
    """

    def __init__(
        self, inbox: NoticeInbox | None, opened: Callable[[], Spool], sync: Callable[[], None]
    ) -> None:
        self._inbox = inbox
        self._opened = opened
        self._sync = sync
        self._process = os.getpid()
        self._begun, self._ended = 0, 0
        self.is_over = False
        # Created only when they are needed: until then an application may patch `threading`.
        self._dirty, self._wake, self._hurry = (threading.Event() for _ in range(3))

    def begin(self) -> None:
        """Start both threads, beginning with what dead processes left.

        Raises:
            RuntimeError: No thread can be started.
        """
        self._wake.set()
        try:
            for work in (self._keep_safe, self._deliver_all):
                name = f"janitor{work.__name__}"
                threading.Thread(target=self._run, args=[work], name=name, daemon=True).start()
        except RuntimeError:
            self.end()
            raise

    def wake(self) -> None:
        """Tell both threads that there is something to deliver."""
        self._dirty.set()
        self._wake.set()

    def flush(self, timeout: float) -> bool:
        """Whether a pass that begins from now on delivers everything within `timeout` seconds."""
        until = time.monotonic() + timeout
        wanted = self._begun + 1
        self._hurry.set()
        self._wake.set()
        # Not a condition: under gevent, two threads that share one may wait forever.
        while self._ended < wanted and time.monotonic() < until:
            time.sleep(LOOK)
        return self._ended >= wanted

    def end(self) -> None:
        """End both threads."""
        self.is_over = True
        for event in (self._dirty, self._wake, self._hurry):
            event.set()

    def _run(self, work: Callable[[], None]) -> None:
        work()
        # A greenlet keeps running in a fork, where its thread is unknown.
        if self._process != os.getpid():
            threading.Event().wait()

    def _keep_safe(self) -> None:
        while not self.is_over:
            self._dirty.wait(IDLE)
            self._dirty.clear()
            if self.is_over:
                return
            try:
                self._sync()
            except OSError as error:
                COUNTERS.complain("the spool cannot be made durable", _spool_fault(error))
            self._hurry.wait(GATHER)

    def _deliver_all(self) -> None:
        wait = 0.0
        while not self.is_over:
            self._wake.wait(IDLE)
            self._hurry.wait(max(wait, GATHER))
            self._wake.clear()
            self._hurry.clear()
            if self.is_over:
                return
            self._begun = begun = self._begun + 1
            if self._passed():
                wait = 0.0
                self._ended = begun
            else:
                wait = min(LONGEST, max(1.0, 2 * wait))
                self._wake.set()
            COUNTERS.remind()

    def _passed(self) -> bool:
        """Make one pass over everything that waits; true if all of it is in the registry now."""
        try:
            self._pass(self._opened())
        except Exception as error:  # noqa: BLE001  whatever a registry does, the spool keeps it
            if self.is_over:
                return False
            if isinstance(error, OSError):  # only the spool fails with one
                COUNTERS.complain("the spool cannot be read; retrying", _spool_fault(error))
            else:
                where = "the spool" if self._inbox is None else self._inbox.name
                what = f"{where} accepts nothing for now; retrying"
                COUNTERS.complain(what, failure_reason(error))
            return False
        return True

    def _pass(self, spool: Spool) -> None:
        try:
            if self._inbox is None:
                spool.release()
                return
            # Sealed segments go first: while the registry is down, one segment grows, not many.
            hand_over(spool, self._inbox)
            spool.seal()
            hand_over(spool, self._inbox)
        finally:
            spool.measure()
            if not self.is_over:
                COUNTERS.spool_bytes[str(spool.directory)] = spool.size


def hand_over(spool: Spool, inbox: NoticeInbox) -> int:
    """Deliver every waiting segment; return how many notices were taken. Raises the first error."""
    delivered = 0
    for segment in spool.waiting():
        try:
            notices, torn = apart(partial(_read, segment))
            taken = inbox.add(notices) if notices else 0
        except BaseException:
            spool.leave(segment)
            raise
        spool.delivered(segment)
        delivered += taken
        if torn:
            COUNTERS.drop(f"{segment.path}: a line cannot be read", torn)
    return delivered


def _read(segment: Segment) -> tuple[list[Notice], int]:
    """The notices of a segment, and how many of its lines are torn."""
    lines = [line for line in segment.lines() if line.strip()]
    notices = [notice for notice in map(notice_of, lines) if notice is not None]
    return notices, len(lines) - len(notices)


def _spool_fault(error: OSError) -> str:
    """Why the spool's directory cannot be used, and what to do."""
    if error.errno is None:
        return str(error)
    return cause(error, f"let this user write there, or set {VARIABLE}")


def deliver(directory: str | Path, registry: str) -> int:
    """Hand the segments of a `spool:///` directory to a registry, once; return how many it took.

    Segments that a live process still writes to are left for the next time.

    Raises:
        ConfigError: `registry` is not the address of a registry.
        TypeError: `registry` is itself a spool.
        Exception: Whatever the registry raised; nothing is lost.
    """
    inbox = inbox_of(registry)
    if isinstance(inbox, Path):
        raise TypeError("a spool is delivered to a registry, not to another spool")
    return hand_over(Spool(Path(directory)), inbox)


_POSTS: dict[str, Post] = {}
_LOCK = RLock()


def post_for(registry: str) -> Post:
    """The post of this process for a registry, shared by every tracked client.

    Raises:
        ConfigError: `registry` is not the address of a registry.
    """
    inbox = inbox_of(registry)
    with _LOCK:
        if registry not in _POSTS:
            _POSTS[registry] = (
                Post(None, lambda: inbox)
                if isinstance(inbox, Path)
                else Post(inbox, lambda: spool_directory(inbox.name))
            )
        return _POSTS[registry]


def flush(timeout: float = AT_EXIT) -> bool:
    """Wait at most `timeout` seconds; whether everything tracked so far is in its registry then.

    For programs that end or are frozen right after a call. What is not delivered stays in the
    spool.
    """
    until = time.monotonic() + timeout
    posts = tuple(_POSTS.values())
    return all([post.flush(max(0.0, until - time.monotonic())) for post in posts])  # noqa: C419  each


def _at_exit() -> None:
    for post in tuple(_POSTS.values()):
        try:
            post.sync()
        except OSError as error:
            COUNTERS.complain("the spool cannot be made durable", _spool_fault(error))
    flush(AT_EXIT)
    COUNTERS.remind(is_last=True)


def _after_fork() -> None:
    global _LOCK  # noqa: PLW0603  a lock held by a thread that the child does not have
    _LOCK = RLock()
    COUNTERS.forget()
    for post in _POSTS.values():
        post.forget()


atexit.register(_at_exit)
os.register_at_fork(after_in_child=_after_fork)
