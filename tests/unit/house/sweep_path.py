"""How much of the program one sweep of one due thread runs, counted while it runs.

Run it to see the figures: `python tests/unit/house/sweep_path.py [--list]`.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import FrameType

from janitor.cli import execute
from janitor.emulator import Emulator

PROGRAM = Path(execute.__code__.co_filename).parents[1]
KEY = "sk-path"
CONFIG = """\
version: 1
mode: enforce
registry: {{url: "sqlite:///janitor.db"}}
archive: {{url: "file://archive", keep_for: 1y}}
limits: {{max_percent: 100}}
projects: {{main: {{api_key: {{env: JANITOR_PATH_KEY}}, base_url: "{base_url}"}}}}
policies: [{{name: old, default: true, archive: {{after: 7d}}, delete: {{after: 30d}}}}]
"""


class Trace:
    """The program's functions that were called, each once, by file; the emulator's are left out."""

    def __init__(self) -> None:
        self.functions: set[tuple[str, str]] = set()

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            code = frame.f_code
            self.functions.add((code.co_filename, code.co_qualname))

    @property
    def files(self) -> Counter[str]:
        """How many functions of each file were called."""
        paths = (Path(file) for file, name in self.functions if name != "<module>")
        inside = (path.relative_to(PROGRAM) for path in paths if path.is_relative_to(PROGRAM))
        return Counter(path.as_posix() for path in inside if path.parts[0] != "emulator")


def swept(directory: Path) -> Trace:
    """Archive and delete one conversation of an emulated server, and watch what is called."""
    server, trace = Emulator({KEY: "main"}), Trace()
    at = datetime.now(UTC) - timedelta(days=45)
    one = server.add_conversation(created_at=at, items=2)
    os.environ["JANITOR_PATH_KEY"] = KEY
    with server.serve() as served:
        config = directory / "janitor.yaml"
        config.write_text(CONFIG.format(base_url=served.base_url), encoding="utf-8")
        told = directory / "threads.csv"
        told.write_text(f"id,created_at,last_active_at\n{one},{at},{at}\n", encoding="utf-8")
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            assert execute(["--config", str(config), "import", str(told)]) == 0
            threading.setprofile(trace)
            sys.setprofile(trace)
            code = execute(["--config", str(config), "sweep"])
            sys.setprofile(None)
            threading.setprofile(None)
    assert (code, server.exists(one)) == (0, False)
    return trace


def main() -> None:
    """Print how many functions in how many files; with --list each file."""
    with tempfile.TemporaryDirectory() as directory:
        files = swept(Path(directory)).files
    sys.stdout.write(f"{files.total()} functions in {len(files)} files\n")
    if "--list" in sys.argv:
        for name, count in files.most_common():
            sys.stdout.write(f"  {count:4} {name}\n")


if __name__ == "__main__":
    main()
