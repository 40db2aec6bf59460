"""What the chat application is started with."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from chat_scripts import CHATS, OWN_CHATS, Chat


@dataclass(frozen=True, slots=True)
class Settings:
    """What the application is started with; without a registry it tracks nothing.

    `way` is how it calls the SDK (`plain`, `with_raw_response`, `with_streaming_response`), `mode`
    who holds its chats: `turn` one after the other, `threads` a pool of 32, `loop` all at once on
    an event loop, `fork` and `multiprocessing` forked workers. `minute` is how often at most a
    use is told of, in seconds, and `patience` how long a delivery waits for the registry. `given`
    is a container that it did not make; with `tag` the server is told, too. A byte goes to `mark`
    for each note in the journal.
    """

    base_url: str
    key: str
    journal: str
    registry: str | None = None
    client: str = "OpenAI"
    way: str = "plain"
    mode: str = "turn"
    chats: tuple[str, ...] = OWN_CHATS
    given: str | None = None
    times: int = 1
    tag: bool = True
    project: str = "main"
    minute: float = 3600.0
    patience: float = 5.0
    mark: str | None = None
    transcript: list[str] = field(default_factory=list)

    @property
    def is_async(self) -> bool:
        """Whether its client lives on an event loop."""
        return self.client.startswith("Async")

    @property
    def talks(self) -> list[tuple[int, Chat]]:
        """The chats to be held, numbered by who talks."""
        return list(enumerate(CHATS[name] for name in self.chats * self.times))


def parse(text: str) -> Settings:
    """The settings that a line of JSON holds."""
    said = json.loads(text)
    return Settings(**said | {"chats": tuple(said["chats"])})


def shown(settings: Settings) -> str:
    """The settings as a line of JSON."""
    return json.dumps(asdict(settings))
