"""What `doctor`, and a start that fails, say of another package or command called `janitor`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from janitor.distribution import OWN, REINSTALL, VERSION, explain_damage, install
from janitor.doctor import Finding, look_at_installation
from janitor.doctor.findings import Verdict

OURS = {"janitor/__init__.py": "", "janitor/errors.py": "", "janitor/cli/__init__.py": ""}
THEIRS = {"janitor/__init__.py": "import nothing", "janitor/errors.py": "", "janitor/math.py": ""}
SCRIPT = "[console_scripts]\njanitor = other:main\n"


def put(
    root: Path,
    name: str,
    files: Mapping[str, str] = {},
    *,
    points: str = "",
    record: bool = True,
    top_level: str = "",
) -> None:
    """Install a distribution as an installer does: its files, and what it records of them."""
    info = root / f"{name.replace('-', '_')}-1.2.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
    if points:
        (info / "entry_points.txt").write_text(points)
    if top_level:
        (info / "top_level.txt").write_text(top_level)
    if record:
        (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))
    for file, text in files.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_text(text)


def look(*roots: Path) -> list[Finding]:
    return list(look_at_installation([str(root) for root in roots]))


def test_alone_all_is_well(tmp_path: Path) -> None:
    put(tmp_path, "thread-janitor", OURS)
    put(tmp_path, "something-else", {"other/janitor/__init__.py": "", "janitors/__init__.py": ""})
    (found,) = look(tmp_path)
    assert (found.verdict, found.says) == (Verdict.OK, f"thread-janitor {VERSION} in {OWN}")


@pytest.mark.parametrize("name", ["pyjanitor", "janitor", "Py_Janitor"])
def test_a_distribution_that_shares_files_is_named(tmp_path: Path, name: str) -> None:
    put(tmp_path, "thread-janitor", OURS)
    put(tmp_path, name, THEIRS)
    (found,) = look(tmp_path)
    called = name.lower().replace("_", "-")
    assert (found.check, found.verdict, found.code) == ("installation", Verdict.FAIL, 2)
    assert found.says.startswith(f"{called} 1.2 installed files with the names of this program's (")
    assert "janitor/errors.py" in found.says
    assert "janitor/math.py" not in found.says
    assert (found.todo or "").startswith(f"pip uninstall {called} thread-janitor, then install")


@pytest.mark.parametrize(
    ("files", "points", "said"),
    [
        ({"janitor/__init__.py": ""}, "", "has its own package `janitor`"),
        ({"janitor.py": ""}, "", "has its own package `janitor`"),
        ({"janitor.cpython-311-x86_64-linux-gnu.so": ""}, "", "has its own package `janitor`"),
        ({"janitor/part/thing.py": ""}, "", "has its own package `janitor`"),
        ({}, SCRIPT, "installs a command `janitor`"),
        ({"../bin/janitor": "#!/bin/sh\n"}, "", "installs a command `janitor`"),
    ],
)
def test_one_elsewhere_is_named_with_what_it_takes(
    tmp_path: Path, files: Mapping[str, str], points: str, said: str
) -> None:
    put(tmp_path / "ours", "thread-janitor", OURS)
    put(tmp_path / "theirs", "pyjanitor", files, points=points)
    (found,) = look(tmp_path / "theirs", tmp_path / "ours")
    assert (found.verdict, found.code) == (Verdict.WARN, 0)
    assert found.says.startswith("pyjanitor 1.2 ")
    assert said in found.says
    assert "pip uninstall pyjanitor" in (found.todo or "")


def test_one_that_records_no_files_is_known_by_its_package(tmp_path: Path) -> None:
    put(tmp_path, "pyjanitor", {"janitor/__init__.py": ""}, record=False, top_level="janitor\n")
    (found,) = look(tmp_path)
    assert found.says.startswith(f"pyjanitor 1.2 has its own package `janitor` at {tmp_path}")


def test_a_directory_that_nobody_installed_is_named(tmp_path: Path) -> None:
    (tmp_path / "janitor").mkdir()
    assert [one.verdict for one in look(tmp_path)] == [Verdict.OK]  # nothing to import
    (tmp_path / "janitor" / "__init__.py").touch()
    (found,) = look(tmp_path)
    assert found.verdict is Verdict.WARN
    assert str(tmp_path / "janitor") in found.says
    assert "PYTHONPATH" in (found.todo or "")


def test_a_broken_neighbour_keeps_nobody_from_looking(tmp_path: Path) -> None:
    (tmp_path / "broken-1.dist-info").mkdir()
    (tmp_path / "worse-1.dist-info").mkdir()
    (tmp_path / "worse-1.dist-info" / "METADATA").write_bytes(b"\xff\xfe\x00")
    put(tmp_path, "pyjanitor", {"janitor/__init__.py": ""})
    assert [one.verdict for one in look(tmp_path)] == [Verdict.WARN]


def test_files_that_went_with_a_rival_are_missed(tmp_path: Path) -> None:
    put(tmp_path, "thread-janitor", OURS)
    (tmp_path / "janitor" / "errors.py").unlink()
    (found,) = look(tmp_path)
    assert (found.verdict, found.code, found.todo) == (Verdict.FAIL, 2, REINSTALL)
    assert found.says.startswith("1 file is missing (")
    assert (explain_damage([str(tmp_path)]) or "").startswith("1 of its files are missing (")


def start(site: Path) -> subprocess.CompletedProcess[str]:
    """Start the program that lies in a directory."""
    return subprocess.run(
        [sys.executable, "-m", "janitor", "--version"],
        cwd=site,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """The program, installed in a directory of the test."""
    shutil.copytree(OWN, tmp_path / "janitor", ignore=shutil.ignore_patterns("__pycache__"))
    assert start(tmp_path).stdout == f"janitor, version {VERSION}\n"
    return tmp_path


def test_a_start_says_who_has_overwritten_the_program(site: Path) -> None:
    put(site, "pyjanitor", {"janitor/errors.py": "class JanitorError(Exception): pass\n"})
    done = start(site)
    assert (done.returncode, done.stdout) == (2, "")
    assert "hidden or overwritten by another `janitor` (pyjanitor 1.2)" in done.stderr
    assert "pip uninstall pyjanitor thread-janitor" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_start_says_what_went_with_a_rival(site: Path) -> None:
    put(site, "thread-janitor", {"janitor/errors.py": ""})
    (site / "janitor" / "errors.py").unlink()
    done = start(site)
    assert done.returncode == 2
    assert f"1 of its files are missing (janitor/errors.py): {REINSTALL}" in done.stderr


def test_a_dependency_that_is_missing_is_no_rivals_fault(site: Path) -> None:
    (site / "click.py").write_text("raise ModuleNotFoundError('no click here')\n")
    done = start(site)
    assert done.returncode == 1
    assert done.stderr.endswith("no click here\n")


def test_an_extra_is_installed_from_a_checkout() -> None:
    assert install("track") == "in a checkout of janitor, run: pip install '.[track]'"
