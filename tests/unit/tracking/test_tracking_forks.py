"""A fork while another thread is inside SQLite leaves the child no lock that nobody frees."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing

from tracked import DEADLINE, Place

# The child ends itself where it waits for ever.
SCRIPT = """
import os, signal, sqlite3, sys, threading
from datetime import UTC, datetime
from janitor.model import Kind, NoticeEvent
from janitor.tracking.inbox import inbox_of
from janitor.tracking.notices import Notice
inbox = inbox_of(sys.argv[1])
notice = Notice("main", Kind.THREAD, "thread_1", datetime.now(UTC), NoticeEvent.TOUCH)
begun, stop = threading.Event(), threading.Event()
def add():
    while True:  # as a delivery does: another one may be writing
        try:
            return inbox.add([notice])
        except sqlite3.OperationalError as error:
            assert error.sqlite_errorname.startswith("SQLITE_BUSY")
def work():
    while not stop.wait(0.001):  # seldom enough for others to come in between
        add()
        begun.set()
thread = threading.Thread(target=work)
thread.start()
begun.wait()
ended = []
for _ in range(50):
    if not (child := os.fork()):
        signal.alarm(20)
        add()
        os._exit(0)
    ended.append(os.waitpid(child, 0)[1])
    if ended[-1]:
        break
stop.set()
thread.join()
assert not any(ended), f"child {len(ended)} ended by signal {ended[-1]}"
"""


def test_forks_amid_deliveries_leave_every_child_able_to_deliver(place: Place) -> None:
    with closing(sqlite3.connect(place.database)) as reader:
        reader.execute("SELECT 1 FROM janitor_inbox")  # no writer is the last to close the file
        done = run(place)
    assert done.returncode == 0, done.stderr
    assert len(place.rows()) > 50


def run(place: Place) -> subprocess.CompletedProcess[str]:
    script = [sys.executable, "-W", "ignore", "-c", SCRIPT, place.url]
    return subprocess.run(script, capture_output=True, text=True, timeout=DEADLINE, check=False)
