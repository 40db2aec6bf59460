"""An empty registry, made once by the program and then copied: most tests are shorter than that.

What is made is a registry's tables at the current revision. Who it is and what it signs plans with
is left out, so that the program gives each copy its own when it opens it.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from janitor.registry import Registry

__all__ = ["OWN", "Registry", "lay"]

OWN = "DELETE FROM meta WHERE key IN ('id', 'plan_key')"


def lay(path: Path) -> str:
    """Put an empty registry at a path; its address."""
    path.write_bytes(_made())
    path.chmod(0o600)
    return f"sqlite:///{path}"


@cache
def _made() -> bytes:
    with TemporaryDirectory() as directory:
        path = Path(directory) / "janitor.db"
        Registry.open(f"sqlite:///{path}").close()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute(OWN)
            connection.commit()
        return path.read_bytes()
