"""A proposal as the YAML that goes into the configuration."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

from janitor.config import Secret
from janitor.sources.proposal import PLAIN, Column, Proposal

Quote = Callable[[str], str]
NOT_OF_A_NAME = re.compile(r"[^a-z0-9_-]+")


def source_name(table: str) -> str:
    """What a source over a table is called: the table's own name, as a configuration takes it."""
    name = NOT_OF_A_NAME.sub("-", table.rpartition(".")[2].lower())
    return name.strip("-_") or "chats"


def query(proposal: Proposal, table: str, quote: Quote) -> str:
    """The SELECT, of several lines; `quote` spells a name as the database wants it."""
    named = [_read(one, to, proposal, quote) for to, one in proposal.read]
    if proposal.literal_kind is not None:
        named.insert(1, f"'{proposal.literal_kind}' AS kind")
    said = ["SELECT " + ",\n  ".join(named), f"FROM {'.'.join(map(quote, table.split('.')))}"]
    if clauses := list(_clauses(proposal, quote)):
        said.append("WHERE " + "\n  AND ".join(clauses))
    return "\n".join(said)


def _clauses(proposal: Proposal, quote: Quote) -> Iterator[str]:
    if proposal.id.nullable:  # a chat without a conversation yet
        yield f"{quote(proposal.id.name)} IS NOT NULL"
    if proposal.watermark is not None:
        column = quote(proposal.watermark.name)
        newer = f"{column} > :watermark"
        # A row that never changed may have no time of it: it is read each time, and not lost.
        yield f"({newer} OR {column} IS NULL)" if proposal.watermark.nullable else newer


def _read(column: Column, to: str, proposal: Proposal, quote: Quote) -> str:
    said = quote(column.name)
    if column.is_padded and column is not proposal.watermark:
        return f"trim({said}) AS {quote(to)}"
    return said if column.name == to else f"{said} AS {quote(to)}"


def stanza(proposal: Proposal, table: str, url: Secret | str, quote: Quote) -> str:
    """`sources:` with one source, commented; a secret address by where it is kept."""
    address = json.dumps(url) if isinstance(url, str) else f"{{{url.keeper}: {url.name}}}"
    notes = "".join(f"      # {note}\n" for note in proposal.notes)
    lines = "".join(f"        {line}\n" for line in query(proposal, table, quote).splitlines())
    watermark = "null" if proposal.watermark is None else proposal.watermark.name
    return (
        "sources:\n"
        f"  {source_name(table)}:\n"
        "    sql:\n"
        f"      url: {address}\n"
        f"{notes}"
        "      query: |\n"
        f"{lines}"
        f"      watermark: {watermark}\n"
        "      overlap: 10m                 # longer than any transaction of the application\n"
        "      timeout: 60s                 # of one statement\n"
        "    on_vanish: keep                # or {expire_after: 30d}\n"
    )


def is_plain(table: str) -> bool:
    """Whether a table's name, with or without its schema, can stand in a proposal."""
    schema, dot, name = table.rpartition(".")
    return all(PLAIN.fullmatch(part) for part in ([schema, name] if dot else [name]))
