"""How notices reach the registry: which are written, the spool, and its delivery.

From the application to the spool at once, from the spool to the registry in the background.
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
    """When containers were last reported, for the most recent ones; safe under threads."""

    def __init__(self) -> None:
        self._told_at: OrderedDict[Key, float] = OrderedDict()
        self._lock = RLock()

    def are_due(self, key: Key) -> bool:
        """Whether a container was not reported for a minute; then counts it as reported now."""
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
        """Start the delivery, first of what dead processes left; `None` if it cannot start."""
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
        """Whether everything put so far reaches the registry within so many seconds."""
        delivery = self.start()
        return delivery is not None and delivery.flush(timeout)

    def sync(self) -> None:
        """Make everything put so far survive a power cut.

        Raises:
            OSError: The disk refuses.
        """
        if self._spool is not None:
            self._spool.sync()

    def close(self) -> None:
        """Stop the delivery; what is not delivered stays in the spool."""
        if self._delivery is not None:
            self._delivery.end()

    def forget(self) -> None:
        """After a fork, in the child: open files and threads are the parent's."""
        if self._delivery is not None:
            self._delivery.is_over = True  # greenlets go on in the child
        if self._spool is not None:
            self._spool.forget()
        self._ready()


class Delivery:
    """Two threads of one process that work for a post.

    One makes the lines outlive a power cut, within a second, whatever the registry does; the other
    hands them to the registry and tries again for as long as it must.
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
        # Made no sooner than they are waited for: an application may patch threads until then.
        self._dirty, self._wake, self._hurry = (threading.Event() for _ in range(3))

    def begin(self) -> None:
        """Start both threads, beginning with what dead processes left.

        Raises:
            RuntimeError: The system has none left.
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
        """There is something to deliver."""
        self._dirty.set()
        self._wake.set()

    def flush(self, timeout: float) -> bool:
        """Whether a pass that begins from now on delivers everything within so many seconds."""
        until = time.monotonic() + timeout
        wanted = self._begun + 1
        self._hurry.set()
        self._wake.set()
        # A condition would not do: under gevent, two threads that share one may wait for ever.
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
        # A greenlet goes on in a fork, where its thread is unknown.
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
        """One pass over everything that waits; whether it is all in the registry now."""
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
            # What is sealed goes first: while the registry is down, one segment grows, not many.
            hand_over(spool, self._inbox)
            spool.seal()
            hand_over(spool, self._inbox)
        finally:
            spool.measure()
            if not self.is_over:
                COUNTERS.spool_bytes[str(spool.directory)] = spool.size


def hand_over(spool: Spool, inbox: NoticeInbox) -> int:
    """Deliver every segment that waits; how many notices were taken. Stops at the first refusal."""
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
    """Hand a spool's segments to a registry, once; how many it took. For `spool:///` directories.

    Segments that a living process still writes to are left for the next time.

    Raises:
        ConfigError: The registry is no address of one that takes notices.
        Exception: Whatever the registry raised; nothing is lost.
    """
    inbox = inbox_of(registry)
    if isinstance(inbox, Path):
        raise TypeError("a spool is delivered to a registry, not to another spool")
    return hand_over(Spool(Path(directory)), inbox)


_POSTS: dict[str, Post] = {}
_LOCK = RLock()


def post_for(registry: str) -> Post:
    """This process's way to a registry: one for each, shared by every tracked client.

    Raises:
        ConfigError: It is no address of a registry.
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
    """Wait until everything tracked so far is in its registry; whether it is, in so many seconds.

    For programs that end, or freeze, right after a call. What is not delivered stays in the spool.
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
