"""A stand-in for the base image, where no registry can be reached: Debian's Python, unpacked.

It has what the image relies on in the real one (`python`, pip that may install, venv, libstdc++,
ca-certificates, tzdata, a shell) and is made of the packages of this machine's own release.
"""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

PACKAGES = (
    "python3",
    "python3-venv",
    "python3-pip",
    "ca-certificates",
    "tzdata",
    "dash",
    "coreutils",
    "libc-bin",
    "libstdc++6",
)
RECIPE = """\
FROM scratch
ADD root.tar /
COPY ca-certificates.crt /etc/ssl/certs/
RUN rm -f /usr/lib/python3*/EXTERNALLY-MANAGED && ln -sf python3 /usr/bin/python
"""
SECONDS = 600


def write_root(archive: Path) -> None:
    """Write the root file system; packages are unpacked only, which is quick and enough."""
    release = platform.freedesktop_os_release()["VERSION_CODENAME"]
    lines_of(
        "mmdebstrap",
        "--quiet",
        "--variant=extract",
        f"--include={','.join(PACKAGES)}",
        *(f"--aptopt={line}" for line in proxies()),
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-exclude=/usr/share/man/*",
        release,
        str(archive),
        mirror(release),
    )


def mirror(release: str) -> str:
    """Where this machine's apt finds its release."""
    lines = lines_of("apt-get", "indextargets", "--format=$(SITE) $(RELEASE)")
    sites = (line.split() for line in lines)
    return next(site for site, name in sites if name == release)


def proxies() -> list[str]:
    """Through what this machine's apt goes."""
    wanted = ("acquire::http::proxy ", "acquire::https::proxy ")
    return [line for line in lines_of("apt-config", "dump") if line.lower().startswith(wanted)]


def lines_of(*command: str) -> list[str]:
    """The lines that a command writes; it has to succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()
