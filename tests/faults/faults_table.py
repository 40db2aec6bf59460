"""What becomes of the struck thread: one row for faults that end alike, one column for each call.

done  removed, as if nothing had been     fail  kept, rests, tried again by a later sweep
soft  marked, as if nothing had been      busy  kept and in use, likewise
miss  noted as missing, asked for again   kept  kept, since a new item is activity
open  being deleted, for the next sweep   torn  likewise, with items gone
stop  kept, its project stopped           halt  likewise, while it was being deleted
  .   this fault cannot strike this call
"""

from __future__ import annotations

from itertools import islice

from faults_calls import Call, calls_of

from janitor.model import Kind

HEADER = """
  probe newest busy copy page next runs turns latest walk item proof delete compare paged after read
  write
"""

ROWS = """
401 403 no-quota 401-huge
  stop stop stop stop stop stop stop stop stop halt halt halt halt stop stop stop stop stop
404
  miss fail fail miss fail fail fail done fail open open open open miss fail fail miss miss
404-html 404-bare 404-huge
  fail fail fail fail fail fail fail done fail open open open open fail fail fail fail fail
409 locked
  busy busy busy busy busy busy busy busy busy busy torn torn busy busy busy busy busy busy
405 501
  fail fail fail fail fail fail fail fail fail open open open fail fail fail fail fail fail
400 429 429-short 429-long 500 502 503 504 redirect 204 no-body object null html gzip
  fail fail fail fail fail fail fail fail fail open open open open fail fail fail fail fail
429-huge 500-huge
  fail fail fail fail fail fail fail fail fail open open open open fail fail fail fail fail
202 206 twofold and-error gzip-cut
  fail fail fail fail fail fail fail .    fail open open open open fail fail fail fail fail
reset silence
  fail fail fail fail fail fail fail fail fail open open open open fail fail fail fail fail
cut no-text huge bomb nested number
  fail fail fail fail fail fail fail .    fail open open open open fail fail fail fail fail
other-id
  fail .    .    fail .    .    .    .    .    .    open .    open fail .    .    fail fail
500-late object-late cut-late reset-late silence-late
  .    .    .    .    .    .    .    .    .    .    open .    open .    .    .    .    fail
mislabelled
  done done done done done done done done done done done done done done done done soft soft
not-deleted
  .    .    .    .    .    .    .    .    .    .    open .    open .    .    .    .    .
lie
  .    .    .    .    .    .    .    .    .    .    open .    done .    .    .    .    .
no-last-id never
  .    .    fail .    fail fail fail .    .    fail .    open .    .    fail .    .    .
no-after
  .    .    .    .    fail fail .    .    .    fail .    .    .    .    fail .    .    .
twice
  .    .    .    .    fail fail .    .    .    fail .    .    .    .    fail .    .    .
half
  .    .    .    .    kept kept .    .    kept kept .    done .    .    kept kept .    .
short
  .    .    .    .    kept .    .    .    .    fail .    .    .    .    fail .    .    .
"""

EXCEPTIONS: dict[tuple[Kind, str, str], str] = {
    # The items are gone by then: an in-use conversation cannot be taken as untouched.
    (Kind.CONVERSATION, "delete", "409"): "torn",
    (Kind.CONVERSATION, "delete", "locked"): "torn",
    (Kind.CONVERSATION, "delete", "405"): "open",
    (Kind.CONVERSATION, "delete", "501"): "open",
}

COLUMNS = tuple(HEADER.split())

LATER = {"done": 0, "soft": 3, "miss": 2, "kept": 4}
"""How many sweeps finish a thread once the fault is gone; one, unless it stands here."""


def rows() -> dict[tuple[str, ...], dict[str, str]]:
    """The outcome of every call, by the faults that end alike."""
    lines = ROWS.strip().splitlines()
    return {
        tuple(names.split()): dict(zip(COLUMNS, outcomes.split(), strict=True))
        for names, outcomes in zip(
            islice(lines, 0, None, 2), islice(lines, 1, None, 2), strict=True
        )
    }


ALIKE = rows()
TABLE = {
    (call, fault): outcome
    for faults, outcomes in ALIKE.items()
    for fault in faults
    for call, outcome in outcomes.items()
}


def wanted(kind: Kind, call: str, fault: str) -> str:
    """The outcome of one cell; `KeyError` for one that nobody has thought of."""
    return EXCEPTIONS.get((kind, call, fault)) or TABLE[call, fault]


def faults_of(kind: Kind, call: Call) -> list[str]:
    """The faults to strike a call about a kind with.

    All of them for the first kind that has the call. All kinds read answers by the same code: for
    the others some of those that end alike, so that each kind meets each fault in one call of its
    own, and each of its calls one fault of each row.
    """
    return [
        fault
        for faults, outcomes in ALIKE.items()
        if outcomes[call.name] != "."
        for fault in (faults if kind is first_kind(call) else _share(faults, kind, call))
    ]


def first_kind(call: Call) -> Kind:
    """The kind whose call meets all faults."""
    return next(kind for kind in Kind if kind in call.kinds)


def _share(faults: tuple[str, ...], kind: Kind, call: Call) -> tuple[str, ...]:
    """Its share of the faults of a row: dealt out to the calls, and again from the first one."""
    struck = [one.name for one in calls_of(kind) if ALIKE[faults][one.name] != "."]
    number = struck.index(call.name)
    return faults[number :: len(struck)] or (faults[number % len(faults)],)
