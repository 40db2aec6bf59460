"""How the records of an object read: entries, and the entries as plain text and as Markdown. Pure.

Whatever a record contains is in its entry. A field of a known type that has no place of its own is
named with its value, and a record of an unknown type is its JSON. Only what no person reads
(encrypted content, embedded files, token probabilities) is replaced by its size, which is told.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from unicodedata import category

import orjson

from janitor.archive.fingerprint import parse
from janitor.archive.object_format import Header, Trailer
from janitor.kinds import CATALOGUE
from janitor.model import Record
from janitor.times import is_set
from janitor.times import parse as parse_time

TEXT, JSON = "text", "json"
OTHER_PARTS = "Other parts"

LONGEST_FACT = 100
"""A value with more characters is a block of its own."""
LONGEST_BULK = 200
"""Encrypted content and embedded files of more characters are told by their size."""
TAB = 4
SHORTEST_FENCE = 3

# Types and objects whose fields are shown one by one, with the title where it is not their name.
# Items: the API description of conversations, Assistants and ChatKit threads; SDK 3.57 for agent
# sessions.
_ROLES = {"chatkit.user_message": "user", "chatkit.assistant_message": "assistant"}
_KNOWN = frozenset(
    (
        *("message", "thread.message"),
        *("chatkit.user_message", "chatkit.assistant_message", "chatkit.widget"),
        *("chatkit.client_tool_call", "chatkit.task", "chatkit.task_group", "agent_message"),
        *("function_call", "function_call_output", "custom_tool_call", "custom_tool_call_output"),
        *("file_search_call", "web_search_call"),
        *("image_generation_call", "computer_call", "computer_call_output"),
        *("tool_search_call", "tool_search_output", "additional_tools"),
        *("reasoning", "program", "program_output", "compaction"),
        *("code_interpreter_call", "local_shell_call"),
        *("local_shell_call_output", "shell_call", "shell_call_output"),
        *("apply_patch_call", "apply_patch_call_output"),
        *("mcp_list_tools", "mcp_call", "mcp_approval_request"),
        *("mcp_approval_response", "command_execution"),
        "computer_use_call",
        *("computer_use_approval_request", "computer_use_approval_request_result"),
        *("create_subagent_call", "send_subagent_input_call"),
        *("resume_subagent_call", "wait_for_subagents_call"),
        *("interrupt_subagent_call", "close_subagent_call"),
        *("thread.run", "agent.session.turn", "agent.session.artifact", "agent.session.subagent"),
        *(trait.noun for trait in CATALOGUE.values()),
    )
)
_TEXTS = {
    "input_text": "",
    "output_text": "",
    "text": "",
    "refusal": "refusal",
    "summary_text": "summary",
    "reasoning_text": "reasoning",
    "quoted_text": "quoted text",
    "logs": "logs",
}
"""The parts that are text, and the label of each."""
_FILES = {
    "input_image": "image",
    "image_url": "image",
    "image_file": "image",
    "image": "image",
    "computer_screenshot": "image",
    "input_file": "file",
    "file": "file",
    "input_audio": "audio",
    "output_audio": "audio",
}
"""The parts that are images and files, and the label of each."""
_WORDS = frozenset(
    (
        *("arguments", "code", "command", "content", "diff", "error"),
        *("heading", "input", "instructions", "output", "quote", "reason", "refusal"),
        *("result", "summary", "text", "transcript", "widget"),
    )
)
"""Fields with a block of their own even if they are short."""
_UNLABELLED = frozenset(("content", "text"))
_WRITTEN_AS_JSON = frozenset(("arguments", "widget"))
_BULK = frozenset(("encrypted_content", "file_data", "b64_json", "data"))
_IMAGE = "image_generation_call"
_NOT_FETCHED = "janitor.not_fetched"


@dataclass(frozen=True, slots=True)
class TranscriptBlock:
    """A text with a label (empty: the message itself); `form` is `text` or `json`."""

    label: str
    text: str
    form: str = TEXT


@dataclass(frozen=True, slots=True)
class TranscriptEntry:
    """One record as it is shown.

    `level` is 1 for the container, 2 for an item and for the title of the other parts, 3 for each
    of these; `number` counts items, and other parts, from 1. Texts are as stored: `as_text` and
    `as_markdown` escape them.
    """

    title: str
    level: int = 2
    number: int | None = None
    at: datetime | None = None
    facts: tuple[tuple[str, str], ...] = ()
    blocks: tuple[TranscriptBlock, ...] = ()


def transcript(
    header: Header, trailer: Trailer, records: Iterable[Record]
) -> Iterator[TranscriptEntry]:
    """The entries of an object's records: its container, its items, its other parts."""
    number, is_first, was_item = 0, True, True
    for record in records:
        if is_first:
            yield _container(header, trailer, record)
            is_first = False
            continue
        if was_item and not record.is_item:
            yield TranscriptEntry(OTHER_PARTS)
            number, was_item = 0, False
        number += 1
        yield entry_of(record, level=2 if record.is_item else 3, number=number)


def _container(header: Header, trailer: Trailer, record: Record) -> TranscriptEntry:
    key, read = header.key, entry_of(record)
    created_at = "unknown" if header.created_at is None else moment(header.created_at)
    at_server = None if read.at is None else moment(read.at)
    differs = at_server is not None and at_server != created_at
    facts = (
        ("project", key.project),
        ("kind", key.kind.value),
        ("created_at", created_at),
        *([("created_at at the server", str(at_server))] if differs else []),
        ("archived_at", moment(header.archived_at)),
        ("items", str(trailer.items)),
        *(fact for fact in read.facts if fact != ("id", key.id)),
    )
    return TranscriptEntry(f"{read.title} {key.id}", 1, None, None, facts, read.blocks)


def entry_of(record: Record, *, level: int = 2, number: int | None = None) -> TranscriptEntry:
    """One record as it is shown; never raises, whatever its JSON is."""
    try:
        body = parse(record.body)
        title, is_known = _title(body)
        if not is_known:
            alone = _alone(compact(body))
            return TranscriptEntry(title, level, number, None, (("id", record.id),), alone)
        at, facts, blocks = _laid_out(record.id, body)
    except (RecursionError, ValueError):
        text = record.body.decode("utf-8", "backslashreplace")
        return TranscriptEntry("record", level, number, None, (("id", record.id),), _alone(text))
    return TranscriptEntry(title, level, number, at, facts, blocks)


def _alone(text: str) -> tuple[TranscriptBlock, ...]:
    return (TranscriptBlock("", text, JSON),)


def _title(body: object) -> tuple[str, bool]:
    """What a record is called, and whether its type is known."""
    if not isinstance(body, dict):
        return "record", False
    named = body.get("type") or body.get("object")
    if named == _NOT_FETCHED:
        return "not read from the server", False
    if not isinstance(named, str):
        return "record", False
    role = body.get("role")
    if named in ("message", "thread.message") and isinstance(role, str) and role:
        return role, True
    return _ROLES.get(named, named), named in _KNOWN


def _laid_out(
    id: str, body: Mapping[str, object]
) -> tuple[datetime | None, tuple[tuple[str, str], ...], tuple[TranscriptBlock, ...]]:
    """The time, the facts and the blocks of a record whose type is known."""
    at = _time(body.get("created_at"))
    facts: list[tuple[str, str]] = [("id", id)]
    blocks: list[TranscriptBlock] = []
    for name, value in body.items():
        if _is_told(name, value, body) or (name == "created_at" and at is not None):
            continue
        if name == "id" and value == id:
            continue
        if name == "metadata" and isinstance(value, dict):
            for key, one in value.items():
                _add(f"{name}.{key}", one, facts, blocks)
        elif body.get("type") == _IMAGE and name == "result" and isinstance(value, str):
            blocks.append(TranscriptBlock("image", _bulk(value)))
        else:
            _add(name, value, facts, blocks)
    return at, tuple(facts), tuple(blocks)


def _is_told(name: str, value: object, body: Mapping[str, object]) -> bool:
    """Whether a field is empty, or its value is in the title."""
    if _is_empty(value):
        return True
    if name == "role":
        return _title(body)[0] == value
    if name in ("type", "object"):
        named = body.get("type") or body.get("object")
        return value == named or value in ("thread.message", "chatkit.thread_item")
    return False


def _add(
    name: str, value: object, facts: list[tuple[str, str]], blocks: list[TranscriptBlock]
) -> None:
    fact = None if name in _WORDS else _fact(name, value)
    if fact is not None:
        facts.append((name, fact))
    else:
        blocks.extend(_blocks(name, value))


def _fact(name: str, value: object) -> str | None:
    """A value that fits on a line, or `None`."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        at = _time(value) if name.endswith("_at") else None
        return compact(value) if at is None else moment(at)
    if isinstance(value, str) and name in _BULK:
        return _bulk(value) if len(value) > LONGEST_BULK else None
    is_short = isinstance(value, str) and len(value) <= LONGEST_FACT and "\n" not in value
    return str(value) if is_short else None


def _time(value: object) -> datetime | None:
    """A number of seconds as a time; `None` if it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        at = parse_time(value)
    except (ValueError, ArithmeticError):
        return None
    return at if is_set(at) else None


def _blocks(name: str, value: object) -> Iterator[TranscriptBlock]:
    label = name.replace("_", " ")
    match value:
        case str():
            shown = "" if name in _UNLABELLED else label
            yield TranscriptBlock(shown, value, JSON if name in _WRITTEN_AS_JSON else TEXT)
        case list() if any(map(_is_part, value)):
            for part in value:
                yield from _part(label, part)
        case dict() if _is_part(value):
            yield from _part(label, value)
        case list() if name == "attachments":
            for one in value:
                yield TranscriptBlock("attachment", "\n".join(_lines("", one)))
        case _:
            yield from _nested(name, label, value)


def _nested(name: str, label: str, value: object) -> Iterator[TranscriptBlock]:
    """JSON on one line, but for texts of several lines: the output of a shell, a patch."""
    if isinstance(value, list) and any(map(_has_lines, value)):
        for one in value:
            yield from _blocks(name, one)
    elif isinstance(value, dict) and _has_lines(value):
        for key, one in value.items():
            yield from () if _is_empty(one) else _blocks(f"{name}.{key}", one)
    else:
        yield TranscriptBlock(label, compact(value), JSON)


def _has_lines(value: object) -> bool:
    """Whether an object has a text of several lines, which JSON would show on one."""
    texts = value.values() if isinstance(value, dict) else ()
    return any(isinstance(text, str) and "\n" in text for text in texts)


def _is_empty(value: object) -> bool:
    return value is None or value in ("", [], {})


def _is_part(value: object) -> bool:
    named = value.get("type") if isinstance(value, dict) else None
    return isinstance(named, str) and (named in _TEXTS or named in _FILES)


def _part(label: str, part: object) -> Iterator[TranscriptBlock]:
    """The blocks of one part of a message, an output or a summary."""
    if not isinstance(part, dict) or not _is_part(part):
        named = part.get("type") if isinstance(part, dict) else None
        yield TranscriptBlock(named if isinstance(named, str) else label, compact(part), JSON)
        return
    rest = {name: value for name, value in part.items() if not _is_empty(value)}
    named = rest.pop("type")
    if named in _FILES:
        within = [line for name, value in rest.items() for line in _lines(name, value)]
        yield TranscriptBlock(_FILES[named], "\n".join(within) or "without an address")
        return
    label = _TEXTS[named] or ("" if label == "content" else label)
    for name in ("text", "refusal", "logs"):
        if name in rest:
            yield from _words(label, name, rest)
    if (logprobs := rest.pop("logprobs", None)) is not None:
        size = len(logprobs) if isinstance(logprobs, list | dict | str) else 1
        yield TranscriptBlock("logprobs", f"{size:,} entries; --raw has them")
    for name, value in rest.items():
        yield TranscriptBlock(name.replace("_", " "), compact(value), JSON)


def _words(label: str, name: str, rest: dict[str, object]) -> Iterator[TranscriptBlock]:
    """The text of a part; what stands beside it in an object of its own goes to the rest."""
    value = rest.pop(name)
    if isinstance(value, dict) and isinstance(value.get("value"), str):
        beside = {key: one for key, one in value.items() if key != "value" and not _is_empty(one)}
        rest.update({f"{name}.{key}": one for key, one in beside.items()})
        value = value["value"]
    if isinstance(value, str):
        yield TranscriptBlock(label, value)
    else:
        yield TranscriptBlock(label, compact(value), JSON)


def _lines(name: str, value: object) -> Iterator[str]:
    """`name: value` of each field of an image, a file or an attachment."""
    if isinstance(value, dict) and value:
        for key, one in value.items():
            yield from _lines(f"{name}.{key}" if name else key, one)
        return
    is_bulk = name.rpartition(".")[2] in _BULK
    if isinstance(value, str) and (is_bulk or value.startswith("data:")):
        text = _bulk(value)
    else:
        text = value if isinstance(value, str) else compact(value)
    yield f"{name}: {text}" if name else text


def _bulk(value: str) -> str:
    """Encoded bytes as they are if they are few, else their type and size."""
    if len(value) <= LONGEST_BULK:
        return value
    named = re.match(r"data:[\w.+/;=-]{1,100}(?=,)", value)
    return f"{named[0] + ', ' if named else ''}{len(value):,} characters; --raw has them"


def compact(value: object) -> str:
    """A value as JSON on one line, without escapes for what is not ASCII."""
    try:
        return orjson.dumps(value).decode()
    except orjson.JSONEncodeError:  # lone surrogates, long integers
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def moment(at: datetime) -> str:
    """A time to the second in UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


# Joiners of emoji and of scripts, which move no cursor.
_JOINERS = frozenset("\u200c\u200d")


def visible(text: str) -> str:
    """A text on one line, without a character that a terminal or an editor would obey."""
    if text.isprintable():
        return text
    return "".join(c if _is_harmless(c) else c.encode("unicode_escape").decode() for c in text)


def _is_harmless(character: str) -> bool:
    return character.isprintable() or character in _JOINERS or category(character) == "Zs"


def visible_json(text: str) -> str:
    """JSON with the same meaning, in which every character that is not harmless is escaped."""
    if text.isprintable():
        return text
    return "".join(c if _is_harmless(c) else json.dumps(c)[1:-1] for c in text)


def visible_lines(text: str) -> list[str]:
    """The lines of a text, each visible; tabs become spaces."""
    lines = text.replace("\r\n", "\n").split("\n")
    return [visible(line.expandtabs(TAB) if "\t" in line else line) for line in lines]


def as_text(entry: TranscriptEntry) -> Iterator[str]:
    """An entry as lines for a terminal.

    Only titles begin in the first column, and texts are indented further than labels, so that no
    content looks like either.
    """
    count = "" if entry.number is None else f"{entry.number}. "
    at = "" if entry.at is None else f"  {moment(entry.at)}"
    yield f"{count}{visible(entry.title)}{at}"
    facts = [f"{visible(name)}: {visible(value)}" for name, value in entry.facts]
    if entry.level == 1:
        yield from (f"  {fact}" for fact in facts)
    elif facts:
        yield f"  {' · '.join(facts)}"
    for block in entry.blocks:
        if block.label:
            yield f"  {visible(block.label)}:"
        yield from (f"    {line}".rstrip() for line in visible_lines(block.text))
    yield ""


def as_markdown(entry: TranscriptEntry) -> Iterator[str]:
    """An entry as lines of Markdown, whose structure no content can change.

    Content is in fences longer than any run of backticks in it, or in code spans.
    """
    count = "" if entry.number is None else f"{entry.number}. "
    at = "" if entry.at is None else f" ({moment(entry.at)})"
    yield f"{'#' * entry.level} {count}{_span(entry.title)}{at}"
    yield ""
    for name, value in entry.facts:
        yield f"- {_span(name)}: {_span(value)}"
    if entry.facts:
        yield ""
    for block in entry.blocks:
        if block.label:
            yield f"{_span(block.label)}:"
            yield ""
        fence = "`" * max(_longest_run(block.text) + 1, SHORTEST_FENCE)
        yield f"{fence}{block.form}"
        yield from visible_lines(block.text)
        yield fence
        yield ""


_PLAIN = re.compile(r"[A-Za-z0-9]+(?:[ _][A-Za-z0-9]+)*")


def _span(text: str) -> str:
    """A text within a line of Markdown: as it is if it is plain words, else as a code span."""
    if _PLAIN.fullmatch(text):
        return text
    mark = "`" * (_longest_run(text) + 1)
    edge = " " if text[:1] in ("", "`", " ") or text[-1:] in ("`", " ") else ""
    return f"{mark}{edge}{visible(text)}{edge}{mark}"


def _longest_run(text: str) -> int:
    """The length of the longest run of backticks."""
    return max(map(len, re.findall("`+", text)), default=0)
