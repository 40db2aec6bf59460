"""Each number that tracking shows is what happened: dropped, tracked, delivered, what waits."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx2
import pytest
from openai import OpenAI
from tracked import DEADLINE, Place

import janitor
from janitor.model import Kind, NoticeEvent
from janitor.testing import Emulated
from janitor.tracking import COUNTERS, collectors, deliver, flush, metrics
from janitor.tracking.delivery import hand_over, post_for
from janitor.tracking.inbox import HttpInbox, SqliteInbox
from janitor.tracking.notices import Notice, line_of
from janitor.tracking.spool import Spool

NOW = datetime(2026, 3, 1, tzinfo=UTC)
FULL = """
import resource, sys
import janitor
from openai import OpenAI
registry, url, key, limit = sys.argv[1:]
client = janitor.track(OpenAI(base_url=url, api_key=key), registry)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), resource.RLIM_INFINITY))
for _ in range(40):
    client.conversations.create()
"""


def notice(id: str) -> Notice:
    return Notice("main", Kind.THREAD, id, NOW, NoticeEvent.REGISTER, NOW)


@pytest.fixture
def client(api: Emulated) -> Iterator[OpenAI]:
    with OpenAI(base_url=api.base_url, api_key=api.api_key, max_retries=0) as made:
        yield made


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.name == "janitor.tracking"]


def until_warned(caplog: pytest.LogCaptureFixture, words: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while not any(words in said for said in warned(caplog)):
        assert time.monotonic() < deadline, warned(caplog)
        time.sleep(0.01)


def bytes_in(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*.jsonl"))


@pytest.mark.slow
@pytest.mark.parametrize("limit", [0, 1000, 2000])
def test_a_full_disk_says_in_the_end_how_many_were_dropped(
    place: Place, api: Emulated, limit: int
) -> None:
    """A limit on files stands for the disk: each write beyond it is cut short or refused."""
    place.database.unlink()
    done = subprocess.run(
        [sys.executable, "-B", "-c", FULL, place.url, api.base_url, api.api_key, str(limit)],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
        env=os.environ | {"JANITOR_SPOOL": str(place.directory / "spool")},
    )
    assert done.returncode == 0, done.stderr
    *_, last = done.stderr.splitlines()
    dropped = re.search(r"File too large; raise .*; (\d+) dropped so far", last)
    assert dropped is not None, done.stderr
    assert int(dropped[1]) == 40 - len(place.spooled()) > 0


def test_a_burst_of_drops_is_told_again_with_its_whole_number(
    client: OpenAI,
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    file = place.directory / "file"
    file.write_text("in the way")
    tracked = janitor.track(client, f"spool://{file}")
    for _ in range(40):
        tracked.conversations.create()
    assert COUNTERS.dropped == 40
    monkeypatch.setattr(metrics, "EVERY", 0.0)  # a minute is over
    until_warned(caplog, "; 40 dropped so far")


def test_a_number_is_told_again_only_where_it_grew(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    COUNTERS.remind(is_last=True)
    COUNTERS.drop("a reason", 3)
    COUNTERS.drop("another")
    COUNTERS.remind()
    COUNTERS.remind(is_last=True)
    COUNTERS.remind(is_last=True)
    assert [re.findall(r": ([a-z ]+); (\d+) dropped", said)[0] for said in warned(caplog)] == [
        ("a reason", "3"),
        ("another", "4"),
    ]


def test_a_torn_line_is_counted_once_however_often_it_is_tried(
    place: Place, tmp_path: Path
) -> None:
    spool = Spool(tmp_path / "torn")
    spool.append(line_of(notice("a")))
    spool.release()
    (path,) = (tmp_path / "torn").iterdir()
    with path.open("ab") as file:
        file.write(line_of(notice("torn"))[:-9])
    nowhere = SqliteInbox(tmp_path / "nowhere.db")
    for _ in range(3):
        with pytest.raises(Exception, match="does not exist yet"):
            hand_over(spool, nowhere)
    assert COUNTERS.dropped == 0
    assert hand_over(spool, SqliteInbox(place.database)) == 1
    assert COUNTERS.dropped == 1


@contextmanager
def janitor_that_refuses_one(answers: list[int]) -> Iterator[str]:
    """A janitor that refuses one row of each call, and answers so in turn."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            said = json.dumps({"refused": [{"index": 0, "id": "t", "reason": "r"}]}).encode()
            self.send_response(answers.pop(0))
            self.send_header("content-length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_what_a_janitor_refuses_is_counted_once_though_all_is_sent_again(place: Place) -> None:
    notices = [notice(f"t{number}") for number in range(501)]
    with janitor_that_refuses_one([202, 503, 202, 202]) as url:
        with pytest.raises(httpx2.HTTPStatusError):
            HttpInbox(url).add(notices)
        assert COUNTERS.dropped == 0
        assert HttpInbox(url).add(notices) == 499
    assert COUNTERS.dropped == 2


def test_a_delivery_says_how_many_were_taken(place: Place, tmp_path: Path) -> None:
    spool = Spool(tmp_path / "given")
    for number in range(5):
        spool.append(line_of(notice(f"t{number}")))
    spool.release()
    with janitor_that_refuses_one([202]) as url:
        assert deliver(tmp_path / "given", url) == 4


def test_what_waits_is_what_lies_there(client: OpenAI, place: Place, tmp_path: Path) -> None:
    place.database.rename(tmp_path / "away")
    tracked = janitor.track(client, place.url)
    tracked.conversations.create()
    (directory,) = (place.directory / "spool").iterdir()
    other = Spool(directory)  # another process's
    other.append(line_of(notice("a")))
    assert not flush(0.5)  # it was seen by now

    def shown() -> float | None:
        return collectors().get_sample_value("janitor_tracking_spool_bytes")

    for _ in range(3):
        tracked.conversations.create()
        assert shown() == bytes_in(directory)
    (tmp_path / "away").rename(place.database)
    other.release()
    assert flush(DEADLINE)
    assert shown() == bytes_in(directory) == 0
    assert COUNTERS.tracked.total() == len(place.rows()) - 1 == 4


def test_what_is_no_segment_holds_up_none(
    client: OpenAI, place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    """A name that leads nowhere, a directory, a pipe, and a file that cannot be opened."""
    directory = post_for(place.url)._opened().directory
    dead = Spool(directory)
    dead.append(line_of(notice("a")))
    dead.release()
    (directory / "link.jsonl").symlink_to("nowhere")
    (directory / "directory.jsonl").mkdir()
    os.mkfifo(directory / "pipe.jsonl")
    busy = directory / "busy.jsonl"
    shutil.copy("/bin/sleep", busy)
    with subprocess.Popen([busy, "60"]) as running:
        try:
            made = janitor.track(client, place.url).conversations.create()
            assert sorted(place.told()) == [("register", "a"), ("register", made.id)]
        finally:
            running.kill()
    assert f"{busy} cannot be read and is left: Text file busy" in warned(caplog)[0]


def test_where_no_thread_can_be_started_calls_go_on_and_what_they_made_waits(
    client: OpenAI,
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    started: list[str] = []

    def none_left(thread: threading.Thread) -> None:
        started.append(thread.name)
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", none_left)
        tracked = janitor.track(client, place.url)
    made = [tracked.conversations.create().id]
    assert started == ["janitor_keep_safe"]
    assert "no thread can be started" in warned(caplog)[0]
    assert COUNTERS.dropped == 0
    assert place.told() == [("register", one) for one in made]
