"""The data of the demo: containers of every kind and age, and policies for them.

This module only fills the emulator, and writes a configuration and an import file. The command
line does the rest with the commands that a person would type.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from janitor.emulator import Emulator

DAY = timedelta(days=1)
OLDEST = 400
KEY = "sk-demo"
KEY_VARIABLE = "JANITOR_DEMO_KEY"
PROJECT = "demo"

CONFIG = """\
version: 1
mode: enforce
registry: {{url: "sqlite:///janitor.db"}}
projects:
  demo:
    api_key: {{env: JANITOR_DEMO_KEY}}
    base_url: "{base_url}"
    rate: {{delete: unlimited, read: unlimited, write: unlimited}}
schedule: {{every: 1s}}
service: {{listen: "127.0.0.1:0"}}
archive: {{url: "file://archive", keep_for: 1y}}
lifetime: {{min: 24h}}
policies:
- {{name: trial-chats, match: {{metadata: {{plan: trial}}}},
   except: {{metadata: {{pinned: "true"}}}},
   archive: {{after: 7d, keep_for: 90d}}, delete: {{after: 30d}}}}
- {{name: litigation, match: {{metadata: {{department: legal}}}}, keep: forever}}
- {{name: assistants, match: {{metadata: {{conversation_type: assistant}}}},
   keep_last: {{count: 2, per: metadata.user_id}}, delete: {{after: 10d}}}}
- {{name: support, match: {{metadata: {{conversation_type: support}}}}, delete: {{after: 150d}},
   archive: {{after: 90d, items: 50}}, soft_delete: {{after: 120d, mark: upstream}}}}
- {{name: scratch, match: {{metadata: {{conversation_type: scratch}}}}, delete: {{after: 1h}}}}
- {{name: widgets, match: {{kind: chatkit_thread, metadata: {{channel: web}}}},
   delete: {{after: 14d}}}}
- {{name: others, default: true, match: {{kind: [conversation, thread, agent_session]}},
   archive: {{after: 90d}}, delete: {{after: 365d}}}}
"""


@dataclass(slots=True)
class Scene:
    """The demo's data: the emulator, and what an application would report about it."""

    emulator: Emulator
    now: datetime
    reports: list[dict[str, object]] = field(default_factory=list)
    changing: str = ""
    held: str = ""

    def write(self, directory: Path, base_url: str) -> None:
        """Write `janitor.yaml` and `threads.jsonl`."""
        (directory / "janitor.yaml").write_text(CONFIG.format(base_url=base_url))
        lines = (json.dumps(report, default=str) for report in self.reports)
        (directory / "threads.jsonl").write_text("\n".join(lines) + "\n")


def build() -> Scene:
    """Fill an emulator with containers of all four kinds and ages."""
    scene = Scene(Emulator({KEY: PROJECT}), datetime.now(UTC).replace(microsecond=0))
    _trials(scene)
    _support(scene)
    _kept(scene)
    _others(scene)
    return scene


def _trials(scene: Scene) -> None:
    """A backlog: more of the trial chats are past their 30 days than one sweep may remove."""
    for age in (*range(1, 7), *range(1, 7), *range(1, 7), 12, 31, 38, 45, 52):
        metadata = {"plan": "trial", "user_id": f"u{age % 5}"}
        scene.changing = _conversation(scene, age, metadata, items=4)
    _conversation(scene, 45, {"plan": "trial", "pinned": "true"}, items=2)
    locked = _conversation(scene, 46, {"plan": "trial"}, items=2)
    scene.emulator.lock(locked)
    scene.held = _conversation(scene, 47, {"plan": "trial", "user_id": "u9"}, items=2)


def _support(scene: Scene) -> None:
    """Long conversations are archived at 50 items; old ones marked, then removed."""
    metadata = {"conversation_type": "support"}
    _conversation(scene, 3, metadata, items=60)
    _conversation(scene, 130, metadata, items=6)


def _kept(scene: Scene) -> None:
    """One thread for each reason to keep it."""
    _conversation(scene, 400, {"department": "legal"}, items=3)
    for age in (12, 15, 18):
        metadata = {"conversation_type": "assistant", "user_id": "u1"}
        _conversation(scene, age, metadata, items=2)
    _conversation(scene, 0.2, {"conversation_type": "scratch"}, items=1)
    until = scene.now + 60 * DAY
    _conversation(scene, 380, {"team": "research"}, items=2, keep_until=until)
    _conversation(scene, 380, {"team": "import"}, items=2, active_at=scene.now + 900 * DAY)
    unseen = scene.emulator.add_conversation(created_at=scene.now - 500 * DAY, items=3)
    scene.reports.append({"id": unseen})
    # The application has deleted this one itself and told nobody.
    scene.reports.append({"id": "conv_gone", "created_at": scene.now - 500 * DAY})


def _others(scene: Scene) -> None:
    """The other kinds, old and new; the API itself reports their activity."""
    for age in (20, 100, OLDEST):
        at = scene.now - age * DAY
        made = (
            ("thread", _thread(scene, at, running=age == OLDEST)),
            ("agent_session", scene.emulator.add_agent_session(created_at=at, items=5)),
        )
        for kind, named in made:
            scene.reports.append({"id": named, "kind": kind, "created_at": at, "metadata": {}})
    for metadata in ({"channel": "web"}, {}):
        at = scene.now - 20 * DAY
        named = scene.emulator.add_chatkit_thread(created_at=at, items=5)
        report = {"id": named, "kind": "chatkit_thread", "created_at": at, "metadata": metadata}
        scene.reports.append(report)


def _thread(scene: Scene, at: datetime, *, running: bool) -> str:
    made = scene.emulator.add_thread(created_at=at, items=5)
    if running:
        scene.emulator.start_run(made)
    return made


def _conversation(
    scene: Scene,
    age: float,
    metadata: dict[str, str],
    *,
    items: int,
    active_at: datetime | None = None,
    keep_until: datetime | None = None,
) -> str:
    """A conversation of `age` days that the application reported."""
    at = scene.now - age * DAY
    made = scene.emulator.add_conversation(created_at=at, metadata=metadata, items=items)
    report = {"id": made, "created_at": at, "last_active_at": active_at or at, "metadata": metadata}
    scene.reports.append({**report, **({"keep_until": keep_until} if keep_until else {})})
    return made
