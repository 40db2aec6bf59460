"""Hostile values, drawn by a seed: what drivers, readers, calendars and indexes stumble over."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar

T = TypeVar("T")

SECRET = "zanzibar"  # noqa: S105 - stands in every value that no message may show
LONG = 1 << 16

TIMES = [
    *("infinity", "-infinity", "+inf", "nan", "now", "today", "epoch", "allballs"),
    *("0044-03-15 00:00:00 BC", "4713-01-01 00:00:00 BC", "0001-01-01 00:00:00+02:00"),
    *("0001-01-01", "0000-00-00 00:00:00", "1970-01-01T00:00:00Z", "1582-10-10"),
    *("9999-12-31T23:59:59-01:00", "9999-12-31 23:59:59.999999", "12026-01-01 00:00:00"),
    *("20000-01-01 00:00:00+00", "294276-12-31 23:59:59", "2026-02-30", "2026-13-01"),
    *("2026-01-31T24:00:00Z", "2026-01-31T23:59:60Z", "2026-01-31 00:00:00+99:99"),
    *("2026-01-31T00:00:00.123456789012Z", "31/01/2026", "01.02.2026", "2026-W05-1", "26-1-1"),
    *("2026-01-31 12:00:00 Europe/Vienna", "Sat Jan 31 12:00:00 2026 CET", "1769817600"),
    *("1769817600000", "1769817600000000", "-1", "0", "1e308", "-0.0", "99999999999999999999"),
    *("1e99999", "0x7fffffff", "\u0662\u0660\u0662\u0666-\u0660\u0661-\u0663\u0661", "2026-01-31T"),
]
TEXTS = [
    *(
        "",
        " ",
        "\t\n",
        "\0",
        f"{SECRET}\0{SECRET}",
        "null",
        "None",
        "NaN",
        "true",
        "''; DROP TABLE",
    ),
    *("\ufeff", "\u202e", "\u2028", "\ud800", "\udfff\ud800", "\udce9", "\U0010ffff", "\ufffe"),
    *(
        "e\u0301" * 40,
        "\x1b[2J\x1b]0;x\x07",
        "%s%n{0}{self}:watermark ?",
        "../../etc/passwd",
        "[red]x",
    ),
    *(
        "\U00020000" * 600,
        "\x7f\x80\x9f",
        "conv_" + "a" * 300,
        "=cmd|' /C calc'!A0",
        "\\x41",
        "a" * LONG,
    ),
]
_DOCUMENTS = [  # SECRET stands for the word
    *("{", "[]", "{}", "null", '"text"', "1", "NaN", "[" * 3000 + "]" * 3000, '{"a":' * 3000),
    '{"plan":"trial","plan":"SECRET"}',
    '{"a":{"b":1,"b":2}}',
    '{"plan":"\\ud800SECRET"}',
    '{"plan":"SECRET\\u0000"}',
    '{"\\u0000":"SECRET"}',
    '{"":"SECRET"}',
    '{"a":NaN,"b":-Infinity}',
    '{"a":1e400,"b":' + "9" * 5000 + "}",
    '{"a":["SECRET"],"b":null,"c":true,"d":1.5}',
    json.dumps({f"k{n}": SECRET for n in range(70)}),
    json.dumps({"\U00020000" * 64: "\U00020001" * 512}, ensure_ascii=False),
    json.dumps({"plan": SECRET * 100}),
    json.dumps({SECRET * 20: "x"}),
    '{"janitor_keep_until":"SECRET","janitor_created_at":"SECRET"}',
    "\ufeff{}",
    '{"a":"b"}\0SECRET',
    '{"a":"SECRET"} x',
]
DOCUMENTS = [one.replace("SECRET", SECRET) for one in _DOCUMENTS]
NUMBERS = [
    *(0, -1, 1, 2**31, -(2**31) - 1, 2**53 + 1, 2**63 - 1, -(2**63), 1769817600, 1769817600000),
    *(20260131, 99, 1e308, -1e308, float("inf"), float("-inf"), 5e-324, -0.0, 0.1),
]


@dataclass
class Draw:
    """Everything that one round draws, the same for the same seed."""

    seed: str

    def __post_init__(self) -> None:
        self.random = Random(self.seed)  # noqa: S311 - to be repeated, not to be secret

    def one(self, of: Sequence[T]) -> T:
        return self.random.choice(of)

    def chance(self, percent: int) -> bool:
        return self.random.randrange(100) < percent

    def number(self, least: int, most: int) -> int:
        return self.random.randint(least, most)

    def some(self, of: Sequence[T]) -> list[T]:
        """One of them mostly, sometimes several, now and then all."""
        number = 1 if self.chance(60) else self.number(1, len(of))
        return self.random.sample(of, number)

    def text(self) -> str:
        """A text, which may hold what is none: NUL and halves of characters."""
        known = (TEXTS, TIMES, DOCUMENTS)
        said = self.one(self.one(known)) if self.chance(75) else self._made_up()
        return f"{SECRET}{said}" if self.chance(15) else said

    def key(self) -> str:
        """A name of something, which a message may show."""
        return self.text().replace(SECRET, "x")[:90]

    def time(self) -> str:
        return self.one(TIMES) if self.chance(80) else self.text()

    def document(self) -> str:
        """Something like JSON."""
        if self.chance(70):
            return self.one(DOCUMENTS)
        return json.dumps(self.json(), ensure_ascii=self.chance(50))

    def bytes(self) -> bytes:
        """Bytes that are hardly ever text."""
        whole = self.text().encode("utf-8", "surrogatepass")[: LONG * 2]
        spoilt = bytearray(whole or b"x")
        for _ in range(self.number(1, 3)):
            spoilt[self.number(0, len(spoilt) - 1)] = self.number(0, 255)
        made = (bytes(spoilt), self.random.randbytes(self.number(0, 40)), SECRET.encode("utf-16"))
        return self.one([*made, b"Jos\xe9 " + SECRET.encode(), b"\xf0\x9f\x98", b"\xed\xa0\x80"])

    def json(self, depth: int = 3) -> Any:  # noqa: ANN401 - JSON is anything
        """A value of JSON, as Python has it."""
        leaves = [None, True, False, self.one(NUMBERS), 10**30, self.text(), SECRET]
        if depth == 0 or self.chance(60):
            return self.one(leaves)
        if self.chance(50):
            return [self.json(depth - 1) for _ in range(self.number(0, 3))]
        return {self.key(): self.json(depth - 1) for _ in range(self.number(0, 3))}

    def _made_up(self) -> str:
        last = self.one([0x7F, 0x2FF, 0xFFFF, 0x10FFFF])
        return "".join(chr(self.number(0, last)) for _ in range(self.number(0, 30)))
