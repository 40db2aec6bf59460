"""The main thread of the service: it owns the signals, the watchdog and the end."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from queue import Empty, SimpleQueue
from typing import Literal, NoReturn

from apscheduler.schedulers.background import BackgroundScheduler

from janitor.errors import FaultError, JanitorError
from janitor.service.notify import Notify
from janitor.service.schedule import JOB, Schedule, Trigger, scheduler

log = logging.getLogger("janitor")

BEAT = 1.0
STALE_AFTER = 30.0
Word = Literal["reload", "stop"]


@dataclass(frozen=True, slots=True)
class Job:
    """What the service does: a sweep, and reading its configuration again.

    `sweep` gets an event that asks it to end early. `reload` gives the schedule to go on with.
    `errand` looks every other second whether there is something to do between sweeps.
    """

    sweep: Callable[[threading.Event], None]
    reload: Callable[[], Schedule]
    errand: Callable[[threading.Event], None] | None = None


class Service:
    """Runs sweeps by a schedule until it is told to stop.

    Raises:
        ConfigError: systemd waits to be told, and its library is not installed.
    """

    def __init__(self, job: Job, schedule: Schedule, stop_timeout: timedelta) -> None:
        self._job = job
        self._schedule = schedule
        self._stop_timeout = stop_timeout.total_seconds()
        self._words: SimpleQueue[Word] = SimpleQueue()
        self._stopping = threading.Event()
        self._turn = threading.Lock()  # sweeps and errands do not run side by side
        self._beat_at = time.monotonic()
        self._notify = Notify()
        self._trouble: str | None = None  # of errands, which come every other second
        errand = self._errand if job.errand is not None else None
        self._scheduler: BackgroundScheduler = scheduler(schedule, self._sweep, _skipped, errand)

    def ask(self, word: Word) -> None:
        """Ask for a reload or for the end; from any thread, or from a signal handler."""
        self._words.put(word)

    def health(self) -> str | None:
        """What is wrong with the main loop, or `None` while it lives."""
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
        """Wait a beat for a word, tell the watchdog, and obey a reload."""
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
            log.info("sweeping by %s from now on", schedule)

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
        """Begin nothing new; the calls in flight have `stop_timeout` to finish and settle."""
        self._notify.stopping()
        self._scheduler.pause()
        deadline = time.monotonic() + self._stop_timeout
        while not self._turn.acquire(timeout=min(BEAT, max(deadline - time.monotonic(), 0))):
            self._beat()
            if time.monotonic() >= deadline:
                log.warning("calls in flight did not finish in time; the next run recovers them")
                _leave(0)
        self._turn.release()  # whoever waited for it finds that it is to stop
        self._scheduler.shutdown(wait=False)
        log.info("stopped")


def _skipped() -> None:
    log.warning("a sweep is due while the one before still runs; this one is left out")


def _leave(code: int) -> NoReturn:
    """End at once; safe at any moment, since intents are committed before their calls."""
    os._exit(code)
