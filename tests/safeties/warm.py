"""Starts pytest within milliseconds: imports what all tests need once, then forks for every run.

Reads an order a line on stdin: the tree, the environment, pytest's arguments, and the file for
what it says. Answers with the exit code once the process has ended, negative where a signal ended
it. Nothing of janitor is imported here: each run imports it from its own tree.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import ssl
import sys
from typing import Any, NoReturn

import pytest

NEEDED = (
    *("aiohttp", "alembic.command", "anyio", "apscheduler.schedulers.background", "click"),
    *("hypothesis.strategies", "httpx2", "httpx2_aiohttp", "openai", "orjson"),
    *("openai.lib.azure", "openai.resources.chat.completions", "prometheus_client", "psycopg"),
    *("pydantic", "pyrate_limiter", "rich.table", "sqlalchemy.dialects.postgresql.psycopg"),
    *("sqlalchemy.dialects.sqlite", "sqlmodel", "starlette.testclient", "uvicorn", "yaml"),
    *("xdist.plugin", "zstandard", "_pytest.assertion.rewrite", "_pytest.capture"),
)


def main() -> None:
    """Serve orders until stdin ends."""
    # Loopback speaks no TLS, and the world's certificates take longer to read than a sweep.
    ssl.SSLContext.load_verify_locations = _load_nothing  # type: ignore[method-assign]
    for name in NEEDED:
        try:
            importlib.import_module(name)
        except ImportError:
            continue  # then whoever needs it imports it, or does without
    gc.freeze()
    for line in sys.stdin:
        order = json.loads(line)
        if (process := os.fork()) == 0:
            _run(order)
        _, status = os.waitpid(process, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _load_nothing(*_: object, **__: object) -> None:
    """In the place of `load_verify_locations`."""


def _run(order: dict[str, Any]) -> NoReturn:
    """Be pytest, once."""
    code = 70
    try:
        os.chdir(order["tree"])
        os.environ.update(order["environment"])
        sys.path.insert(0, order["tree"])
        said = os.open(order["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        for stream in (1, 2):
            os.dup2(said, stream)
        signal.alarm(order["patience"])
        code = int(pytest.main(order["arguments"]))
    except BaseException:  # noqa: BLE001 - a child must not return into the server's loop
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
