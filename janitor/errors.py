"""What can go wrong, named by what to do next.

JanitorError
├── ConfigError      fix a file or a command line             (exit 2)
├── AccessError      fix a credential or an endpoint          (exit 3)
├── StoreError       fix the registry's disk                  (exit 3)
│   └── ArchiveError     fix the archive's store: policies that archive pause
├── LimitError       a person must look                       (exit 4)
├── LockedError      wait for the other janitor               (exit 5)
│   └── ClaimLostError   another janitor took a thread over: leave the thread to it
├── StoppedError     start again when you like: it was asked to stop (exit 143 or 130)
├── FaultError       report it: one input caused an unexpected exception (exit 1)
└── DriverError      one thread's call went wrong             (exit 1)
    ├── GoneError        the server does not know the id
    ├── BusyError        it is in use: try again later
    ├── TransientError   the same call may succeed later
    └── RefusedError     the answer cannot be believed, or the call was refused
        ├── UnsupportedError the server does not have this call: choose another policy for it
        ├── IncompleteError  a list that cannot be read to its end: fix the server
        ├── TooLargeError    an answer that would take too much memory
        └── BareGoneError    a 404 about the container that is not in the API's form
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from traceback import StackSummary

# Compiled when they are first needed, which in most commands is never.
_SCHEME = r"[A-Za-z][A-Za-z0-9+._-]*://"
_STRAY = r"(?s)[^:]*://[^:/]*:[^@]*@.*@"
_PARAMETER = r"[?&;]([^=&;?]*)="
_SENSITIVE = r"(?i)pass|pwd|secret|token|key|sig|auth|cred"


def shown_address(url: str) -> str:
    """An address as every message shows it, without its user, password and secret parameters.

    Nothing before the last `@` is shown, since a password may contain another one. Nothing after
    the first parameter name that suggests a secret is shown, since its value may contain an `&`.
    """
    from urllib.parse import unquote  # noqa: PLC0415 - whoever read an address has imported it

    scheme = found[0] if (found := re.match(_SCHEME, url)) else ""
    rest = url.removeprefix(scheme)
    for parameter in re.finditer(_PARAMETER, rest):
        if re.search(_SENSITIVE, unquote(parameter[1])):
            shown, hidden = rest[: parameter.end()], rest[parameter.end() :]
            # A password that contains a `?` looks like a parameter, too.
            return f"{scheme}***" if "@" in hidden else f"{scheme}{shown.rpartition('@')[2]}***"
    return scheme + rest.rpartition("@")[2]


def has_stray_at(url: str) -> bool:
    """Whether a database's address has another `@` after the one that ends its password.

    Drivers end the password at its first `@`, and take the rest of it for the host.
    """
    return re.match(_STRAY, url) is not None


MOST_FRAMES = 40
"""How many of an exception's innermost frames are shown; a recursion has thousands."""
MOST_CAUSES = 10


class JanitorError(Exception):
    """A failure whose message a person can act on; never shown with a traceback."""

    exit_code: ClassVar[int] = 1


@contextmanager
def light_failures() -> Iterator[None]:
    """Clear the frames of a failure's traceback, since they keep the answers read in memory.

    It may take long until the failure has been settled.
    """
    try:
        yield
    except JanitorError as error:
        import traceback  # noqa: PLC0415 - `--help` does not need it

        failed: BaseException | None = error
        while failed is not None:
            traceback.clear_frames(failed.__traceback__)
            failed = failed.__cause__ or failed.__context__
        raise


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a file: `file:line:column`, lines and columns counted from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One thing wrong with a file: where, at which path in the document, and what to write."""

    message: str
    place: Place | None = None
    path: str = ""

    def __str__(self) -> str:
        where = " ".join(str(part) for part in (self.place, self.path) if part)
        return f"{where}: {self.message}" if where else self.message


class ConfigError(JanitorError):
    """A file, an option or an environment variable must be changed."""

    exit_code = 2

    def __init__(self, message: str, *, refusals: tuple[Refusal, ...] = ()) -> None:
        super().__init__(message)
        self.refusals = refusals


class NoRegistryError(ConfigError):
    """There is no registry yet at the place that the configuration names."""


class AccessError(JanitorError):
    """The credential or the endpoint was refused: the whole project stops."""

    exit_code = 3


class StoreError(JanitorError):
    """The registry or the archive does not answer, is full, or is not writable."""

    exit_code = 3


class ArchiveError(StoreError):
    """The archive does not answer, is full or not writable: policies that archive must pause."""


class LimitError(JanitorError):
    """A safety limit stopped something; a person must look."""

    exit_code = 4


class LockedError(JanitorError):
    """Another janitor holds the run."""

    exit_code = 5


class ClaimLostError(LockedError):
    """A lease ran out before the work was done: another janitor may be at work by now."""


class StoppedError(JanitorError):
    """A wait was cut short because the process was asked to stop; what waited stays as it is."""

    exit_code = 143


class FaultError(JanitorError):
    """One input caused an unexpected exception: its `__cause__`, whose text is not shown.

    A library's exception may quote a row, so the message names only `where`, its type and line.
    """

    def __init__(self, where: str, cause: Exception) -> None:
        super().__init__(
            f"{where}: unexpected {_spot(cause)}; the log has the stack frames. Report it, unless "
            "something there explains it"
        )
        self.__cause__ = cause


def _spot(error: BaseException) -> str:
    """An exception by its type, and the line that raised it."""
    name, innermost = type(error).__name__, _stack(error)[-1:]
    places = [f" at {PurePath(f.filename).name}:{f.lineno} in {f.name}" for f in innermost]
    return "".join([name, *places])


def frames(error: BaseException) -> str:
    """An exception and its causes as types and frames: no messages, no source, no locals."""
    chain: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in chain and len(chain) < MOST_CAUSES:
        chain.append(following)
        before = None if following.__suppress_context__ else following.__context__
        following = following.__cause__ or before
    return "\nwhich led to:\n".join(_frames(one) for one in reversed(chain))


def _frames(error: BaseException) -> str:
    lines = [f'  File "{f.filename}", line {f.lineno}, in {f.name}' for f in _stack(error)]
    name = f"{type(error).__module__}.{type(error).__qualname__}"
    grouped = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    members = [_frames(one) for one in grouped[:MOST_CAUSES]]
    return "\n".join(["frames, the innermost last:", *lines, name, *members])


def _stack(error: BaseException) -> StackSummary:
    import traceback  # noqa: PLC0415 - `--help` does not need it

    walked = traceback.walk_tb(error.__traceback__)
    return traceback.StackSummary.extract(walked, limit=-MOST_FRAMES, lookup_lines=False)


class DriverError(JanitorError):
    """A call about one thread failed; the message never quotes the thread's content."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class GoneError(DriverError):
    """The server says that it does not know this id (a proper API 404, not a gateway's page)."""


class BusyError(DriverError):
    """A run is active or the container is locked; try again at a later sweep."""


class TransientError(DriverError):
    """Rate limit, time-out, reset or server fault; the same call may succeed later."""


class RefusedError(DriverError):
    """The call was refused, or its answer cannot be believed (bad success, incomplete export)."""


class UnsupportedError(RefusedError):
    """The server does not offer a changing call, so the call changed nothing."""


class IncompleteError(RefusedError):
    """A server's list ends early or never, so nothing may be copied or removed."""


class TooLargeError(RefusedError):
    """An answer would take more memory than it may; none of it was believed."""


class BareGoneError(RefusedError):
    """A 404 for the container that is not in the API's form: it may be a gateway's."""
