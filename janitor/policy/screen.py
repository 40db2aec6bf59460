"""What of metadata is stored: named keys alone, and of some a keyed hash. Pure."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from janitor.model import Metadata
from janitor.policy.matching import RESERVED
from janitor.policy.rules import Policies, Policy, Selector, Test

HASHED = re.compile(r"hmac:[0-9a-f]{32}")
DIGITS = 32


@dataclass(frozen=True, slots=True)
class Screen:
    """Lets through what is to be stored of metadata, and hides what is not to be read there.

    Only `keys` are stored (`None`: all of them); of those in `hashed` an HMAC-SHA-256 under
    `secret` stands for the value, the same for equal values of one key. The janitor's own keys are
    always stored as they are. What went through once goes through again unchanged.
    """

    keys: frozenset[str] | None = None
    hashed: frozenset[str] = frozenset()
    secret: bytes = field(default=b"", repr=False)

    @property
    def is_open(self) -> bool:
        """Whether everything goes through as it is."""
        return self.keys is None and not self.hashed

    @property
    def fingerprint(self) -> str:
        """Tells one secret from another; empty where nothing is hashed."""
        return self._hash("", "")[:DIGITS] if self.hashed else ""

    def keeps(self, key: str) -> bool:
        """Whether anything is stored of a key."""
        return self.keys is None or key in self.keys or key.startswith(RESERVED)

    def hides(self, key: str) -> bool:
        """Whether a hash stands for the values of a key."""
        return key in self.hashed and self.keeps(key) and not key.startswith(RESERVED)

    def value(self, key: str, value: str) -> str:
        """How a value of a key is stored."""
        if not self.hides(key) or HASHED.fullmatch(value):
            return value
        return f"hmac:{self._hash(key, value)[:DIGITS]}"

    def metadata(self, said: Metadata) -> dict[str, str]:
        """What is stored of metadata."""
        return {key: self.value(key, value) for key, value in said.items() if self.keeps(key)}

    def policies(self, said: Policies) -> Policies:
        """The same policies, comparing with values as they are stored.

        What asks for a value that is not stored matches nothing: see `blind`.
        """
        return said if self.is_open else replace(said, rules=tuple(map(self._rule, said.rules)))

    def blind(self, said: Policies) -> Iterator[str]:
        """The conditions that can no longer be judged by what is stored, as `policy: key`."""
        for rule in said.rules:
            for selector in filter(None, (rule.match, rule.excepts)):
                for key, test in selector.metadata.items():
                    if not self.keeps(key) or (self.hides(key) and test.glob is not None):
                        yield f"{rule.name}: {key}"
            if rule.keep_last and rule.keep_last.per and not self.keeps(rule.keep_last.per):
                yield f"{rule.name}: {rule.keep_last.per}"

    def _hash(self, key: str, value: str) -> str:
        # With the key in it, equal values under two keys cannot be told to be equal.
        text = f"{key}\0{value}".encode("utf-8", "surrogatepass")
        return hmac.new(self.secret, text, "sha256").hexdigest()

    def _rule(self, rule: Policy) -> Policy:
        excepts = None if rule.excepts is None else self._selector(rule.excepts)
        return replace(rule, match=self._selector(rule.match), excepts=excepts)

    def _selector(self, said: Selector) -> Selector:
        tests = {key: self._test(key, test) for key, test in said.metadata.items()}
        return replace(said, metadata=tests)

    def _test(self, key: str, test: Test) -> Test:
        if test.exists is not None:
            return test
        if not self.keeps(key):
            return Test(any_of=frozenset())
        if test.glob is not None:
            return Test(glob=self.value(key, test.glob))
        return Test(any_of=frozenset(self.value(key, one) for one in test.any_of or ()))


OPEN = Screen()
"""Everything as it is."""
