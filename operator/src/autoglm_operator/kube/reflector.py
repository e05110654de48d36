"""A local copy of the objects of one kind that follows the API server."""

import asyncio
import logging
import random
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from autoglm_operator.kube import resources
from autoglm_operator.kube.client import Client, Document, Params
from autoglm_operator.kube.errors import ApiError, KubeError

logger = logging.getLogger(__name__)

Key = tuple[str, str]
#: Called with the key, and the object before and after (`None`: absent).
OnChange = Callable[[Key, Any, Any], None]

_FIRST_BACKOFF_SECONDS: Final = 0.2
_MOST_BACKOFF_SECONDS: Final = 15.0


def without_managed_fields(obj: Document) -> Document:
    """Return `obj` without `metadata.managedFields`, which is larger than most objects and read by nobody here."""
    obj["metadata"].pop("managedFields", None)
    return obj


class Reflector:
    """Lists, then watches, and lists again when the stream breaks.

    A new list replaces the old content: objects that vanished in between are reported as deleted, which a watch
    alone would miss.

    Attributes:
        items: the objects by (namespace, name), each passed through `keep`.
    """

    def __init__(
        self,
        client: Client,
        api_version: str,
        kind: str,
        namespaces: Iterable[str] = (),
        *,
        label_selector: str = "",
        keep: Callable[[Document], Any] = without_managed_fields,
        on_change: OnChange | None = None,
    ) -> None:
        self.items: dict[Key, Any] = {}
        self.kind = kind
        self._client = client
        self._api_version = api_version
        self._scopes: list[str | None] = list(namespaces) or [None]
        self._params: Params = {"labelSelector": label_selector} if label_selector else {}
        self._keep = keep
        self._on_change = on_change
        self._unsynced = set(self._scopes)
        self._synced = asyncio.Event()
        self._heard: dict[str | None, float] = {}

    @property
    def synced(self) -> bool:
        """Whether every namespace has been listed once."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        """Return when every namespace has been listed once."""
        await self._synced.wait()

    def silence_seconds(self) -> float:
        """Return the age of the oldest sign of life over all streams; bookmarks count."""
        now = time.monotonic()
        return max((now - heard for heard in self._heard.values()), default=0.0)

    async def run(self) -> None:
        """Follow the API server until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for scope in self._scopes:
                tasks.create_task(self._follow(scope))

    async def _follow(self, scope: str | None) -> None:
        backoff = _FIRST_BACKOFF_SECONDS
        while True:
            try:
                version = await self._list(scope)
                backoff = _FIRST_BACKOFF_SECONDS
                while True:
                    version = await self._watch(scope, version)
            except KubeError as error:
                gone = isinstance(error, ApiError) and error.is_gone
                level = logging.INFO if gone else logging.WARNING
                logger.log(level, "watch interrupted", extra={"kind": self.kind, "error": str(error)})
            await asyncio.sleep(backoff * random.uniform(0.5, 1.5))
            backoff = min(backoff * 2, _MOST_BACKOFF_SECONDS)

    async def _list(self, scope: str | None) -> str:
        path = resources.path(self._api_version, self.kind, scope)
        documents, version = await self._client.list_all(path, self._params)
        listed = {_key(document): self._prepare(document) for document in documents}
        for key in [key for key in self.items if scope in (None, key[0]) and key not in listed]:
            self._store(key, None)
        for key, item in listed.items():
            self._store(key, item)
        self._heard[scope] = time.monotonic()
        self._unsynced.discard(scope)
        if not self._unsynced:
            self._synced.set()
        return version

    def _prepare(self, document: Document) -> Any:
        # The items of a list carry neither; a watch event does.
        document.setdefault("apiVersion", self._api_version)
        document.setdefault("kind", self.kind)
        return self._keep(document)

    async def _watch(self, scope: str | None, version: str) -> str:
        path = resources.path(self._api_version, self.kind, scope)
        async for change, document in self._client.watch(path, {**self._params, "resourceVersion": version}):
            self._heard[scope] = time.monotonic()
            version = document["metadata"]["resourceVersion"]
            if change != "BOOKMARK":
                self._store(_key(document), None if change == "DELETED" else self._prepare(document))
        return version

    def _store(self, key: Key, item: Any) -> None:
        old = self.items.get(key)
        if item is None:
            self.items.pop(key, None)
        else:
            self.items[key] = item
        if self._on_change and (old is not None or item is not None) and old != item:
            self._on_change(key, old, item)


def _key(document: Document) -> Key:
    return document["metadata"].get("namespace", ""), document["metadata"]["name"]
