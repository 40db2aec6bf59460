"""`archive`: the copies of threads: `show`, `verify`, and `prune` for expired ones."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from janitor.app.event_loop import run_loop
from janitor.cli.options import DURATION, Count, OneOf, near, quit_with
from janitor.cli.output import (
    Settings,
    as_json,
    complain,
    emit,
    emit_lines,
    emit_long,
    is_terminal,
    table,
)
from janitor.errors import ConfigError, JanitorError
from janitor.kinds import Kind
from janitor.model import Key
from janitor.texts import counted, plain

if TYPE_CHECKING:
    import threading
    from datetime import datetime

    from janitor.archive import ArchiveDamagedError
    from janitor.archive.stored_object import StoredObject
    from janitor.config import Config
    from janitor.engine.context import RunContext
    from janitor.engine.prune import Pruner
    from janitor.engine.report import Report
    from janitor.engine.verification import ArchiveFinding, Verification
    from janitor.policy.copy_retention import KeptCopy
    from janitor.registry import Entry, Pause

SHOWN = 30
MOST_KEPT = 1000
"""So many findings are in a JSON document; JSON lines have all."""


@click.group("archive")
def archive_command() -> None:
    """Read and verify the archive copies of threads, and remove expired ones.

    \b
    Examples:
      janitor archive show conv_123
      janitor archive verify
      janitor archive prune --dry-run
      janitor archive prune
    """


@archive_command.command("show")
@click.argument("thread", metavar="ID|FILE")
@click.option("--project", help="The project, if the ID is registered for several.")
@click.option(
    "--kind",
    type=OneOf([kind.value for kind in Kind]),
    help="The kind, if the ID is registered as several.",
)
@click.option("--markdown", is_flag=True, help="Write a Markdown document.")
@click.option("--raw", is_flag=True, help="Write the lines of JSON as they are stored.")
@click.pass_obj
def show_command(
    settings: Settings,
    *,
    thread: str,
    project: str | None,
    kind: str | None,
    markdown: bool,
    raw: bool,
) -> None:
    """Show what the archive copy of a thread contains, even if the thread is deleted.

    The whole copy is checked before anything is shown. An ID is looked up in the registry. A FILE
    of an archive needs neither a registry nor a configuration.

    \b
    Examples:
      janitor archive show conv_123
      janitor archive show conv_123 --markdown
      janitor archive show conv_123 --raw
      janitor --output json archive show conv_123
      janitor archive show archive/main/conversation/2026/01/conv_123.0123456789ab.jsonl.zst
    """
    _allow_depth()
    if markdown and raw:
        raise click.UsageError("--markdown and --raw are two forms; give one of them")
    if (markdown or raw) and not settings.wants_table:
        given = "--markdown" if markdown else "--raw"
        raise click.UsageError(f"{given} and --output {settings.output} are two forms; give one")
    if _is_file(thread):
        if project is not None or kind is not None:
            raise click.UsageError(
                f"--project and --kind belong to an ID; {plain(thread)} is a file"
            )
        found = _from_file(Path(thread))
    else:
        found = _from_registry(settings, thread, project, kind)
    _print(settings, found, markdown=markdown, raw=raw)


def _allow_depth() -> None:
    """Read JSON as deep as a worker thread could write it, whose stack is shorter than ours."""
    sys.setrecursionlimit(max(sys.getrecursionlimit(), 1500))


def _is_file(thread: str) -> bool:
    from janitor.archive.archive import SUFFIX

    return "/" in thread or thread.endswith(SUFFIX) or Path(thread).is_file()


def _from_file(path: Path) -> StoredObject:
    """The object in a file that a person names."""
    import stat

    from janitor.archive import ArchiveDamagedError
    from janitor.archive.archive import named_id
    from janitor.archive.stored_object import open_object
    from janitor.causes import cause, sort_of

    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise ConfigError(f"{path} is {sort_of(mode)}; name the file of a copy")
        return open_object(path)
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: {cause(error, 'check the path, or give an ID')}") from error
    except ArchiveDamagedError as error:
        named = named_id(path.name)
        whose = "" if named is None else f"the copy of {named}"
        raise _damaged(error, whose, "Restore the file from a backup") from error


def _from_registry(
    settings: Settings, id: str, project: str | None, kind: str | None
) -> StoredObject:
    """The copy that the registry names for a thread, proven."""
    from janitor.archive import Archive, ArchiveDamagedError
    from janitor.cli.inspect import opened
    from janitor.model import LIVE

    config, registry = opened(settings)
    with registry:
        found = registry.threads.find(id)
        written_to = registry.copies.archive_url()
    entry = _chosen(id, found, project, kind)
    thread, url = entry.thread, config.archive.url
    if thread.copy is None:
        raise _without_copy(entry)
    _warn_if_moved(config, written_to)
    archive = Archive.open(url, create=False, known=written_to == url)
    try:
        return archive.stored(thread.key, thread.copy)
    except ArchiveDamagedError as error:
        advice = "Restore the file from a backup"
        if thread.state in LIVE:
            advice += ". Otherwise, if the thread still exists upstream, a later sweep "
            advice += "copies it again when it is due"
        raise _damaged(error, f"the copy of {_name(thread.key)}", advice) from error


def _warn_if_moved(config: Config, written_to: str | None) -> None:
    if written_to is not None and written_to != config.archive.url:
        complain(
            f"copies were last written to {written_to}, but `archive.url` is "
            f"{config.archive.url}; the latter is read"
        )


def _name(key: Key) -> str:
    return f"{key.kind} {key.id} of project {key.project}"


def _chosen(id: str, found: list[Entry], project: str | None, kind: str | None) -> Entry:
    """The entry that is meant; one with a copy, if only one of several has one."""
    from janitor.archive.archive import SUFFIX

    if not found:
        raise ConfigError(
            f"{plain(id)!r} is not registered, and is no file; see `janitor list`. A copy that no "
            f"registry names can be shown by its file: ID.DIGEST{SUFFIX}"
        )
    keys = [entry.thread.key for entry in found]
    meant = [
        entry
        for entry in found
        if project in (None, entry.thread.key.project) and kind in (None, entry.thread.key.kind)
    ]
    if not meant:
        likely = near(project or "", {key.project for key in keys})
        hint = f"; did you mean --project {likely[0]}?" if likely else ""
        raise ConfigError(
            f"{plain(id)} is not registered there; it is registered as: {_places(keys)}{hint}"
        )
    copied = [entry for entry in meant if entry.thread.copy is not None]
    if len(copied or meant) > 1:
        those = [entry.thread.key for entry in copied or meant]
        raise ConfigError(f"{id} is registered more than once; add one of: {_places(those)}")
    chosen = (copied or meant)[0]
    if len(meant) > 1:
        complain(f"{id} is registered more than once; only {_name(chosen.thread.key)} has a copy")
    return chosen


def _places(keys: Iterable[Key]) -> str:
    return ", ".join(f"--project {key.project} --kind {key.kind}" for key in keys)


def _without_copy(entry: Entry) -> ConfigError:
    from janitor.model import LIVE

    key, state = entry.thread.key, entry.thread.state
    if state in LIVE:
        why = f"it is {state}, and was not copied yet. When a copy is due"
    else:
        why = f"it is {state}, and none was made, or it was removed after its keep_for. Its history"
    return ConfigError(f"{_name(key)} has no copy: {why}: janitor explain {key.id}")


def _damaged(error: ArchiveDamagedError, whose: str, advice: str) -> JanitorError:
    """The error for a copy of which nothing was shown."""
    told = f". It is {whose}" if whose else ""
    return JanitorError(f"{error.path}: {error.what}{told}; nothing of it is shown. {advice}")


def _print(settings: Settings, found: StoredObject, *, markdown: bool, raw: bool) -> None:
    from janitor.archive import ArchiveDamagedError

    try:
        if raw:
            _print_raw(found)
        elif settings.output == "json":
            _print_document(found)
        elif settings.output == "jsonl":
            emit_lines(_records(found))
        else:
            _print_transcript(found, markdown=markdown)
    except ArchiveDamagedError as error:
        raise JanitorError(f"{error.path}: {error.what}") from error


def _print_raw(found: StoredObject) -> None:
    """The lines byte for byte; on a terminal, what it would obey is escaped as JSON escapes it."""
    from janitor.archive.transcript import visible_json

    for line in found.lines():
        if is_terminal(sys.stdout):
            click.echo(visible_json(line.decode("utf-8", "backslashreplace").rstrip("\n")))
        else:
            click.echo(line, nl=False)


def _print_transcript(found: StoredObject, *, markdown: bool) -> None:
    from janitor.archive.transcript import as_markdown, as_text, transcript

    for entry in transcript(found.header, found.trailer, found.records()):
        if markdown:
            click.echo("\n".join(as_markdown(entry)))
        else:
            title, *lines = as_text(entry)
            click.echo("\n".join([click.style(title, bold=True), *lines]))


def _print_document(found: StoredObject) -> None:
    """One JSON document, record by record."""
    import json

    rows = _records(found)
    container = next(rows)
    del container["record"]
    first = json.dumps(container, indent=2, default=as_json).replace("\n", "\n  ")
    click.echo(f'{{\n  "schema": 1,\n  "container": {first},\n  "items": [', nl=False)
    between, is_item = "\n    ", True
    for row in rows:
        if is_item and row["record"] == "other":
            click.echo('\n  ],\n  "other": [', nl=False)
            between, is_item = "\n    ", False
        click.echo(between + json.dumps(row["body"]), nl=False)
        between = ",\n    "
    click.echo('\n  ],\n  "other": []\n}' if is_item else "\n  ]\n}")


def _records(found: StoredObject) -> Iterator[dict[str, Any]]:
    """A row for the container, for each item and for each other part, with what the API sent."""
    from janitor.archive.fingerprint import parse

    header, records = found.header, found.records()
    body = parse(next(records).body)
    yield {
        "record": "container",
        "id": header.key.id,
        "kind": header.key.kind,
        "project": header.key.project,
        "created_at": header.created_at,
        "archived_at": header.archived_at,
        "items": found.trailer.items,
        "metadata": body.get("metadata") or {},
        "path": found.path,
        "body": body,
    }
    for record in records:
        kind = "item" if record.is_item else "other"
        yield {"record": kind, "id": record.id, "body": parse(record.body)}


@archive_command.command("prune")
@click.option("--dry-run", is_flag=True, help="Show what would be removed; change nothing.")
@click.option(
    "--yes",
    type=Count(1),
    help="Remove exactly this many copies, even above `limits.max_percent`.",
)
@click.option("--wait", type=DURATION, default="30s", help="How long to wait for another janitor.")
@click.pass_obj
def prune_command(settings: Settings, *, dry_run: bool, yes: int | None, wait: timedelta) -> None:
    """Remove archive copies of deleted threads that are past their `keep_for`.

    Every sweep also does this at its end. A copy stays while its thread still exists, while a hold
    names or may name the thread, and while everything, its project or its policy is paused.
    Nothing is removed in audit mode. After an upgrade from a version that never removed copies,
    run this once to make the first removal.

    \b
    Examples:
      janitor archive prune --dry-run
      janitor archive prune
      janitor archive prune --yes 120
    """
    from janitor.cli.plan import run
    from janitor.engine.prune import prune_archive

    if dry_run:
        _foresee(settings)
        return

    async def work(context: RunContext, stop: threading.Event) -> Report:
        return await prune_archive(context, stop, yes=yes)

    run(settings, wait, None, work)


def _foresee(settings: Settings) -> None:
    """Look for copies as `prune` would, and list what it would remove."""
    from janitor.app.compose import compose
    from janitor.app.open_registry import open_registry
    from janitor.config import load

    config = load(settings.config_path())

    async def look() -> int:
        async with compose(config, registry, changing=False) as context:
            return await asyncio.to_thread(_show, settings, context)

    with open_registry(config, read_only=True) as registry:
        code = run_loop(look)
    quit_with(code)


def _show(settings: Settings, context: RunContext) -> int:
    from janitor.engine.clock import CLOCK
    from janitor.engine.prune import Pruner
    from janitor.engine.redecide import under_approval

    context, now = under_approval(context), context.clock()
    context.watch.compare(context.registry.key_values.recall(CLOCK))
    pruner = Pruner(context)
    found, trouble = pruner.survey(now), context.watch.trouble
    rows = _rows(pruner, now) if found.error is None else iter(())
    if settings.output == "jsonl":
        emit_lines(rows)
    elif settings.output == "json":
        numbers = found.document() | {"clock_step": trouble}
        head = {"dry_run": True, "mode": context.policies.mode, "pruned": found.due, **numbers}
        emit_long(head, "copies", rows)
    else:
        _table(rows, found.due, context.registry.pauses.in_force(now))
    for message in (*found.messages(), *filter(None, (trouble,))):
        complain(message)
    return min(found.exit_codes, default=1 if found.failed else 0)


def _rows(pruner: Pruner, now: datetime) -> Iterator[dict[str, Any]]:
    return (_row(copy) for copy in pruner.going(now))


def _row(copy: KeptCopy) -> dict[str, Any]:
    return {
        "id": copy.key.id,
        "kind": copy.key.kind,
        "project": copy.key.project,
        "policy": copy.policy,
        "deleted_at": copy.deleted_at,
        "kept_until": copy.until,
        "objects": list(copy.paths),
    }


def _table(rows: Iterator[dict[str, Any]], due: int, pauses: tuple[Pause, ...]) -> None:
    from janitor.cli.render import moment, paused

    fields = ("project", "kind", "id", "policy", "deleted_at", "kept_until")
    shown = [[moment(row[name]) for name in fields] for row in islice(rows, SHOWN)]
    paused(pauses)
    if not shown:
        click.echo("No copies would be removed.")
        return
    table("Archive copies that would be removed", fields, shown)
    if next(rows, None) is not None:
        click.echo("… and more; --output jsonl lists all")
    click.echo(
        f"{counted(due, 'copy', 'copies')}. Nothing was changed. Next: janitor archive prune"
    )


@archive_command.command("verify")
@click.option("--sample", type=Count(1), help="Read only this many copies, chosen at random.")
@click.option("--after", metavar="PROJECT/KIND/ID", help="Continue after this thread.")
@click.pass_obj
def verify_command(settings: Settings, *, sample: int | None, after: str | None) -> None:
    """Check all copies: read them again, and compare them with the registry.

    Reports copies that are missing, truncated, altered or unreadable, with their threads, and
    files that no thread of this registry refers to. Exits with 1 if there are any. Changes nothing,
    and may run beside a sweep. --sample does not look for files that nobody refers to.

    \b
    Examples:
      janitor archive verify
      janitor archive verify --sample 200
      janitor --output jsonl archive verify > damaged.jsonl
    """
    from janitor.app.clock import utc_now
    from janitor.archive import Archive
    from janitor.cli.inspect import opened
    from janitor.cli.progress import shown
    from janitor.engine.progress import Progress
    from janitor.engine.verification import ArchiveVerifier, Verification

    _allow_depth()
    behind = None if after is None else _key(after)
    config, registry = opened(settings)
    progress, found = Progress(), _Findings(settings)
    with registry:
        url = config.archive.url
        is_known = registry.copies.count() > 0 or registry.copies.archive_url() == url
        if not is_known and not config.archive.path.exists():
            if settings.wants_table:
                click.echo("There is no archive yet.")
            else:
                found.show(Verification())
            return
        _warn_if_moved(config, registry.copies.archive_url())
        archive = Archive.open(url, create=False, known=is_known)
        verifier = ArchiveVerifier(registry, archive, found.add, progress, utc_now)
        try:
            with shown(progress):
                verifier.verify(after=behind, sample=sample)
                if sample is None:
                    verifier.find_unnamed()
        except (JanitorError, KeyboardInterrupt, SystemExit):
            if (last := verifier.done.last) is not None and sample is None:
                place = f"{last.project}/{last.kind}/{last.id}"
                complain(f"stopped; to continue: janitor archive verify --after {place}")
            with suppress(OSError):  # the reader may have gone, too
                found.show(verifier.done, stopped=True)
            raise
    found.show(verifier.done)
    quit_with(verifier.done.exit_code)


class _Findings:
    """What was found: shown at the end, or as it comes with `--output jsonl`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._kept: list[dict[str, Any]] = []

    def add(self, finding: ArchiveFinding) -> None:
        """Take the next finding."""
        if self._settings.output == "jsonl":
            emit_lines([finding.row()])
        elif len(self._kept) < MOST_KEPT:
            self._kept.append(finding.row())

    def show(self, done: Verification, *, stopped: bool = False) -> None:
        """Print what is left to print; all that was found so far if it was `stopped`."""
        if self._settings.output == "json":
            numbers = {"checked": done.checked, "sound_bytes": done.sound}
            found = {"damaged": done.damaged, "unnamed": done.unnamed}
            left = done.damaged + done.unnamed - len(self._kept)
            how = {"complete": not stopped, "left_out": left}
            emit(self._settings, {**how, **numbers, **found, "findings": self._kept})
        elif self._settings.output != "jsonl":
            self._table(done, stopped=stopped)

    def _table(self, done: Verification, *, stopped: bool) -> None:
        fields = ("project", "kind", "id", "state", "what", "path")
        if self._kept:
            rows = [[str(row[name] or "") for name in fields] for row in self._kept[:SHOWN]]
            table("Damaged, missing or unknown", fields, rows)
        if (left := done.damaged + done.unnamed - SHOWN) > 0:
            click.echo(f"… and {left} more; --output jsonl lists all")
        read = f"{counted(done.checked, 'copy', 'copies')} read, {done.sound:,} bytes are sound"
        if not done.checked and done.last is not None:
            read = "No copies after that thread"
        if not done.exit_code:
            click.echo(f"{read}; stopped." if stopped else f"{read}; nothing is wrong.")
            return
        advice = (
            " Restore what is damaged from a backup. Otherwise, a thread that still exists "
            "upstream is copied again by a later sweep, when that is due."
        )
        click.echo(
            f"{read}; {counted(done.damaged, 'copy is', 'copies are')} missing or damaged; "
            f"{counted(done.unnamed, 'object is', 'objects are')} named by no thread."
            f"{advice if done.damaged else ''}"
        )


def _key(text: str) -> Key:
    project, _, rest = text.partition("/")
    kind, _, name = rest.partition("/")
    if not (project and name and kind in {*Kind}):
        raise click.UsageError(
            f"--after {plain(text)}: write PROJECT/KIND/ID, as `archive verify` printed it"
        )
    return Key(project, Kind(kind), name)
