"""Processes that are forked instead of started are as if they had been started."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from started import program, start

SAYS = """\
import json, os, resource, sys, time
told = {"arguments": sys.argv[1:], "parent": os.getppid(), "directory": os.getcwd(),
        "mark": os.environ.get("MARK"), "home": os.environ.get("HOME"), "stdin": sys.stdin.read(),
        "umask": os.umask(0), "files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "open": sorted(os.listdir("/proc/self/fd"))[:-1]}
print(json.dumps(told), flush=True)
print("to err", file=sys.stderr, flush=True)
if "wait" in sys.argv:
    time.sleep(1000)
sys.exit(7)
"""


@contextmanager
def handed_down(*, umask: int, files: int) -> Iterator[None]:
    """Have this umask and this limit of open files, which children inherit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = os.umask(umask)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        os.umask(before)


@pytest.fixture
def script(tmp_path: Path) -> str:
    path = tmp_path / "says.py"
    path.write_text(SAYS, encoding="utf-8")
    return str(path)


def test_it_is_a_child_with_its_own_streams_and_what_it_inherits(
    tmp_path: Path, script: str
) -> None:
    with handed_down(umask=0o027, files=100):
        process = start(
            script,
            "one",
            env={"MARK": "x", **{n: v for n, v in os.environ.items() if n != "HOME"}},
            cwd=tmp_path,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    out, err = process.communicate(b"given", timeout=240)
    assert (process.returncode, err) == (7, b"to err\n")
    assert json.loads(out) == {
        "arguments": ["one"],
        "parent": os.getpid(),
        "directory": str(tmp_path),
        "mark": "x",
        "home": None,
        "stdin": "given",
        "umask": 0o027,
        "files": 100,
        "open": ["0", "1", "2"],
    }


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_it(script: str, signum: signal.Signals) -> None:
    process = start(script, "wait", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline()
    assert process.poll() is None
    process.send_signal(signum)
    assert process.wait(timeout=240) == -signum
    process.stdout.close()


def test_what_is_read_when_python_starts_is_read(script: str) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "utf-16"}
    process = start(script, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    out, _ = process.communicate(timeout=240)
    assert json.loads(out.decode("utf-16"))["arguments"] == []


def test_a_command_line_ends_as_the_program_does() -> None:
    done = subprocess.run([*program(), "--version"], capture_output=True, check=True, timeout=240)
    assert b"janitor" in done.stdout
    done = subprocess.run([*program(), "--nonsense"], capture_output=True, check=False, timeout=240)
    assert done.returncode == 2
    assert b"No such option" in done.stderr
