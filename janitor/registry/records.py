"""What goes into the registry and comes out of it: frozen values, never rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from enum import StrEnum

from janitor.model import Copy, Key, Metadata, Outcome, Stage, State, Thread, dataclass
from janitor.policy.activity import Sightings
from janitor.policy.copy_retention import Terms

Note = Mapping[str, str | int]
NAMED = 20
"""How many inbox rows with odd times a drain lists."""


@dataclass(frozen=True, slots=True)
class Registration:
    """A thread as somebody reports it; `None` means not reported.

    `metadata=None` was never read; `{}` was read and is empty. `source` names the source that the
    thread was read from, and `speaks_of` the metadata keys that the source covers (`None`: all);
    other keys stay as they are. `remarks` describe times that are not used as reported: treated as
    never set, or kept forever because they cannot be read.
    """

    key: Key
    created_at: datetime | None = None
    last_active_at: datetime | None = None
    keep_until: datetime | None = None
    metadata: Metadata | None = None
    source: str | None = None
    speaks_of: frozenset[str] | None = None
    remarks: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Registered:
    """What registrations did, counted per registration passed in.

    `due_earlier` counts the updated threads whose activity was known only from a first look and is
    now dated earlier: they fall due earlier.
    """

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    due_earlier: int = 0

    def __add__(self, other: Registered) -> Registered:
        return Registered(
            self.added + other.added,
            self.updated + other.updated,
            self.unchanged + other.unchanged,
            self.due_earlier + other.due_earlier,
        )


@dataclass(frozen=True, slots=True)
class InboxNotice:
    """One row of the inbox as it arrives: untrusted.

    `event` is `register`, `touch` or `deleted`.

    It may add a thread, report activity, keep the thread longer and add metadata; it never
    overwrites anything and never moves a known time back. `deleted` by the application only asks
    for a look at a known thread; it is never believed by itself.
    """

    project: str
    kind: str
    id: str
    at: datetime
    event: str = "register"
    created_at: datetime | None = None
    metadata: Metadata | None = None
    keep_until: datetime | None = None
    v: int = 1


@dataclass(frozen=True, slots=True)
class Drained:
    """The result of a drain; `reason` is why the first of the `refused` rows was refused.

    `fault` is an unexpected exception that a refused row caused; its text must not be shown.
    `odd_times` counts the rows with a time that is not used as reported, and `remarks` describes
    the first of them.
    """

    judged: int = 0
    refused: int = 0
    reason: str | None = None
    odd_times: int = 0
    remarks: tuple[str, ...] = ()
    fault: Exception | None = None

    def __add__(self, other: Drained) -> Drained:
        return Drained(
            self.judged + other.judged,
            self.refused + other.refused,
            self.reason or other.reason,
            self.odd_times + other.odd_times,
            (self.remarks + other.remarks)[:NAMED],
            self.fault or other.fault,
        )


@dataclass(frozen=True, slots=True)
class Claimant:
    """One of the janitors that work on a run; its writes are fenced by its claims."""

    run: str
    owner: str


@dataclass(frozen=True, slots=True)
class Intent:
    """A removing call that is about to be made, or was when its janitor died.

    `alive_at` is when the container was last seen alive under `access`, a fingerprint of endpoint
    and credential; without both a later "not found" proves nothing (I4). `look` is what the removal
    was decided on, written together with the intent if the row does not have it yet.
    """

    key: Key
    run: str
    at: datetime
    policy: str
    alive_at: datetime | None = None
    access: str | None = None
    look: Settlement | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A thread with what only the registry knows about it.

    `attempts` counts consecutive failed attempts, `last_outcome` says whether the last one failed
    or found the container busy (`None`: neither), and `last_error` why.
    `reported_before` is the metadata reported earlier, until the newer report has been decided on.
    `dated_before` is the activity that counted before an operator's report replaced a baseline by
    an earlier date, until that has been decided on.
    """

    thread: Thread
    sightings: Sightings
    review_at: datetime | None
    policy: str | None = None
    due_at: datetime | None = None
    attempts: int = 0
    last_error: str | None = None
    last_outcome: Outcome | None = None
    intent: Intent | None = None
    registered_at: datetime | None = None
    deleted_at: datetime | None = None
    deleted_run: str | None = None
    missing_since: datetime | None = None
    archive_keep_until: datetime | None = None
    reported_before: Metadata | None = None
    dated_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a page of due rows ended."""

    review_at: datetime
    key: Key

    @classmethod
    def of(cls, entry: Entry) -> Cursor:
        """The place right after an entry; ValueError if the entry has no review time."""
        if entry.review_at is None:
            raise ValueError("an entry without a review time has no place among the due")
        return cls(entry.review_at, entry.thread.key)


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the audit trail: what was decided about a thread and how it ended.

    `name` says what happened (`archived`, `deleted`, `kept`, `revived`, `torn`, `failed`, ...).
    No event ever holds conversation text or a metadata value.
    """

    run: str
    at: datetime
    key: Key
    name: str
    stage: Stage | None = None
    outcome: Outcome | None = None
    policy: str | None = None
    reason: str | None = None
    response_id: str | None = None


@dataclass(frozen=True, slots=True)
class Settlement:
    """Everything that one look at a thread changes, written in one transaction.

    `None` leaves a fact as it is. `failure` counts an attempt (`is_busy`: the container was busy);
    `failure=None` clears the count unless `keep_failure`: a stage that is still due has not
    succeeded. `tombstone` drops metadata, labels and sightings (the row then records only the
    deletion and its time). The settlement ends the claim (unless `keep_claim`) and the intent
    (unless `keep_intent`), and the run is done with the thread unless it may `claim_again`.
    `missing` only notes that the server did not know the id; the state changes when the sweep
    confirms it at its end. `reported` is the metadata that was decided on: if the application has
    reported nothing newer, what it reported before is forgotten. `seen_review_at` is the review
    time that the look was based on: if a registration has set another one since, the earlier one
    counts. `older_copies` are the paths of older objects of the series that still exist,
    `archive_terms` is what the tombstone must record about its copy.
    """

    key: Key
    review_at: datetime | None
    state: State | None = None
    created_at: datetime | None = None
    sightings: Sightings | None = None
    upstream: Metadata | None = None
    items: int | None = None
    copy: Copy | None = None
    copy_is_current: bool | None = None
    soft_deleted_at: datetime | None = None
    keep_until: datetime | None = None
    policy: str | None = None
    due_at: datetime | None = None
    failure: str | None = None
    is_busy: bool = False
    keep_failure: bool = False
    tombstone: bool = False
    keep_intent: bool = False
    decided: bool = False
    older_copies: tuple[str, ...] | None = None
    archive_keep_until: datetime | None = None
    archive_terms: Terms | None = None
    keep_claim: bool = False
    claim_again: bool = False
    missing: bool = False
    seen_review_at: datetime | None = None
    grace_until: datetime | None = None
    grace_by: str | None = None
    reported: Metadata | None = None
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True)
class Witnessed:
    """A thread whose container was seen alive, without its items, in a look made for another."""

    key: Key
    at: datetime
    created_at: datetime | None = None


class RunResult(StrEnum):
    """How a run ended."""

    DONE = "done"
    PARTIAL = "partial"
    LIMITED = "limited"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run, open or closed.

    `counts` maps `policy/stage/outcome` and `kept/reason` to a number of threads. `digest` covers
    the run, its events and `previous`, the digest of the run closed before it. From `ready_at` on,
    other janitors may join a sweep; `tripped` are the limits that it exceeds, `stops` what was
    stopped during it, each as the sweep recorded it.
    """

    id: str
    command: str
    started_at: datetime
    mode: str
    policies_digest: str
    closed_at: datetime | None = None
    result: RunResult | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    digest: str | None = None
    previous: str | None = None
    ready_at: datetime | None = None
    tripped: tuple[Note, ...] = ()
    stops: tuple[Note, ...] = ()
