from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from image.box import ALONE, Box
from image.building import IMAGE, Buildah

TOOLS = ("buildah", "mmdebstrap", "unshare")


def obstacle() -> str | None:
    """Why no image can be built here; where CI is set, a missing tool is a failure instead."""
    if os.geteuid() != 0:
        return "building the image takes root"
    if subprocess.run([*ALONE, "true"], check=False).returncode != 0:
        return "building the image takes mounts"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    return f"{missing[0]} is not installed" if missing and not os.environ.get("CI") else None


@contextmanager
def store() -> Iterator[Buildah]:
    """A store that is gone afterwards, whatever was built in it."""
    # Not among the other tests' files, which may lie in memory: this takes gigabytes.
    with tempfile.TemporaryDirectory(prefix="janitor-image-", dir="/var/tmp") as directory:
        made = Buildah(Path(directory))
        try:
            yield made
        finally:
            made.try_to("rm", "--all")


@pytest.fixture(scope="session")
def built() -> Iterator[Buildah]:
    """The image, built from the project's Dockerfile."""
    if (why := obstacle()) is not None:
        pytest.skip(why)
    with store() as buildah:
        if not buildah.has_base():
            buildah.build_standin()
        buildah.build()
        buildah.do("from", "--pull-never", "--name=box", IMAGE)
        yield buildah


@pytest.fixture
def box(built: Buildah, tmp_path: Path) -> Iterator[Box]:
    """A container with nothing in its volume yet."""
    made = Box(built, "box", Path(built.do("mount", "box")), tmp_path)
    (made.root / "run").mkdir(exist_ok=True)
    yield made
    made.end()
