"""The service's own main loop and HTTP face, beside which a test sweeps by hand."""

from __future__ import annotations

import signal
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

from janitor.app.service_loop import ServiceLoop
from janitor.service.main import Job, Service
from janitor.service.scheduler import Schedule
from janitor.service.server import Server

NEVER = Schedule("0 0 29 2 *")
Ask = Callable[[str], int]
"""The status that a path is answered with."""


def beside_the_service(live: ServiceLoop, work: Callable[[Ask], None]) -> None:
    """Do the work in a thread while the main loop runs; both end with it."""
    service = Service(Job(live.sweep, live.reload), NEVER, timedelta(seconds=5))
    face = Server(live.application(service), "127.0.0.1:0")

    def ask(path: str) -> int:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{face.port}{path}", timeout=240) as said:
                return int(said.status)
        except urllib.error.HTTPError as error:
            return error.code

    with handlers_kept(), face, ThreadPoolExecutor(1) as pool:
        done = pool.submit(work, ask)
        done.add_done_callback(lambda _: service.ask("stop"))
        service.run()
        done.result()


@contextmanager
def handlers_kept() -> Iterator[None]:
    """Give the test runner back the signals that the service takes."""
    taken = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    kept = {signum: signal.getsignal(signum) for signum in taken}
    try:
        yield
    finally:
        for signum, handler in kept.items():
            signal.signal(signum, handler)
