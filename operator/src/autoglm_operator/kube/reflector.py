"""A local copy of the objects of one kind that follows the API server."""

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable
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
#: The server sends a bookmark at least this often.
_BOOKMARK_SECONDS: Final = 70.0
#: A stream that ends sooner without a word was cut by something on the way; asking again at once would be a loop.
_SHORT_WATCH_SECONDS: Final = 1.0


def without_managed_fields(obj: Document) -> Document:
    """Return `obj` without `metadata.managedFields`, which is larger than most objects and read by nobody here."""
    obj["metadata"].pop("managedFields", None)
    return obj


class Reflector:
    """Lists, then watches, and lists again when the server no longer keeps the history to go on from.

    A new list replaces the old content: objects that vanished in between are reported as deleted, which a watch
    alone would miss. Nothing older than what is known is taken over: events arrive after the answers to our own
    writes, and a list may be answered from before them.

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
        self._versions: dict[Key, int] = {}
        self._position: dict[str | None, int] = {}

    @property
    def synced(self) -> bool:
        """Whether every namespace has been listed once."""
        return self._synced.is_set()

    async def wait_synced(self) -> None:
        """Return when every namespace has been listed once."""
        await self._synced.wait()

    def silence_seconds(self) -> float:
        """Return the longest time that a stream has neither brought anything nor failed; bookmarks count.

        A refused connection is no silence: starting again would not make the API server answer.
        """
        now = time.monotonic()
        return max((now - heard for heard in self._heard.values()), default=0.0)

    def store(self, document: Document) -> None:
        """Take over an object as the API server returned it to a write, unless the stream is already past that."""
        key, version = _key(document), version_of(document)
        scope = None if self._scopes == [None] else key[0]
        if version > self._position.get(scope, 0):
            self._store(key, version, self._keep(document))

    async def run(self) -> None:
        """Follow the API server until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for scope in self._scopes:
                tasks.create_task(self._follow(scope))

    async def _follow(self, scope: str | None) -> None:
        version: str | None = None
        backoff = _FIRST_BACKOFF_SECONDS
        while True:
            asked = 0.0
            try:
                if version is None:
                    version = await self._list(scope)
                start = time.monotonic()
                async for reached in self._watch(scope, version):
                    version, backoff = reached, _FIRST_BACKOFF_SECONDS
                if time.monotonic() - start > _SHORT_WATCH_SECONDS:
                    continue
            except KubeError as error:
                asked = error.retry_after if isinstance(error, ApiError) else 0.0
                version = version if self._goes_on(scope, error) else None
                logger.warning("watch interrupted", extra={"kind": self.kind, "error": str(error)})
            self._heard[scope] = time.monotonic()
            await asyncio.sleep(max(asked, backoff * random.uniform(0.5, 1.5)))
            backoff = min(backoff * 2, _MOST_BACKOFF_SECONDS)

    def _goes_on(self, scope: str | None, error: KubeError) -> bool:
        """Whether the next watch can go on where this one ended; otherwise a list must come first."""
        if isinstance(error, ApiError):
            return error.is_throttled
        # A stream without its bookmarks may be one that waits for a version that the server does not have.
        return time.monotonic() - self._heard.get(scope, 0.0) < _BOOKMARK_SECONDS

    async def _list(self, scope: str | None) -> str:
        path = resources.path(self._api_version, self.kind, scope)
        documents, version = await self._client.list_all(path, self._params)
        if int(version) < self._position.get(scope, 0):
            # The server was restored from a backup: what was known is of a history that no longer is.
            self._versions.clear()
        self._position[scope] = int(version)
        listed = {_key(document) for document in documents}
        for key in [key for key in self.items if scope in (None, key[0]) and key not in listed]:
            self._store(key, int(version), None)
        for document in documents:
            self._store(_key(document), version_of(document), self._keep(self._named(document)))
        self._heard[scope] = time.monotonic()
        self._unsynced.discard(scope)
        if not self._unsynced:
            self._synced.set()
        return version

    def _named(self, document: Document) -> Document:
        # The items of a list carry neither; a watch event does.
        return {"apiVersion": self._api_version, "kind": self.kind, **document}

    async def _watch(self, scope: str | None, version: str) -> AsyncIterator[str]:
        """Follow the stream from `version` and yield the version of each event once it is taken over."""
        path = resources.path(self._api_version, self.kind, scope)
        async for change, document in self._client.watch(path, {**self._params, "resourceVersion": version}):
            self._heard[scope] = time.monotonic()
            self._position[scope] = version_of(document)
            if change != "BOOKMARK":
                item = None if change == "DELETED" else self._keep(self._named(document))
                self._store(_key(document), version_of(document), item)
            yield document["metadata"]["resourceVersion"]

    def _store(self, key: Key, version: int, item: Any) -> None:
        if version < self._versions.get(key, 0):
            return
        old = self.items.get(key)
        if item is None:
            self.items.pop(key, None)
            self._versions.pop(key, None)
        else:
            self.items[key] = item
            self._versions[key] = version
        if self._on_change and old != item:
            self._on_change(key, old, item)


def version_of(document: Document) -> int:
    """Return the resource version as a number.

    Comparable by contract since Kubernetes 1.35, and numbers of one sequence ever since etcd 3.
    """
    return int(document["metadata"]["resourceVersion"])


def _key(document: Document) -> Key:
    return document["metadata"].get("namespace", ""), document["metadata"]["name"]
