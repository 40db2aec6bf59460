"""The tokens of one verb, and one process's view of the account that they are taken from."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import httpx2

from janitor.pace.account import Account, Claim
from janitor.pace.ledger import Change, Ledger
from janitor.pace.level import passed, per_minute, refused, take
from janitor.pace.pausing import asked, ended
from janitor.pace.rates import Allowance, Urgency, Verb, told_limit

T = TypeVar("T")

AT_ONCE = 1200.0
NEWS = 1.0
"""Seconds after which one who takes no tokens asks for a pause, and one who gave way asks again."""


class Passbook:
    """An account of the ledger, and how it stood when this process last saw it.

    `tell` is given the seconds that each pause adds, whoever met it.
    """

    def __init__(
        self,
        name: str,
        ledger: Ledger,
        clock: Callable[[], float],
        tell: Callable[[float], None],
    ) -> None:
        self._name = name
        self._ledger = ledger
        self._clock = clock
        self._tell = tell
        self._ahead = 0.0
        self.seen = ledger.look(name)

    def time(self) -> float:
        """The ledger's time, as far as its last answer tells."""
        return self._clock() + self._ahead

    @property
    def paused(self) -> float:
        """The seconds until calls may go on."""
        return self.seen.pause.left(self.time())

    @property
    def stopped(self) -> float:
        """The seconds for which nobody calls."""
        return self.seen.pause.stopped(self.time())

    async def alter(self, change: Change[T]) -> T:
        """Change the account, and see how it stands."""

        def seen(account: Account, now: float) -> tuple[Account, T]:
            after, told = change(account, now)
            self._notice(after, now)
            return after, told

        return await self._ledger.alter(self._name, seen)

    async def ask(self, seconds: float | None, sent_at: float, longest: float) -> None:
        """Pause for as long as a server asked for; see `janitor.pace.pausing.asked`."""

        def pause(account: Account, now: float) -> tuple[Account, None]:
            return account.with_pause(asked(account.pause, seconds, sent_at, now, longest)), None

        await self.alter(pause)

    def _notice(self, account: Account, now: float) -> None:
        added = account.pause.until - max(now, self.seen.pause.until)
        self._ahead, self.seen = now - self._clock(), account
        if added > 0:
            self._tell(added)


class Bucket:
    """The tokens of one verb: those of all who share the ledger.

    At high rates it takes, and tells of answers, by what 50 ms are worth, so that a ledger that
    many share is not asked for each call.
    """

    def __init__(
        self, verb: Verb, allowance: Allowance, book: Passbook, tell: Callable[[float], None]
    ) -> None:
        self._verb = verb
        self._allowance = allowance
        self._book = book
        self._tell = tell
        self._told = 0.0
        self._tokens = 0
        self._answers = 0
        self._heard_at = 0.0
        self._show(book.seen)

    async def take(self, urgency: int) -> float:
        """Take a token and answer 0; or the seconds after which to ask again."""
        if self._allowance == "unlimited":
            return await self._listen()
        if not self._tokens:
            wait = await self._book.alter(lambda account, now: self._take(account, now, urgency))
            if wait or self._book.stopped:
                return wait
        self._tokens -= 1
        return 0.0

    def give_back(self) -> None:
        """A token that was taken is not needed."""
        if self._allowance != "unlimited" and not self._book.stopped:
            self._tokens += 1

    async def passed(self, response: httpx2.Response, sent_at: float) -> None:
        """Learn from an answer to a call sent at `sent_at` of the ledger's time."""
        pause = self._book.seen.pause
        ends = pause.streak > 0 and sent_at >= pause.begun_at
        self._answers += 1
        if not ends and (self._allowance != "auto" or self._answers < self._at_once):
            return
        answers, self._answers = self._answers, 0
        told = told_limit(response.headers)

        def learn(account: Account, now: float) -> tuple[Account, None]:
            if ends:
                account = account.with_pause(ended(account.pause))
            if self._allowance == "auto":
                level = passed(account.level(self._verb), told, now, answers)
                account = account.with_level(self._verb, level)
            self._show(account)
            return account, None

        await self._book.alter(learn)

    async def refused(self, sent_at: float) -> None:
        """Learn from a 429 on a call sent at `sent_at` of the ledger's time."""
        if self._allowance != "auto":
            return
        answers, self._answers = self._answers, 0

        def learn(account: Account, now: float) -> tuple[Account, None]:
            level = account.level(self._verb)
            if answers:
                level = passed(level, None, now, answers)
            account = account.with_level(self._verb, refused(level, sent_at, now))
            self._show(account)
            return account, None

        await self._book.alter(learn)

    async def _listen(self) -> float:
        """Hear now and then whether others met a pause, since no token tells."""
        if self._book.time() - self._heard_at >= NEWS:
            await self._book.alter(lambda account, _: (account, None))
            self._heard_at = self._book.time()
        return 0.0 if self._book.stopped else self._book.paused

    @property
    def _at_once(self) -> int:
        return max(1, int(self._told / AT_ONCE))

    def _take(self, account: Account, now: float, urgency: int) -> tuple[Account, float]:
        if account.pause.stopped(now) or (left := account.pause.left(now)):
            return account, 0.0 if account.pause.stopped(now) else left
        claim = account.claims.get(self._verb)
        if claim is not None and claim.precedes(urgency, now):
            return account, min(NEWS, claim.until - now)
        tokens = self._at_once
        level, wait = take(account.level(self._verb), self._allowance, now, tokens)
        account = account.with_level(self._verb, level)
        self._show(account)
        if not wait:
            self._tokens += tokens
        if urgency < Urgency.SWEEP:
            until = Claim(urgency, now + wait + NEWS) if wait else None
            account = account.with_claim(self._verb, until)
        return account, wait

    def _show(self, account: Account) -> None:
        rate = per_minute(account.level(self._verb), self._allowance)
        if rate is not None and rate != self._told:
            self._told = rate
            self._tell(rate)
