"""What is said in the chats of the application: every call of the SDK that a client makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ID = "$id"
MODEL = {"model": "gpt-5", "input": "Hello."}
HELLO = [{"type": "message", "role": "user", "content": "Hello."}]
OWN = {"topic": "help"}
CLAIMED = {"plan": "the application's own"}
CROWDED = {f"key{number}": "x" for number in range(16)}
NEARLY = {f"key{number}": "x" for number in range(15)}
RENAMED = {"topic": "another"}


@dataclass(frozen=True, slots=True)
class Say:
    """One call of the SDK; `$id` in what it is given stands for the chat's container."""

    call: str
    given: Mapping[str, Any]

    def filled(self, id: str | None) -> dict[str, Any]:
        """What the call is given in the chat with this container."""
        return {name: id if value == ID else value for name, value in self.given.items()}


@dataclass(frozen=True, slots=True)
class Chat:
    """What is said one after the other, in a container of this kind.

    The first call makes it, unless the chat `goes_on` in one that the application is given.
    """

    kind: str
    says: tuple[Say, ...]
    goes_on: bool = False


def _create(given: Mapping[str, Any]) -> Say:
    return Say("conversations.create", given)


CHATS = {
    "conversation": Chat(
        "conversation",
        (
            _create({"metadata": OWN}),
            Say("responses.create", MODEL | {"conversation": ID}),
            Say("responses.create", MODEL | {"conversation": ID, "stream": True}),
            Say("conversations.items.create", {"conversation_id": ID, "items": HELLO}),
        ),
    ),
    "renamed": Chat(
        "conversation",
        (
            _create({}),
            Say("conversations.update", {"conversation_id": ID, "metadata": RENAMED}),
        ),
    ),
    "claimed": Chat("conversation", (_create({"metadata": CLAIMED, "items": HELLO}),)),
    "crowded": Chat("conversation", (_create({"metadata": CROWDED}),)),
    "nearly": Chat("conversation", (_create({"metadata": NEARLY}),)),
    "thread": Chat(
        "thread",
        (
            Say("beta.threads.create", {"metadata": OWN}),
            Say(
                "beta.threads.messages.create",
                {"thread_id": ID, "role": "user", "content": "Hello."},
            ),
            Say("beta.threads.runs.create", {"thread_id": ID, "assistant_id": "asst_1"}),
        ),
    ),
    "both": Chat(
        "thread",
        (
            Say(
                "beta.threads.create_and_run",
                {
                    "assistant_id": "asst_1",
                    "thread": {"messages": [{"role": "user", "content": "Hello."}]},
                },
            ),
        ),
    ),
    "session": Chat(
        "agent_session",
        (
            Say("beta.agents.sessions.create", {"environment": {"type": "none"}, "metadata": OWN}),
            Say("beta.agents.sessions.update", {"session_id": ID, "metadata": RENAMED}),
        ),
    ),
    "regretted": Chat(
        "conversation", (_create({}), Say("conversations.delete", {"conversation_id": ID}))
    ),
    "refused": Chat("conversation", (_create({"metadata": {"long": "x" * 600}}),)),
    "unknown": Chat(
        "conversation",
        (Say("conversations.update", {"conversation_id": "conv_unknown", "metadata": {}}),),
    ),
    "continued": Chat(
        "conversation", (Say("responses.create", MODEL | {"conversation": ID}),), goes_on=True
    ),
    "ended": Chat(
        "chatkit_thread", (Say("beta.chatkit.threads.delete", {"thread_id": ID}),), goes_on=True
    ),
}
OWN_CHATS = tuple(name for name, chat in CHATS.items() if not chat.goes_on)
