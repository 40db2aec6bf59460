"""The image, really built and run: as its user, with a root that nobody can write."""

from __future__ import annotations

import os
import re
import signal
import socket
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import pytest
from world import DEADLINE, finished, until

from image.box import USER, Box, descendants
from image.building import ROOT, Buildah
from janitor.distribution import VERSION
from janitor.testing import Emulated, emulator

# The first of them waits for the build, which under load may take minutes.
pytestmark = pytest.mark.timeout(1800)

Described: TypeAlias = dict[str, Any]

KEY = "sk-of-a-container"
DOCUMENTED = re.compile(r"^```yaml\n(registry: .*?)^```$", re.MULTILINE | re.DOTALL)
MORE = """\
version: 1
mode: enforce
schedule: {every: 1h}
limits: {max_percent: 100}
policies: [{name: all, default: true, archive: {after: 1d}, delete: {after: 2d}}]
"""
WRITE = """\
import os, pathlib
for place in ("/", "/opt/janitor", "/etc", "/etc/janitor", "/tmp", "/var/lib/janitor"):
    try:
        (pathlib.Path(place) / "written").write_text("x")
    except OSError as error:
        print(place, error.errno)
    else:
        print(place, "written by", os.getuid(), os.getgid())
"""
EROFS = 30


@pytest.fixture(scope="session")
def described(built: Buildah) -> Described:
    return dict(built.described())


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def filled(box: Box, port: int) -> Iterator[Emulated]:
    """A container with a configuration, an API on loopback, and a registry of one old thread."""
    old = datetime.now(UTC) - timedelta(days=30)
    with emulator({KEY: "main"}) as api:
        box.environment |= {"OPENAI_API_KEY": KEY, "OPS_TOKEN": "of a test"}
        config = documented(port, api.base_url) + MORE
        (box.settings / "janitor.yaml").write_text(config, encoding="utf-8")
        thread = api.server.add_conversation(created_at=old, items=3)
        listed = f"id,last_active_at\n{thread},{old.isoformat()}\n"
        (box.settings / "threads.csv").write_text(listed, encoding="utf-8")
        done = box.run("janitor", "import", "/etc/janitor/threads.csv")
        assert done.code == 0, done.err
        yield api


def documented(port: int, url: str) -> str:
    """What the page for operators says of a container, at a free port and another API."""
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    blocks = (str(block[1]) for block in DOCUMENTED.finditer(page))
    (text,) = (block for block in blocks if "0.0.0.0" in block)  # noqa: S104 - of a container
    edits = {
        "0.0.0.0:9464": f"0.0.0.0:{port}",
        "OPENAI_API_KEY}": f"OPENAI_API_KEY}}, base_url: {url}",
    }
    for said, meant in edits.items():
        assert text.count(said) == 1
        text = text.replace(said, meant)
    return text


def test_it_is_the_version_that_the_project_has(box: Box, described: Described) -> None:
    done = box.run(*described["Entrypoint"], "--version")
    assert (done.code, done.out) == (0, f"janitor, version {VERSION}\n"), done.err


def test_it_holds_every_extra_and_no_tool_of_the_build(box: Box) -> None:
    code = "import psycopg, sqlalchemy_dlock; from cysystemd import daemon"
    done = box.run("python", "-c", code)
    assert done.code == 0, done.err
    assert box.run("python", "-c", "import hatchling").code == 1


def test_only_the_volume_and_tmp_can_be_written(box: Box) -> None:
    done = box.run("python", "-c", WRITE)
    assert done.out.splitlines() == [
        f"/ {EROFS}",
        f"/opt/janitor {EROFS}",
        f"/etc {EROFS}",
        f"/etc/janitor {EROFS}",
        f"/tmp written by {USER} {USER}",
        f"/var/lib/janitor written by {USER} {USER}",
    ], done.err


def test_it_says_what_a_supervisor_has_to_know(described: Described) -> None:
    assert described["User"] == f"{USER}:{USER}"
    assert described["StopSignal"] == "SIGTERM"
    assert list(described["ExposedPorts"]) == ["9464/tcp"]
    assert described["Cmd"] == ["serve"]
    assert not described["Volumes"]


def test_one_sweep_does_its_work_and_is_never_unhealthy(
    box: Box, filled: Emulated, described: Described
) -> None:
    done = box.run(*described["Entrypoint"], "sweep")
    assert done.code == 0, done.err
    assert filled.server.ids() == []
    (copy,) = (box.state / "archive").rglob("*.zst")
    assert copy.stat().st_uid == USER
    assert box.run(*healthcheck(described)).code == 0


def healthcheck(described: Described) -> list[str]:
    """The command by which the image is asked how it is."""
    form, *command = described["Healthcheck"]["Test"]
    assert form == "CMD"
    return list(command)


def test_the_service_answers_is_healthy_and_stops_cleanly(
    box: Box, filled: Emulated, port: int, described: Described
) -> None:
    process = box.start([*described["Entrypoint"], *described["Cmd"]])
    until(lambda: process.poll() is not None or answers(port, "healthz"))
    assert answers(port, "metrics")
    assert box.run(*healthcheck(described)).out == f"alive on 0.0.0.0:{port}\n"
    until(lambda: filled.server.ids() == [])
    service = descendants(process.pid)[-1]
    os.kill(service, signal.SIGSTOP)
    assert box.run(*healthcheck(described)).code != 0
    os.kill(service, signal.SIGCONT)
    os.kill(service, signal.Signals[described["StopSignal"]])
    done = finished(process)
    assert done.code == 0, done.err


def answers(port: int, page: str) -> bool:
    """Whether the service says that all is well, to somebody outside of its container."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=DEADLINE) as said:
            return bool(said.status == 200)
    except OSError:
        return False
