"""The nouns: frozen values that every package uses. No I/O, no clock.

`docs/glossary.md` explains each noun of the program in one sentence.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from janitor.kinds import Kind as Kind  # noqa: PLC0414 - re-exported

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass  # noqa: PLC0414 - re-exported
else:

    def dataclass(*, frozen: bool, slots: bool, order: bool = False) -> Callable[[type], type]:
        """`dataclasses.dataclass`, but only the type checker refuses assignments to a frozen one.

        Refusing them at run time makes building one three times as slow, and some are built for
        every row.
        """
        return dataclasses.dataclass(slots=slots, order=order, unsafe_hash=frozen)


Metadata = Mapping[str, str]


class State(StrEnum):
    """How far a thread has gone."""

    ACTIVE = "active"
    ARCHIVED = "archived"
    SOFT_DELETED = "soft_deleted"
    DELETING = "deleting"
    DELETED = "deleted"
    MISSING = "missing"


LIVE = frozenset({State.ACTIVE, State.ARCHIVED, State.SOFT_DELETED, State.DELETING})

SORTABLE = ("created_at", "last_active_at", "review_at", "due_at", "deleted_at", "items")
"""The fields by which threads can be listed in order."""


class NotFound(StrEnum):
    """How a server says that it does not know an id: in the API's form, or as any JSON object."""

    OPENAI = "openai"
    ANY_JSON = "any_json"


NOTICE_VERSION = 1
"""The version of a notice's format, in the spool, the inbox and over HTTP."""


class NoticeEvent(StrEnum):
    """What happened to a container; `touch` is activity."""

    REGISTER = "register"
    TOUCH = "touch"
    DELETED = "deleted"


class Stage(StrEnum):
    """What may be done to a thread, in the order in which it is done."""

    ARCHIVE = "archive"
    SOFT_DELETE = "soft_delete"
    TRIM = "trim"
    DELETE = "delete"


REMOVING = frozenset({Stage.SOFT_DELETE, Stage.TRIM, Stage.DELETE})


class Reason(StrEnum):
    """Why a thread is kept."""

    NOT_DUE = "not_due"
    UNMATCHED = "unmatched"
    KEEP_FOREVER = "keep_forever"
    KEEP_LAST = "keep_last"
    HOLD = "hold"
    RELEASED = "released"
    LIFETIME_MIN = "lifetime_min"
    KEEP_UNTIL = "keep_until"
    UNKNOWN_ACTIVITY = "unknown_activity"
    UNKNOWN_METADATA = "unknown_metadata"
    FUTURE_DATED = "future_dated"
    EXCLUDED = "excluded"
    UNAPPROVED = "unapproved"
    NOT_SERVED = "not_served"
    SOURCE_DOWN = "source_down"
    OTHER_PROJECT = "other_project"
    UNANSWERED = "unanswered"
    NOT_PROBED = "not_probed"


class Outcome(StrEnum):
    """How carrying out a stage ended; counted from replies, never from intentions."""

    DONE = "done"
    KEPT = "kept"
    BUSY = "busy"
    MISSING = "missing"
    FAILED = "failed"


class Mode(StrEnum):
    """Whether a policy may act."""

    AUDIT = "audit"
    ENFORCE = "enforce"


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """The registry's key of a thread."""

    project: str
    kind: Kind
    id: str


@dataclass(frozen=True, slots=True)
class Copy:
    """A proven object in the archive.

    `digest` is the canonical digest of the content, `sealed` the sha256 of the stored bytes,
    `size` their number; `items` counts items and `newest_item` is the last one's id.
    """

    path: str
    digest: str
    sealed: str
    items: int
    newest_item: str | None
    size: int
    archived_at: datetime


@dataclass(frozen=True, slots=True)
class Thread:
    """What is known of a container, as decisions see it.

    `None` in `created_at`, `last_active_at`, `items`, `reported` and `upstream` means unknown;
    an empty map means read and empty. `copy` is the newest proven archive object and
    `copy_is_current` whether it equals what is upstream, as far as is known. The thread is kept
    until `grace_until` if an edit of its metadata ended the protection by `grace_by`. `source` is
    the source that registered it; `vanished_at` is when its row was found to be gone there.
    """

    key: Key
    state: State = State.ACTIVE
    created_at: datetime | None = None
    last_active_at: datetime | None = None
    items: int | None = None
    newest_item: str | None = None
    reported: Metadata | None = None
    upstream: Metadata | None = None
    keep_until: datetime | None = None
    soft_deleted_at: datetime | None = None
    copy: Copy | None = None
    copy_is_current: bool = False
    grace_until: datetime | None = None
    grace_by: str | None = None
    source: str | None = None
    vanished_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """Forbids removing what it names, by id or by metadata, until released."""

    name: str
    reason: str = ""
    ids: frozenset[str] = frozenset()
    metadata: Metadata = field(default_factory=dict)
    until: datetime | None = None
    released_at: datetime | None = None

    def is_in_force(self, now: datetime) -> bool:
        """Whether it is neither released nor over; a policy may grant a grace after that."""
        return self.released_at is None and (self.until is None or self.until > now)


@dataclass(frozen=True, slots=True)
class Veto:
    """Why another project, which has the same container registered, keeps it."""

    project: str
    reason: str

    def __str__(self) -> str:
        return f"{Reason.OTHER_PROJECT} {self.project}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with a thread now, and why.

    `stages` is all that one sweep would carry out, in order; `stage` the first of them. `due_at`
    is when the next stage falls due (`None`: never), `policy` the one whose time decided,
    `age_base` the time from which its age counts. `review_at` is when to look again (`None`: only
    when policies or facts change). `keep_for` is how long the archive keeps the copy (`None`:
    forever), `copied_by` names the policies that ask for one. `veto` says who keeps the container
    if `reason` is `other_project`. If two sets of policies decided together, by different
    policies, `beside` is the policy from the other set.
    """

    stages: tuple[Stage, ...] = ()
    policy: str | None = None
    due_at: datetime | None = None
    age_base: datetime | None = None
    reason: Reason | None = None
    review_at: datetime | None = None
    items_first: bool = True
    mark_upstream: bool = False
    keep_for: timedelta | None = None
    copied_by: tuple[str, ...] = ()
    veto: Veto | None = None
    beside: str | None = None

    @property
    def policies(self) -> tuple[str | None, ...]:
        """Every policy that decided this: a pause of any of them covers the thread."""
        return self.policy, self.beside

    @property
    def why(self) -> str | None:
        """The reason as events and reports show it, with the other project if one objects."""
        return self.reason if self.veto is None else str(self.veto)

    @property
    def stage(self) -> Stage | None:
        """The first stage to be carried out now."""
        return self.stages[0] if self.stages else None


@dataclass(frozen=True, slots=True)
class Probe:
    """What the server says about a container, without its text.

    `created_at` is `None` if the server never set it, `last_active_at` also if the API
    reports none (conversations). `newest_item` is `None` for an empty container. `metadata` is
    empty for kinds that have none. `items` are the ids of all items, oldest first, if an export
    has listed them and they fit on a page.
    """

    created_at: datetime | None
    last_active_at: datetime | None
    metadata: Metadata
    newest_item: str | None
    busy: bool = False
    items: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Tail:
    """What is at the end of a container's lists, read newest first.

    `active_at` is the latest time there and `busy` as in a probe, for kinds with runs.
    """

    newest_item: str | None
    active_at: datetime | None = None
    busy: bool = False


@dataclass(frozen=True, slots=True)
class Presence:
    """What reading the container alone tells: that it exists, since when, and its metadata.

    `created_at` is `None` if the server's time means "never set". `metadata` is empty for kinds
    that have none.
    """

    created_at: datetime | None
    metadata: Metadata


@dataclass(frozen=True, slots=True)
class Record:
    """One object of an export, minified as the API sent it.

    The first record of an export is the container itself (`is_item` false); items follow, oldest
    first; other parts of the container (runs) come after them with `is_item` false.
    """

    id: str
    body: bytes
    is_item: bool
