"""A container of the image, with a root that nobody can write and the mounts that are documented.

`buildah run` knows no `--read-only`, so it runs in a mount namespace of its own where the root of
the container is mounted read-only; only `/run` is left to it, where it puts a file of its own.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from world import DEADLINE, Done, finished

from image.building import Buildah

USER = 10001
# Whoever ends the first process of its own ends every other with it.
ALONE = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
READ_ONLY = (
    'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" '
    '&& mount -t tmpfs -o mode=755 tmpfs "$0/run" && exec "$@"'
)
# What a command prints last is lost where buildah, which copies it, ends first on a busy machine.
INTO_FILES = 'exec "$@" >/tmp/stdout 2>/tmp/stderr'


@dataclass
class Box:
    """One container: what it is told, and what it keeps, in a directory of the test."""

    buildah: Buildah
    name: str
    root: Path
    directory: Path
    environment: dict[str, str] = field(default_factory=dict)
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for path, mode in ((self.state, 0o700), (self.settings, 0o755), (self.scratch, 0o1777)):
            path.mkdir()
            path.chmod(mode)
        os.chown(self.state, USER, USER)

    @property
    def state(self) -> Path:
        return self.directory / "state"

    @property
    def settings(self) -> Path:
        return self.directory / "settings"

    @property
    def scratch(self) -> Path:
        return self.directory / "scratch"

    def start(self, command: Sequence[str]) -> subprocess.Popen[bytes]:
        """Begin a command in the container."""
        mounts = {
            f"{self.state}:/var/lib/janitor:rw",
            f"{self.settings}:/etc/janitor:ro",
            f"{self.scratch}:/tmp:rw",
        }
        given = [f"--env={name}={value}" for name, value in self.environment.items()]
        line = self.buildah.command(
            "run", *(f"--volume={one}" for one in mounts), *given, self.name, "--", *command
        )
        process = subprocess.Popen(
            [*ALONE, "sh", "-c", READ_ONLY, str(self.root), *line],
            env=self.buildah.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.started.append(process)
        return process

    def run(self, *command: str) -> Done:
        """Call a command in the container, and wait for its end."""
        done = finished(self.start(("sh", "-c", INTO_FILES, "sh", *command)))
        out, err = ((self.scratch / name).read_text("utf-8") for name in ("stdout", "stderr"))
        return Done(done.code, done.out + out, done.err + err)

    def end(self) -> None:
        """End what still runs."""
        for process in self.started:
            process.kill()
            process.communicate(timeout=DEADLINE)


def descendants(number: int) -> list[int]:
    """The processes below one, parents before their children."""
    children = [
        int(child)
        for task in Path(f"/proc/{number}/task").iterdir()
        for child in (task / "children").read_text(encoding="ascii").split()
    ]
    return children + [one for child in children for one in descendants(child)]
