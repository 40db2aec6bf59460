"""Starts pytest within milliseconds: imports what all tests need once, then forks for every run.

Its argument is the tree, in which the program is whole at first; it says `ready` once it has
imported that, too. Then it reads an order a line on stdin: the rooms of the program to forget, the
environment, pytest's arguments, and the file for what it says. Answers with the exit code once the
process has ended, negative where a signal ended it. Each run imports what it forgot from the tree
as that is by then.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import signal
import ssl
import sys
from collections.abc import Iterable
from typing import Any, NoReturn

import pytest
from sqlmodel import SQLModel

NEEDED = (
    *("aiohttp", "alembic.command", "anyio", "apscheduler.schedulers.background", "click"),
    *(
        "cronsim",
        "h11",
        "hypothesis.strategies",
        "httpx2",
        "openai",
        "openai._vendor.httpx_aiohttp",
    ),
    *("openai.lib.azure", "openai.resources.chat.completions", "orjson", "platformdirs"),
    *("fasteners", "prometheus_client", "psycopg", "pydantic", "psutil", "pyrate_limiter"),
    *("rich.table", "sqlalchemy.dialects.postgresql.psycopg", "sqlalchemy.dialects.sqlite"),
    *("sqlglot", "starlette.testclient", "uvicorn", "uvicorn.protocols.http.h11_impl"),
    *("xdist.plugin", "yaml", "zstandard", "_pytest.assertion.rewrite", "_pytest.capture"),
)


def main(tree: str) -> None:
    """Serve orders until stdin ends."""
    # Loopback speaks no TLS, and the world's certificates take longer to read than a sweep.
    ssl.SSLContext.load_verify_locations = _load_nothing  # type: ignore[method-assign]
    for name in NEEDED:
        try:
            importlib.import_module(name)
        except ImportError:
            continue  # then whoever needs it imports it, or does without
    os.chdir(tree)
    sys.path[:0] = [tree, f"{tree}/tests"]
    _import_program()
    gc.freeze()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        order = json.loads(line)
        if (process := os.fork()) == 0:
            _run(order)
        _, status = os.waitpid(process, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _load_nothing(*_: object, **__: object) -> None:
    """In the place of `load_verify_locations`."""


def _import_program() -> None:
    """Import every room of the program, and make the empty registry that most tests copy."""
    program = importlib.import_module("janitor")
    for found in pkgutil.walk_packages(program.__path__, "janitor."):
        if not found.name.endswith(".__main__") and ".migrations." not in found.name:
            importlib.import_module(found.name)
    importlib.import_module("empty_registry")._made()


def _forget(rooms: Iterable[str]) -> None:
    """Let rooms be imported anew, and what was made with them."""
    program = sys.modules["janitor"]
    for name in [name for name in sys.modules if name.startswith("janitor.")]:
        if name.split(".")[1] in rooms:
            del sys.modules[name]
    for room in rooms:
        vars(program).pop(room, None)  # `from janitor import room` would find it there
    if "registry" in rooms:
        SQLModel._sa_registry.dispose()  # which refuses a second class of one name
        del sys.modules["empty_registry"]


def _run(order: dict[str, Any]) -> NoReturn:
    """Be pytest, once."""
    code = 70
    try:
        os.chdir(order["tree"])
        os.environ.update(order["environment"])
        said = os.open(order["said"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        for stream in (1, 2):
            os.dup2(said, stream)
        signal.alarm(order["patience"])
        _forget(order["forget"])
        code = int(pytest.main(order["arguments"]))
    except BaseException:  # noqa: BLE001 - a child must not return into the server's loop
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main(*sys.argv[1:])
