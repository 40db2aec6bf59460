"""B11: memory of an idle service beside its libraries, and what a plan of more due rows adds."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path

from comparison import Measure, Pair, Size
from filled_registry import fill

from janitor.config import load

FEW, MANY = 1000, 1_000_000
MIB = 1 << 20
PATIENCE = 120.0
LIBRARIES = (
    "import click, yaml, pydantic, sqlmodel, openai, httpx2, prometheus_client, apscheduler, "
    "starlette, uvicorn, zstandard, watchfiles"
)
RESIDENT = "\nprint(open('/proc/self/status').read().split('VmRSS:')[1].split()[0])"
PLAN = """
import os, sys
from contextlib import redirect_stdout
from pathlib import Path
from janitor.cli import execute

with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
    code = execute(["--config", sys.argv[1], "--output", "json", "plan", "--offline"])
assert code == 0
print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""
CONFIG = """\
version: 1
registry: {{url: "sqlite:///{registry}"}}
projects: {{main: {{api_key: {{env: BENCH_KEY}}, base_url: "http://127.0.0.1:9"}}}}
service: {{listen: "127.0.0.1:{port}"}}
schedule: {{cron: "0 3 1 1 *"}}
policies:
  - {{name: old, match: {{project: main}}, delete: {{after: 30d}}}}
"""


def measures(directory: Path, size: Size) -> Iterator[Measure]:
    """Resident memory of the idle service ÷ its libraries'; MiB that more due rows add."""
    os.environ["BENCH_KEY"] = "sk-bench"
    few, many = (configured(directory, size.rows(number)) for number in (FEW, MANY))
    ratios = tuple(Pair.of(idle(few), printed(LIBRARIES + RESIDENT)) for _ in range(size.pairs))
    what = "idle memory of serve ÷ its libraries"
    yield Measure("B11", what, 1.2, ratios, at_most=True, unit="KiB")
    # Once: it takes minutes, and memory differs little between runs.
    grown = (max(printed(PLAN, many) - printed(PLAN, few), 1) * 1024 / MIB,)
    what = f"MiB more to plan {size.rows(MANY)} due than {size.rows(FEW)}"
    yield Measure("B11", what, 16.0, grown, at_most=True)


def configured(directory: Path, due: int) -> Path:
    """A configuration whose registry has so many due threads."""
    file, registry = directory / f"{due}.yaml", directory / f"{due}.db"
    file.write_text(CONFIG.format(registry=registry, port=free_port()), encoding="utf-8")
    fill(file, due, due)
    return file


def printed(script: str, *arguments: Path) -> int:
    """The number that a script prints, in a process of its own."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return int(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def idle(config: Path) -> int:
    """The KiB that the service has once it answers."""
    port = int(load(config).service.listen.rpartition(":")[2])
    command = [sys.executable, "-m", "janitor", "--config", str(config), "serve"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            answered(port)
            status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
        finally:
            process.send_signal(signal.SIGTERM)
    return int(status.partition("VmRSS:")[2].split()[0])


def answered(port: int) -> None:
    """Wait until the service answers."""
    ends_at = time.monotonic() + PATIENCE
    while time.monotonic() < ends_at:
        with suppress(OSError):
            connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
            connection.request("GET", "/readyz")
            connection.getresponse()
            return
        time.sleep(0.1)
    raise TimeoutError("the service does not answer")


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
