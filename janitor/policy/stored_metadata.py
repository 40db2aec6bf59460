"""Which metadata is stored: only the named keys, and for some a keyed hash of the value. Pure."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from janitor.model import Metadata
from janitor.policy.matching import RESERVED
from janitor.policy.rules import Policies, Selector, Test

HASHED = re.compile(r"hmac:[0-9a-f]{32}")
DIGITS = 32


@dataclass(frozen=True, slots=True)
class MetadataFilter:
    """Drops metadata that must not be stored, and hashes values that must not be readable.

    Only `keys` are stored (`None`: all of them). For those in `hashed`, an HMAC-SHA-256 under
    `secret` replaces the value; it is the same for equal values of one key. janitor's own keys are
    always stored as they are. Filtering metadata a second time leaves it unchanged.
    """

    keys: frozenset[str] | None = None
    hashed: frozenset[str] = frozenset()
    secret: bytes = field(default=b"", repr=False)

    @property
    def is_open(self) -> bool:
        """Whether everything is stored as it is."""
        return self.keys is None and not self.hashed

    @property
    def fingerprint(self) -> str:
        """Tells one secret from another; empty if nothing is hashed."""
        return self._hash("", "")[:DIGITS] if self.hashed else ""

    def keeps(self, key: str) -> bool:
        """Whether anything is stored for a key."""
        return self.keys is None or key in self.keys or key.startswith(RESERVED)

    def is_hashed(self, key: str) -> bool:
        """Whether the values of a key are stored as a hash."""
        return key in self.hashed and self.keeps(key) and not key.startswith(RESERVED)

    def value(self, key: str, value: str) -> str:
        """The form in which a key's value is stored."""
        if not self.is_hashed(key) or HASHED.fullmatch(value):
            return value
        return f"hmac:{self._hash(key, value)[:DIGITS]}"

    def metadata(self, metadata: Metadata) -> dict[str, str]:
        """The part of metadata that is stored."""
        return {key: self.value(key, value) for key, value in metadata.items() if self.keeps(key)}

    def policies(self, policies: Policies) -> Policies:
        """The same policies, rewritten to compare with values as they are stored.

        A test of a value that is not stored matches nothing: see `unanswerable`.
        """
        if self.is_open:
            return policies
        rules = (
            replace(
                rule,
                match=self._selector(rule.match),
                excepts=rule.excepts and self._selector(rule.excepts),
            )
            for rule in policies.rules
        )
        return replace(policies, rules=tuple(rules))

    def unanswerable(self, policies: Policies) -> Iterator[str]:
        """The conditions that stored metadata cannot answer any more, as `policy: key`."""
        for rule in policies.rules:
            for selector in rule.selectors:
                for key, test in selector.metadata.items():
                    if not self.keeps(key) or (self.is_hashed(key) and test.glob is not None):
                        yield f"{rule.name}: {key}"
            if rule.keep_last and rule.keep_last.per and not self.keeps(rule.keep_last.per):
                yield f"{rule.name}: {rule.keep_last.per}"

    def _hash(self, key: str, value: str) -> str:
        # The key is hashed too, so that nobody can tell that two keys have equal values.
        text = f"{key}\0{value}".encode("utf-8", "surrogatepass")
        return hmac.new(self.secret, text, "sha256").hexdigest()

    def _selector(self, selector: Selector) -> Selector:
        tests = {key: self._test(key, test) for key, test in selector.metadata.items()}
        any_of = tuple(self._selector(one) for one in selector.any_of)
        return replace(selector, metadata=tests, any_of=any_of)

    def _test(self, key: str, test: Test) -> Test:
        if test.exists is not None:
            return test
        if not self.keeps(key):
            return Test(any_of=frozenset())
        if test.glob is not None:
            return Test(glob=self.value(key, test.glob))
        return Test(any_of=frozenset(self.value(key, one) for one in test.any_of or ()))


OPEN = MetadataFilter()
"""Stores everything as it is."""
