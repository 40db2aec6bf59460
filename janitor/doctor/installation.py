"""The installation: whether this program is whole, and what surrounds it lets it work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from janitor import drivers, metrics
from janitor.distribution import NAME, OWN, REINSTALL, VERSION, lost_files, remedy, rivals, some
from janitor.doctor.findings import Finding, doubtful, fine, wrong

CHECK = "installation"
CONFIG = 2


def look_at_installation(path: Sequence[str] | None = None) -> Iterator[Finding]:
    """Whether another package or command `janitor` hides this one, or shares files with it."""
    troubled = False
    for rival in rivals(path):
        troubled = True
        if rival.shared:
            says = f"{rival.name} installed files of this program's names ({some(rival.shared)})"
            yield wrong(CHECK, f"{says}: what runs may be its code", remedy(rival), CONFIG)
        elif rival.place is not None:
            says = f"{rival.name} has a package `janitor` of its own at {rival.place}"
            yield doubtful(CHECK, f"{says}: it may be imported instead", remedy(rival))
        else:
            says = f"{rival.name} installs a command `janitor`, too: it may run instead"
            yield doubtful(CHECK, says, remedy(rival))
    if gone := lost_files(path):
        troubled = True
        yield wrong(CHECK, f"{len(gone)} files are missing ({some(gone)})", REINSTALL, CONFIG)
    if not troubled:
        yield fine(CHECK, f"{NAME} {VERSION} in {OWN}")


def look_at_environment() -> Iterator[Finding]:
    """Whether the environment names proxies, certificates or counters that cannot be used.

    Raises:
        ConfigError: It does.
    """
    for check in (drivers.check_environment, metrics.check_environment):
        check()
    yield fine("environment", "no environment variable is in the way")
