"""Building the image with buildah, in a store of its own that goes with the test session.

Nothing here needs a daemon or namespaces for users: steps run in a chroot. Where packages come from
is read from this machine's pip at run time and handed in as secrets, as a person would.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from image.standin import RECIPE, write_root

ROOT = Path(__file__).parents[3]
BASE = "docker.io/library/python:3.13-slim"
IMAGE = "localhost/janitor:test"
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
PULL_SECONDS, BUILD_SECONDS = 60, 900
# Of pip's settings only those that say where packages come from; others are about this machine.
INDEXES = ("index-url", "extra-index-url")
PLACES = (*INDEXES, "find-links", "no-index", "trusted-host", "proxy", "timeout", "default-timeout")


@dataclass(frozen=True, slots=True)
class Buildah:
    """buildah over a store in one directory."""

    directory: Path

    def command(self, *arguments: str) -> list[str]:
        """A command line on this store."""
        places = [f"--root={self.directory / 'store'}", f"--runroot={self.directory / 'run'}"]
        return ["buildah", *places, "--storage-driver=vfs", *arguments]

    @property
    def environment(self) -> dict[str, str]:
        """What every call needs: files in between go with the store as well."""
        return {**os.environ, "TMPDIR": str(self.directory), "BUILDAH_ISOLATION": "chroot"}

    def try_to(self, *arguments: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        """Do something that may fail."""
        return subprocess.run(
            self.command(*arguments),
            env=self.environment,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=seconds,
        )

    def do(self, *arguments: str, seconds: float = 60) -> str:
        """Do something that has to work; gives what it said."""
        done = self.try_to(*arguments, seconds=seconds)
        assert done.returncode == 0, done.stdout
        return done.stdout.strip()

    def has_base(self) -> bool:
        """Fetch the real base, where it can be reached."""
        try:
            return self.try_to("pull", "-q", BASE, seconds=PULL_SECONDS).returncode == 0
        except subprocess.TimeoutExpired:
            return False

    def build_standin(self) -> None:
        """Give the name of the base to the system that this machine's own packages make."""
        context = self.directory / "standin"
        context.mkdir()
        (context / "Dockerfile").write_text(RECIPE, encoding="utf-8")
        shutil.copy(AUTHORITIES, context)
        write_root(context / "root.tar")
        self.do("bud", "-q", "--layers=false", "-t", BASE, str(context), seconds=BUILD_SECONDS)
        shutil.rmtree(context)

    def build(self) -> None:
        """Build the project's image as its Dockerfile says."""
        conf = self.directory / "pip.conf"
        conf.write_text(pip_conf(), encoding="utf-8")
        conf.chmod(0o600)
        secrets = [f"--secret=id=pip.conf,src={conf}", f"--secret=id=ca.crt,src={AUTHORITIES}"]
        shared = [f"--volume={path}:{path}:ro" for path in local_places()]
        options = ["--layers=false", "--format=docker", "--pull-never", *secrets, *shared]
        self.do("bud", *options, "-t", IMAGE, str(ROOT), seconds=BUILD_SECONDS)

    def described(self) -> Any:  # noqa: ANN401 - what JSON says
        """The image's configuration, as Docker reads it."""
        return json.loads(self.do("inspect", "--type=image", IMAGE))["Docker"]["config"]


def pip_settings() -> dict[str, str]:
    """Where this machine's pip finds packages; what the environment says comes last and wins."""
    said = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    settings = {}
    for line in sorted(said.stdout.splitlines(), key=lambda line: line.startswith(":env:")):
        name, _, value = line.partition("=")
        if (key := name.rpartition(".")[2]) in PLACES:
            settings[key] = str(ast.literal_eval(value))
    return settings


def pip_conf() -> str:
    """These settings as a file for the build."""
    lines = [f"{key} = {' '.join(value.split())}" for key, value in pip_settings().items()]
    return "\n".join(["[global]", f"cert = {AUTHORITIES}", *lines, ""])


def local_places() -> set[Path]:
    """The directories of this machine that the settings name; an index's files lie beside it."""
    found = set()
    for key, value in pip_settings().items():
        paths = (Path(word.removeprefix("file://")) for word in value.split())
        for path in paths:
            if path.is_absolute() and path.is_dir():
                found.add(path.parent if key in INDEXES else path)
    return found
