"""Places of threads in their `keep_last` groups, and which heads were seen alive.

Only a thread that this run has seen alive takes a place. The registry stores that, so that the
janitors of one run share it and memory stays flat. This module keeps the rest: threads that were
gone or did not answer, and answers still awaited.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from enum import Enum, auto
from itertools import islice, takewhile

from janitor.model import Hold, Key, Presence, Reason, Thread
from janitor.policy import Policies, Ranks
from janitor.policy.keep_last import Group, groups_of, is_removed_anyway
from janitor.registry import Entry, Registry
from janitor.registry.database import PAGE

Place = tuple[datetime, Key]
Order = tuple[float, str, Key]
Counts = Callable[[Entry], bool]
"""Whether a member takes a place, as far as is known."""
ContainerOf = Callable[[Key], Key | None]
"""One key for all rows of a container, where several projects have it registered."""

SPARE = 8
FAR = 50
"""How many members beyond the places of a group are read."""
REMEMBERED_AT_MOST = 10_000


def was_found(entry: Entry) -> bool:
    """Whether the last probe of a member found it, if there ever was one."""
    return entry.missing_since is None


class Ranking:
    """Ranks threads among the members of their groups that may take a place by `counts`.

    A member that is removed despite `keep_last` takes none. A container takes one place, however
    many projects have it registered. With `remembers`, the top of a group is kept for as long as
    the ranking lives, and if it `is_dry` the first members of each: no removal may be based on
    that. Only the first members of a long group are read, so that deciding about a thread takes
    no longer there. Members further down do not count, which can only keep a thread.
    """

    def __init__(
        self,
        registry: Registry,
        policies: Policies,
        holds: Sequence[Hold],
        counts: Counts = was_found,
        *,
        remembers: bool = True,
        is_dry: bool = False,
        container_of: ContainerOf = lambda _: None,
    ) -> None:
        self._registry = registry
        self._policies = policies
        self._holds = holds
        self._counts = counts
        self._remembers = remembers
        self._is_dry = is_dry
        self._container_of = container_of
        self._lasts = {p.name: p.keep_last for p in policies.rules if p.keep_last is not None}
        self._tops: dict[Group, list[Entry]] = {}
        self._firsts: dict[Group, list[Entry]] = {}
        self._remembered = 0

    def of(self, thread: Thread, now: datetime) -> Ranks:
        """The thread's place by policy; `count` stands for every place from there on.

        The thread is placed by its own date as known now, which the registry may not have yet.
        """
        return {policy: len(before) for policy, before in self.before(thread, now).items()}

    def before(self, thread: Thread, now: datetime) -> dict[str, list[Entry]]:
        """The members placed before the thread, by policy, at most `count` of each group."""
        if not self._lasts or thread.last_active_at is None or thread.last_active_at > now:
            return {}
        mine = _order((thread.last_active_at, thread.key))
        return {
            group[0]: [
                member
                for member in self._top(group, now, mine)
                if not self._is_same(member.thread.key, thread.key)
                and _order(_place(member)) < mine
            ]
            for group in groups_of(thread, self._policies)
        }

    def leaders(self, thread: Thread, now: datetime) -> list[Entry]:
        """The top of the thread's groups, ahead of the thread; a few more than there are places."""
        if thread.last_active_at is None:
            return []
        mine = _order((thread.last_active_at, thread.key))
        return [
            member
            for group in groups_of(thread, self._policies)
            for member in islice(self._first(group, now), self._lasts[group[0]].count + SPARE)
            if member.thread.key != thread.key and _order(_place(member)) < mine
        ]

    def is_full(self, policy: str, before: Sequence[Entry]) -> bool:
        """Whether the members before a thread take all places, so that it is not kept."""
        return len(before) >= self._lasts[policy].count

    def _top(self, group: Group, now: datetime, mine: Order) -> list[Entry]:
        last = self._lasts[group[0]]
        if not self._remembers:
            before = takewhile(
                lambda member: _order(_place(member)) < mine, self._first(group, now)
            )
            return list(islice(filter(self._counts, before), last.count))
        top = self._tops.get(group)
        if top is None:
            top = list(islice(filter(self._counts, self._members(group, now)), last.count))
            self._remember(self._tops, group, top)
        return top

    def _first(self, group: Group, now: datetime) -> Iterator[Entry]:
        """The first members: as many as there are places, and `FAR` more."""
        number = self._lasts[group[0]].count + FAR
        first = self._firsts.get(group)
        if first is None and self._is_dry:
            first = list(islice(self._members(group, now), number))
            self._remember(self._firsts, group, first)
        return islice(self._members(group, now), number) if first is None else iter(first)

    def _remember(self, kept: dict[Group, list[Entry]], group: Group, members: list[Entry]) -> None:
        if self._remembered > REMEMBERED_AT_MOST:
            self._tops.clear()
            self._firsts.clear()
            self._remembered = 0
        kept[group] = members
        self._remembered += len(members)

    def _members(self, group: Group, now: datetime) -> Iterator[Entry]:
        """The members that may take a place, the most recently active first, read in pages."""
        last, taken = self._lasts[group[0]], set[Key]()
        page_size = min(last.count + SPARE, PAGE)
        for member in self._registry.threads.group(last.per, group[1], page_size=page_size):
            active_at = member.thread.last_active_at
            if active_at is None or active_at > now:
                continue
            if group not in groups_of(member.thread, self._policies):
                continue
            container = self._container_of(member.thread.key)
            if container in taken:
                continue  # it has a place already, through its row in another project
            if is_removed_anyway(member.thread, self._policies, self._holds, now):
                continue
            if container is not None:
                taken.add(container)
            yield member

    def _is_same(self, one: Key, other: Key) -> bool:
        container = self._container_of(one)
        return one == other or (container is not None and container == self._container_of(other))


def as_seen(head: Entry, presence: Presence) -> Thread:
    """A head's thread as the registry knows it, updated with what the server says."""
    created_at = presence.created_at or head.thread.created_at
    return replace(head.thread, created_at=created_at, upstream=presence.metadata)


def is_still_placed(
    head: Entry, seen: Thread, sides: Sequence[Policies], holds: Sequence[Hold], now: datetime
) -> bool:
    """Whether a head, as it was seen, is still in all groups that the registry has it in."""
    return all(
        {*groups_of(head.thread, side)} <= {*groups_of(seen, side)}
        and not is_removed_anyway(seen, side, holds, now)
        for side in sides
    )


def _place(entry: Entry) -> Place:
    at = entry.thread.last_active_at
    if at is None:
        raise ValueError("a thread of unknown activity has no place")
    return at, entry.thread.key


def _order(place: Place) -> Order:
    """Sort like groups: the most recently active first, then by id."""
    active_at, key = place
    return -active_at.timestamp(), key.id, key


class HeadAnswer(Enum):
    """The result of probing a head.

    `ELSEWHERE`: alive, but by its metadata no longer in the groups that the registry has it in.
    `FAILED`: no answer that can be believed. `UNHEARD`: it may not be probed. `UNPROBED`: it may
    not be probed now.
    """

    ALIVE = auto()
    GONE = auto()
    ELSEWHERE = auto()
    FAILED = auto()
    UNHEARD = auto()
    UNPROBED = auto()


SETTLED = frozenset({HeadAnswer.GONE, HeadAnswer.FAILED})
NO_PLACE = frozenset({HeadAnswer.GONE, HeadAnswer.ELSEWHERE})

Ask = Callable[[Entry], Awaitable[HeadAnswer]]


class Heads:
    """Probes each head once in a run, for all groups and policies that it is a head of.

    `since` is the run's start: threads seen alive since then need no probe. `reason` is why a
    thread is kept while an answer is missing. `room` is the number of heads that one thread may
    depend on: more answers than that are remembered, since a forgotten head is probed again.
    """

    def __init__(
        self, since: datetime, ask: Ask, reason: Reason = Reason.UNANSWERED, *, room: int = 0
    ) -> None:
        self._most = max(REMEMBERED_AT_MOST, 2 * room)
        self._since = since
        self._ask = ask
        self.reason = reason
        self._answers: OrderedDict[Key, HeadAnswer] = OrderedDict()
        self._awaited: dict[Key, asyncio.Future[HeadAnswer]] = {}

    @classmethod
    def unheard(cls, now: datetime) -> Heads:
        """Heads that are never probed; threads that depend on them are kept as `not_probed`."""

        async def ask(_: Entry) -> HeadAnswer:
            return HeadAnswer.UNPROBED

        return cls(now, ask, Reason.NOT_PROBED)

    @property
    def is_dry(self) -> bool:
        """Whether nothing is removed by these answers: rows then need to be read only once."""
        return self.reason is Reason.NOT_PROBED

    def is_alive(self, entry: Entry) -> bool:
        """Whether it was seen alive in this run, and nothing has contradicted that since."""
        if entry.missing_since is not None:
            return False
        answer = self._answers.get(entry.thread.key)
        return answer is HeadAnswer.ALIVE if answer is not None else self._was_seen(entry)

    def is_open(self, entry: Entry) -> bool:
        """Whether it was seen alive, or has not been probed and may turn out to be."""
        is_unprobed = self._answers.get(entry.thread.key) is HeadAnswer.UNPROBED
        return self.is_alive(entry) or self.is_unasked(entry) or is_unprobed

    def is_unasked(self, entry: Entry) -> bool:
        """Whether it was neither seen nor probed in this run yet."""
        is_heard = entry.thread.key in self._answers or self._was_seen(entry)
        return entry.missing_since is None and not is_heard

    def may_be_alive(self, entry: Entry) -> bool:
        """Whether nothing says that it is gone; it may be unprobed or unanswered."""
        is_gone = self._answers.get(entry.thread.key) in NO_PLACE
        return entry.missing_since is None and not is_gone

    def is_settled(self, key: Key) -> bool:
        """Whether it was probed and that was settled, so that this run is done with it."""
        return self._answers.get(key) in SETTLED

    def hear(self, key: Key, answer: HeadAnswer) -> None:
        """Record the answer about a thread, whether it was probed for itself or as a head."""
        self._answers[key] = answer
        self._answers.move_to_end(key)
        while len(self._answers) > self._most:
            self._answers.popitem(last=False)

    @contextmanager
    def awaiting(self, key: Key) -> Iterator[Callable[[HeadAnswer], None]]:
        """Let others wait while a thread is probed for itself; yields the function to tell them."""
        answered: asyncio.Future[HeadAnswer] = asyncio.get_running_loop().create_future()
        self._awaited[key] = answered

        def tell(answer: HeadAnswer) -> None:
            self.hear(key, answer)
            answered.set_result(answer)

        try:
            yield tell
        finally:
            self._awaited.pop(key, None)
            if not answered.done():
                answered.set_result(HeadAnswer.UNHEARD)

    async def ask(self, entries: Sequence[Entry]) -> None:
        """Probe all of these; wait for those that are being probed already.

        Raises:
            StoppedError, LimitError, ClaimLostError, StoreError: As raised by the probe.
        """
        await asyncio.gather(*(self._once(entry) for entry in entries))

    async def _once(self, entry: Entry) -> None:
        key = entry.thread.key
        awaited = self._awaited.get(key)
        if awaited is None:
            awaited = self._awaited[key] = asyncio.ensure_future(self._ask(entry))
            awaited.add_done_callback(lambda _: self._awaited.pop(key, None))
        self.hear(key, await awaited)

    def _was_seen(self, entry: Entry) -> bool:
        alive_at = entry.sightings.alive_at
        return alive_at is not None and alive_at >= self._since
