"""A word of its own for each place that a secret, a text or a value of metadata can come from."""

from __future__ import annotations

import base64
from datetime import timedelta
from pathlib import Path

from world import KEY_VARIABLE, NOW, World

from janitor.emulator import Emulator, Fault, How

TEXTS = ("item", "answer", "title", "user", "run", "resource", "error", "header", "page")
VALUES = ("value", "name", "reported", "reportedname", "person")
SECRETS = ("key", "token", "custom")
TOKEN_VARIABLE = "JANITOR_MARKED_TOKEN"  # noqa: S105 - a name
POLICIES = """\
  - name: everything
    default: true
    archive: {after: 7d}
    delete: {after: 30d}
  - name: marked
    match: {kind: chatkit_thread}
    archive: {after: 7d}
    soft_delete: {after: 8d}
    delete: {after: 300d}
"""
MORE = """\
schedule: {every: 1h}
service: {listen: "127.0.0.1:0", tokens: {ops: {env: JANITOR_MARKED_TOKEN, scope: operate}}}
"""


def marker(place: str) -> str:
    return f"Qz{place}Zq7" * 2


def forms(place: str) -> list[bytes]:
    """The marker as it is, and in base64 wherever it may begin."""
    word = marker(place).encode()
    encoded = (base64.b64encode(b"x" * shift + word)[4:-4] for shift in range(3))
    return [word, *encoded]


def places_in(said: bytes, places: tuple[str, ...]) -> list[str]:
    """The places whose marker appears in what was said."""
    return [place for place in places if any(form in said for form in forms(place))]


def marked_emulator() -> Emulator:
    return Emulator({f"sk-{marker('key')}": "main"})


def mark(world: World) -> dict[str, str]:
    """Configure the world and fill it; the ids by kind."""
    world.environment |= {
        KEY_VARIABLE: f"sk-{marker('key')}",
        TOKEN_VARIABLE: marker("token") * 2,
    }
    world.configure(POLICIES)
    text = world.config.read_text(encoding="utf-8")
    header = f'    headers: {{x-custom: "{marker("custom")}"}}\n'
    world.config.write_text(text.replace("    concurrency", f"{header}    concurrency") + MORE)
    server, at = world.emulator, NOW - timedelta(days=40)
    metadata = {marker("name"): marker("value")}
    texts = [marker("item"), marker("answer"), marker("item")]
    resources = {"code_interpreter": {"file_ids": [marker("resource")]}}
    user, title = marker("user"), marker("title")
    ids = {
        "conversation": server.add_conversation(created_at=at, metadata=metadata, items=texts),
        "agent_session": server.add_agent_session(created_at=at, metadata=metadata, items=texts),
        "thread": server.add_thread(
            created_at=at, metadata=metadata, items=texts, tool_resources=resources
        ),
        "chatkit_thread": server.add_chatkit_thread(
            created_at=at, items=texts, user=user, title=title
        ),
    }
    server.start_run(ids["thread"], "completed")
    thread = server._world.named(ids["thread"])
    for one in (*thread.runs.values(), *thread.items.values()):
        one["created_at"] = int(at.timestamp())
    for run in thread.runs.values():
        run["instructions"] = marker("run")
    register(world, ids)
    return ids


def register(world: World, ids: dict[str, str]) -> None:
    """Import the containers with metadata of the application's own."""
    at = (NOW - timedelta(days=40)).isoformat()
    file = world.directory.parent / f"{world.directory.name}.csv"
    head = f"id,kind,created_at,last_active_at,user,metadata.{marker('reportedname')}"
    rows = [
        f"{one},{kind},{at},{at},{marker('person')},{marker('reported')}"
        for kind, one in ids.items()
    ]
    file.write_text("\n".join([head, *rows]) + "\n")
    done = world.run("import", str(file))
    assert done.code == 0, done.err


def quoting(how: How, status: int | None = None) -> Fault:
    """A server that quotes text in its errors and headers."""
    word = marker("error")
    body = {"error": {"message": word, "type": f"{word} !", "code": None, "param": word}}
    headers = {"x-marker": marker("header"), "retry-after": "0"}
    page = f"<html>{marker('page')}</html>"
    content = page if how is How.HTML else body
    return Fault(How.STATUS, status=status or 200, body=content, headers=headers)


def stored(directory: Path) -> dict[str, bytes]:
    """Every file in and below a directory but the archive's objects and the configuration."""
    files = (path for path in directory.rglob("*") if path.is_file())
    left = (path for path in files if path.suffix not in {".zst", ".yaml"})
    return {path.name: path.read_bytes() for path in left}
