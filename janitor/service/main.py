"""The main thread of the service: signals, watchdog, systemd, changed files, shutdown."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Literal, NoReturn

from apscheduler.schedulers.background import BackgroundScheduler
from watchfiles import watch

from janitor.config.regular_file import read_regular
from janitor.distribution import install
from janitor.errors import ConfigError, FaultError, JanitorError
from janitor.service.scheduler import JOB, Schedule, Trigger, scheduler

log = logging.getLogger("janitor")


class Notify:
    """Notifies systemd of readiness, reloads and shutdown, and keeps its watchdog alive.

    Without NOTIFY_SOCKET nothing is sent, and the systemd library is not even imported.

    Raises:
        ConfigError: systemd waits for a notification, but its library is not installed.
    """

    def __init__(self) -> None:
        self._failed = False
        self._listening = "NOTIFY_SOCKET" in os.environ
        if self._listening and find_spec("cysystemd") is None:
            raise ConfigError(
                "systemd waits for a notification (NOTIFY_SOCKET), but cysystemd is not "
                f"installed: {install('systemd')}; or write Type=exec in the unit"
            )

    def ready(self) -> None:
        """The service is working (also after a reload)."""
        self._send("READY=1")

    def reloading(self) -> None:
        """The configuration is being read again; `ready` follows."""
        microseconds = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send(f"RELOADING=1\nMONOTONIC_USEC={microseconds}")

    def stopping(self) -> None:
        """The shutdown has begun."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """The main loop has moved."""
        self._send("WATCHDOG=1")

    def _send(self, state: str) -> None:
        if not self._listening:
            return
        from cysystemd import daemon  # noqa: PLC0415 - an extra, for systemd alone

        try:
            daemon.sd_notify(state)  # type: ignore[attr-defined, no-untyped-call, unused-ignore]
        except (OSError, ValueError) as error:
            if not self._failed:  # another is sent every second: warn only once
                log.warning("could not notify systemd of %s: %s", state.partition("=")[0], error)
            self._failed = True


LOOK_MILLISECONDS = 2000


class Watcher:
    """Calls `changed` whenever the content of a file changes, while the body runs.

    The registry may be in the same directory and is written all the time, so a change there
    means nothing as long as the file's own bytes are the same. They are also compared every two
    seconds: a link may lead to another directory, and network disks report no changes.
    """

    def __init__(self, path: Path, changed: Callable[[], None]) -> None:
        self._path = path.absolute()
        self._changed = changed
        self._known = self._bytes()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)

    def _watch(self) -> None:
        for _ in watch(
            self._path.parent,
            watch_filter=None,
            recursive=False,
            stop_event=self._over,
            rust_timeout=LOOK_MILLISECONDS,
            yield_on_timeout=True,
            raise_interrupt=False,
        ):
            if (found := self._bytes()) != self._known:
                self._known = found
                self._changed()

    def _bytes(self) -> bytes | None:
        """The content of the file; `None` while it cannot be read."""
        try:
            return read_regular(self._path)
        except OSError:
            return None

    def __enter__(self) -> Watcher:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()


BEAT = 1.0
STALE_AFTER = 30.0
Word = Literal["reload", "stop"]


@dataclass(frozen=True, slots=True)
class Job:
    """What the service does: a sweep, and reading its configuration again.

    `sweep` gets an event that tells it to end early. `reload` returns the schedule to continue
    with. `errand` checks every two seconds whether there is something to do between sweeps.
    """

    sweep: Callable[[threading.Event], None]
    reload: Callable[[], Schedule]
    errand: Callable[[threading.Event], None] | None = None


class Service:
    """Runs sweeps by a schedule until it is told to stop.

    Raises:
        ConfigError: systemd waits for a notification, but its library is not installed.
    """

    def __init__(self, job: Job, schedule: Schedule, stop_timeout: timedelta) -> None:
        self._job = job
        self._schedule = schedule
        self._stop_timeout = stop_timeout.total_seconds()
        self._words: SimpleQueue[Word] = SimpleQueue()
        self._stopping = threading.Event()
        self._turn = threading.Lock()  # sweeps and errands never run at the same time
        self._beat_at = time.monotonic()
        self._notify = Notify()
        self._trouble: str | None = None  # so that errands do not log it every two seconds
        errand = self._errand if job.errand is not None else None
        self._scheduler: BackgroundScheduler = scheduler(schedule, self._sweep, _skipped, errand)

    def ask(self, word: Word) -> None:
        """Ask for a reload or a shutdown, from any thread or from a signal handler."""
        self._words.put(word)

    def health(self) -> str | None:
        """What is wrong with the main loop, or `None` while it is running."""
        age = time.monotonic() - self._beat_at
        return f"the main loop has not moved for {age:.0f} s" if age > STALE_AFTER else None

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; a second one ends the process at once."""
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, self._on_stop)
        signal.signal(signal.SIGHUP, lambda *_: self.ask("reload"))
        self._scheduler.start()
        self._notify.ready()
        while self._next_word() != "stop":
            pass
        self._end()

    def _next_word(self) -> Word | None:
        """Wait a beat for a word, notify the watchdog, and carry out a reload."""
        try:
            word = self._words.get(timeout=BEAT)
        except Empty:
            word = None
        self._beat()
        if word == "reload":
            self._notify.reloading()
            self._reload()
            self._notify.ready()
        return word

    def _beat(self) -> None:
        self._beat_at = time.monotonic()
        self._notify.alive()

    def _reload(self) -> None:
        schedule = self._job.reload()
        if schedule != self._schedule:
            self._schedule = schedule
            self._scheduler.reschedule_job(JOB, trigger=Trigger(schedule))
            log.info("new schedule: %s", schedule)

    def _sweep(self) -> None:
        with self._turn:
            self._work("sweep", self._job.sweep)

    def _errand(self) -> None:
        if self._job.errand is not None and self._turn.acquire(blocking=False):
            try:
                self._work("errand between sweeps", self._job.errand)
            finally:
                self._turn.release()

    def _work(self, what: str, work: Callable[[threading.Event], None]) -> None:
        trouble = None
        try:
            if not self._stopping.is_set():
                work(self._stopping)
        except JanitorError as error:
            trouble = str(error)
            if work is self._job.sweep or trouble != self._trouble:
                log.error("the %s failed: %s", what, error)  # noqa: TRY400 - no traceback for such
        except Exception as error:
            trouble = str(FaultError(f"the {what}", error))
            if work is self._job.sweep or trouble != self._trouble:
                log.exception("%s", trouble)
        self._trouble = trouble

    def _on_stop(self, signum: int, _frame: object) -> None:
        if self._stopping.is_set():
            _leave(128 + signum)
        self._stopping.set()
        self.ask("stop")

    def _end(self) -> None:
        """Start nothing new; the calls in flight have `stop_timeout` to finish and settle."""
        self._notify.stopping()
        self._scheduler.pause()
        deadline = time.monotonic() + self._stop_timeout
        while not self._turn.acquire(timeout=min(BEAT, max(deadline - time.monotonic(), 0))):
            self._beat()
            if time.monotonic() >= deadline:
                log.warning("calls in flight did not finish in time; the next run recovers them")
                _leave(0)
        self._turn.release()  # whatever waited for it sees that it must stop
        self._scheduler.shutdown(wait=False)
        log.info("stopped")


def _skipped() -> None:
    log.warning("a sweep is due while the previous one is still running; skipped")


def _leave(code: int) -> NoReturn:
    """Exit at once; safe at any moment, because intents are committed before their calls."""
    os._exit(code)
