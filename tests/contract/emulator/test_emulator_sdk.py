"""The vendor's own client, sync and async, drives every call over a real socket."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar, cast

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from janitor.testing import Emulated, emulator

pytestmark = pytest.mark.filterwarnings("ignore:The Assistants API is deprecated")

Client = OpenAI | AsyncOpenAI
T = TypeVar("T")


class HasId(Protocol):
    @property
    def id(self) -> str | None: ...


async def done(value: T | Awaitable[T]) -> T:
    return await value if inspect.isawaitable(value) else value


async def ids_of(listing: object) -> list[str | None]:
    """Every id of a list, across its pages, as the client follows them."""
    if isinstance(listing, AsyncIterator) or hasattr(listing, "__aiter__"):
        return [item.id async for item in cast("AsyncIterator[HasId]", listing)]
    return [item.id for item in cast("Iterator[HasId]", listing)]


@asynccontextmanager
async def client_of(sort: type[Client], at: Emulated) -> AsyncIterator[Client]:
    client = sort(api_key=at.api_key, base_url=at.base_url, max_retries=0)
    try:
        yield client
    finally:
        await done(client.close())


Scenario = Callable[[Client, Emulated], Awaitable[None]]


@pytest.fixture
def at() -> Iterator[Emulated]:
    with emulator() as running:
        yield running


async def conversations(client: Client, at: Emulated) -> None:
    made = await done(
        client.conversations.create(
            metadata={"plan": "trial"}, items=[{"role": "user", "content": "Hello."}]
        )
    )
    assert made.object == "conversation"
    assert made.metadata == {"plan": "trial"}
    assert (await done(client.conversations.retrieve(made.id))) == made
    changed = await done(client.conversations.update(made.id, metadata={"a": "b"}))
    assert changed.metadata == {"a": "b"}
    added = await done(
        client.conversations.items.create(
            made.id, items=[{"role": "user", "content": f"{n}"} for n in range(20)]
        )
    )
    assert len(added.data) == 20
    listed = await ids_of(client.conversations.items.list(made.id, limit=8, order="asc"))
    assert listed == [item["id"] for item in at.server.items(made.id)]
    first = str(listed[0])
    item = await done(client.conversations.items.retrieve(first, conversation_id=made.id))
    assert item.to_dict()["id"] == first
    left = await done(client.conversations.items.delete(first, conversation_id=made.id))
    assert left.id == made.id
    assert first not in [item["id"] for item in at.server.items(made.id)]
    gone = await done(client.conversations.delete(made.id))
    assert (gone.id, gone.deleted, gone.object) == (made.id, True, "conversation.deleted")
    with pytest.raises(openai.NotFoundError):
        await done(client.conversations.retrieve(made.id))
    assert at.server.deletes == {made.id: 1, first: 1}


async def responses(client: Client, at: Emulated) -> None:
    talk = at.server.add_conversation()
    said = await done(client.responses.create(model="gpt-5", input="Hello.", conversation=talk))
    assert said.output_text == "Noted."
    assert [item["role"] for item in at.server.items(talk)] == ["user", "assistant"]
    assert (await done(client.responses.retrieve(said.id))).id == said.id
    assert len(await ids_of(client.responses.input_items.list(said.id))) == 1
    late = await done(
        client.responses.create(model="gpt-5", input="Wait.", conversation=talk, background=True)
    )
    assert late.status == "in_progress"
    with pytest.raises(openai.BadRequestError) as refused:
        await done(client.conversations.delete(talk))
    assert refused.value.code == "conversation_locked"
    assert (await done(client.responses.cancel(late.id))).status == "cancelled"
    await done(client.responses.delete(said.id))
    with pytest.raises(openai.NotFoundError):
        await done(client.responses.retrieve(said.id))
    await done(client.conversations.delete(talk))


async def streamed_responses(client: Client, at: Emulated) -> None:
    talk = at.server.add_conversation()
    if isinstance(client, OpenAI):
        with client.responses.create(
            model="gpt-5", input="Hello.", conversation=talk, stream=True
        ) as events:
            seen = [event.type for event in events]
    else:
        async with await client.responses.create(
            model="gpt-5", input="Hello.", conversation=talk, stream=True
        ) as events_to_come:
            seen = [event.type async for event in events_to_come]
    assert seen == ["response.created", "response.output_text.delta", "response.completed"]
    assert len(at.server.items(talk)) == 2


async def threads(client: Client, at: Emulated) -> None:
    api = client.beta.threads
    made = await done(
        api.create(metadata={"a": "b"}, messages=[{"role": "user", "content": "Hello."}])
    )
    assert (await done(api.retrieve(made.id))).metadata == {"a": "b"}
    assert (await done(api.update(made.id, metadata={"c": "d"}))).metadata == {"c": "d"}
    posted = await done(api.messages.create(made.id, role="user", content="More."))
    assert (await done(api.messages.retrieve(posted.id, thread_id=made.id))).id == posted.id
    marked = await done(api.messages.update(posted.id, thread_id=made.id, metadata={"seen": "yes"}))
    assert marked.metadata == {"seen": "yes"}
    assert len(await ids_of(api.messages.list(made.id, limit=1))) == 2
    dropped = await done(api.messages.delete(posted.id, thread_id=made.id))
    assert (dropped.deleted, dropped.object) == (True, "thread.message.deleted")
    gone = await done(api.delete(made.id))
    assert (gone.deleted, gone.object) == (True, "thread.deleted")
    with pytest.raises(openai.NotFoundError):
        await done(api.retrieve(made.id))


async def runs(client: Client, at: Emulated) -> None:
    api = client.beta.threads
    run = await done(api.create_and_run(assistant_id="asst_1"))
    assert run.status == "queued"
    with pytest.raises(openai.BadRequestError):
        await done(api.messages.create(run.thread_id, role="user", content="Too early."))
    at.server.set_run(run.id, "requires_action")
    await done(api.runs.submit_tool_outputs(run.id, thread_id=run.thread_id, tool_outputs=[]))
    at.server.set_run(run.id, "completed")
    over = await done(api.runs.retrieve(run.id, thread_id=run.thread_id))
    assert over.status == "completed"
    steps = await ids_of(api.runs.steps.list(run.id, thread_id=run.thread_id))
    step = await done(
        api.runs.steps.retrieve(str(steps[0]), thread_id=run.thread_id, run_id=run.id)
    )
    assert step.status == "completed"
    second = await done(api.runs.create(run.thread_id, assistant_id="asst_1"))
    named = await done(api.runs.update(second.id, thread_id=run.thread_id, metadata={"a": "b"}))
    assert named.metadata == {"a": "b"}
    stopped = await done(api.runs.cancel(second.id, thread_id=run.thread_id))
    assert stopped.status == "cancelled"
    assert await ids_of(api.runs.list(run.thread_id, order="asc")) == [run.id, second.id]


async def chatkit_threads(client: Client, at: Emulated) -> None:
    api = client.beta.chatkit.threads
    mine = [at.server.add_chatkit_thread(user="me", items=3) for _ in range(5)]
    at.server.add_chatkit_thread(user="you")
    assert await ids_of(api.list(user="me", limit=2, order="asc")) == mine
    assert (await done(api.retrieve(mine[0]))).status.type == "active"
    items = await ids_of(api.list_items(mine[0], limit=2, order="asc"))
    assert items == [item["id"] for item in at.server.items(mine[0])]
    gone = await done(api.delete(mine[0]))
    assert (gone.deleted, gone.object) == (True, "chatkit.thread.deleted")
    with pytest.raises(openai.NotFoundError):
        await ids_of(api.list_items(mine[0]))


async def agent_sessions(client: Client, at: Emulated) -> None:
    api = client.beta.agents.sessions
    made = await done(
        api.create(
            environment={"type": "none"},
            agent={"model": "gpt-5"},
            input="Hello.",
            metadata={"a": "b"},
        )
    )
    assert (made.status, made.metadata, made.agent.model) == ("idle", {"a": "b"}, "gpt-5")
    assert (await done(api.retrieve(made.id))).object == "agent.session"
    at.server.add_agent_session(metadata={"a": "c"})
    assert await ids_of(api.list(metadata={"a": "b"})) == [made.id]
    assert await ids_of(api.list(agent_id=made.agent.id)) == [made.id]
    assert len(await ids_of(api.list(limit=1))) == 2
    assert (await done(api.update(made.id, metadata=None))).metadata == {}
    assert len(await ids_of(api.items.list(made.id, limit=1))) == 2
    at.server.lock(made.id)
    with pytest.raises(openai.ConflictError):
        await done(api.delete(made.id))
    await done(api.events.create(made.id, events=[{"type": "agent.session.input.cancel"}]))
    with pytest.raises(openai.NotFoundError):
        await ids_of(api.turns.list(made.id))
    gone = await done(api.delete(made.id))
    assert (gone.deleted, gone.object) == (True, "agent.session.deleted")


@pytest.mark.slow
@pytest.mark.parametrize("sort", [OpenAI, AsyncOpenAI], ids=["sync", "async"])
@pytest.mark.parametrize(
    "scenario",
    [
        conversations,
        responses,
        streamed_responses,
        threads,
        runs,
        chatkit_threads,
        agent_sessions,
    ],
)
def test_the_client_drives_every_call(scenario: Scenario, sort: type[Client], at: Emulated) -> None:
    async def drive() -> None:
        async with client_of(sort, at) as client:
            await scenario(client, at)

    asyncio.run(drive())
