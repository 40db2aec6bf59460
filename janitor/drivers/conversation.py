"""Conversations: no activity of their own, and items that outlive them unless deleted first."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from janitor.drivers.container import ContainerDriver
from janitor.drivers.responses import check_container, check_item, read_page
from janitor.errors import GoneError, RefusedError
from janitor.kinds import is_id
from janitor.model import Kind


class ConversationDriver(ContainerDriver):
    """`client.conversations` in the SDK."""

    kind = Kind.CONVERSATION
    follows_last_id = True

    async def plant(self, metadata: Mapping[str, str]) -> str:
        """See `Planting.plant`."""
        subject = f"a new {self.kind} in project {self._api.endpoint.name}"
        body = {"metadata": dict(metadata)}
        reply = await self._api.post(self.trait.path, body, subject=subject, headers=self._headers)
        named = reply.body.get("id")
        if not isinstance(named, str) or not is_id(named):
            raise RefusedError(f"{subject}: the server did not return its id")
        check_container(reply.body, self.trait.noun, named, subject)
        return named

    async def add_item(self, id: str, text: str) -> str:
        """See `Planting.add_item`."""
        subject = self._subject(id)
        item = {"type": "message", "role": "user"}
        document = {"items": [item | {"content": [{"type": "input_text", "text": text}]}]}
        path = f"{self._path(id)}/{self.trait.items_path}"
        reply = await self._api.post(path, document, subject=subject, headers=self._headers)
        items = read_page(reply.body, subject).items
        if len(items) != 1:
            raise RefusedError(f"{subject}: the server did not confirm that it added one item")
        named: str = items[0]["id"]
        return named

    async def has_item(self, id: str, item_id: str) -> bool:
        """See `Planting.has_item`."""
        path = f"{self._path(id)}/{self.trait.items_path}"
        try:
            reply = await self._get(f"{path}/{quote(item_id, safe='')}", id, {})
        except GoneError:
            return await self._lists(id, item_id)
        check_item(reply.body, item_id, self._subject(id))
        return True

    async def _lists(self, id: str, item_id: str) -> bool:
        try:
            with self._api.share(self._subject(id)) as share:
                query = {"order": "desc", "limit": 1}
                page = await self._bare_page(id, self.trait.items_path, query, share)
                return any(item["id"] == item_id for item in page.items)
        except GoneError:
            return False
