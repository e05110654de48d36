"""One small client of the Kubernetes API: JSON in, JSON out."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, Self

import aiohttp

from autoglm_operator.kube import resources
from autoglm_operator.kube.connection import Connection
from autoglm_operator.kube.errors import ApiError, ConnectionLost
from autoglm_operator.kube.spans import request_span

Document = dict[str, Any]
Params = dict[str, str]
#: Called after each request with verb, HTTP status (0: no answer) and seconds.
RequestObserver = Callable[[str, int, float], None]

_PAGE: Final = "500"
#: Shorter than the API server's own 60 s for a request, so that a hung connection frees its worker.
_TIMEOUT_SECONDS: Final = 30.0
#: The server sends a bookmark each minute; a stream without a line for longer is dead without having said so.
_WATCH_SILENCE_SECONDS: Final = 75.0
_WATCH_SECONDS: Final = "290"


class Client:
    """Calls the API server; use as an async context manager.

    Raises:
        ApiError: from every method, when the server answers with an error.
        ConnectionLost: from every method, when it does not answer.
    """

    def __init__(
        self, connection: Connection, observe: RequestObserver | None = None, *, user_agent: str = "autoglm-operator"
    ) -> None:
        self._connection = connection
        self._user_agent = user_agent
        self._observe = observe
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        # Without a limit: each watch holds a connection, and enough of them would starve the writes. The number of
        # workers bounds the rest.
        connector = aiohttp.TCPConnector(ssl=self._connection.ssl_context, limit=0)
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    def _headers(self, content_type: str | None = None) -> dict[str, str]:
        headers = {"Accept": "application/json", "User-Agent": self._user_agent}
        if token := self._connection.token():
            headers["Authorization"] = f"Bearer {token}"
        if content_type:
            headers["Content-Type"] = content_type
        return headers

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Params | None = None,
        body: Document | list[Document] | None = None,
        content_type: str = "application/json",
    ) -> Document:
        """Send one request and return the decoded answer."""
        assert self._session is not None, "use the client inside `async with`"  # noqa: S101  # programming error
        loop = asyncio.get_running_loop()
        start, status = loop.time(), 0
        data = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        headers = self._headers(content_type if data else None)
        url = self._connection.server + path
        with request_span(method, self._connection.server, path) as traced:
            try:
                async with self._session.request(method, url, params=params, data=data, headers=headers) as response:
                    status, retry_after = response.status, response.headers.get("Retry-After")
                    document = _decode(await response.read())
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise ConnectionLost(f"{method} {path}: {type(error).__name__}: {error}") from error
            finally:
                if self._observe:
                    self._observe(method, status, loop.time() - start)
            traced.answered(status)
            if status >= 400:  # noqa: PLR2004  # HTTP errors start here
                raise ApiError(status, document, f"{method} {path}", retry_after)
            return document

    async def get(self, api_version: str, kind: str, namespace: str | None, name: str) -> Document:
        """Return one object."""
        return await self.request("GET", resources.path(api_version, kind, namespace, name))

    async def list_all(self, path: str, params: Params | None = None) -> tuple[list[Document], str]:
        """Return all objects of a collection, read in pages, and the resource version to watch from."""
        items: list[Document] = []
        page: Params = {**(params or {}), "limit": _PAGE}
        while True:
            answer = await self.request("GET", path, params=page)
            items += answer.get("items") or []
            if not (token := answer["metadata"].get("continue")):
                return items, answer["metadata"]["resourceVersion"]
            page["continue"] = token

    async def watch(self, path: str, params: Params) -> AsyncIterator[tuple[str, Document]]:
        """Yield (type, object) of each change, bookmarks included, until the server ends the stream.

        Args:
            path: of the collection.
            params: selectors and `resourceVersion`.
        """
        assert self._session is not None, "use the client inside `async with`"  # noqa: S101  # programming error
        query = {**params, "watch": "1", "allowWatchBookmarks": "true", "timeoutSeconds": _WATCH_SECONDS}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=_WATCH_SILENCE_SECONDS)
        url = self._connection.server + path
        try:
            async with self._session.get(url, params=query, headers=self._headers(), timeout=timeout) as response:
                if response.status >= 400:  # noqa: PLR2004  # HTTP errors start here
                    retry_after = response.headers.get("Retry-After")
                    raise ApiError(response.status, _decode(await response.read()), f"watch {path}", retry_after)
                async for line in _lines(response):
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise ApiError(int(event["object"].get("code") or 500), event["object"], f"watch {path}")
                    yield event["type"], event["object"]
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, KeyError, TypeError) as error:
            raise ConnectionLost(f"watch {path}: {type(error).__name__}: {error}") from error

    async def read_text(self, path: str, params: Params, most: int) -> str:
        """Return the end of a plain-text answer, such as a log.

        Args:
            path: of the subresource.
            params: such as `tailLines`.
            most: bytes to keep; of a longer answer the end.
        """
        assert self._session is not None, "use the client inside `async with`"  # noqa: S101  # programming error
        url, kept = self._connection.server + path, b""
        try:
            async with self._session.get(url, params=params, headers=self._headers()) as response:
                if response.status >= 400:  # noqa: PLR2004  # HTTP errors start here
                    raise ApiError(response.status, _decode(await response.read()), f"GET {path}")
                async for chunk in response.content.iter_chunked(most):
                    kept = (kept + chunk)[-most:]
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ConnectionLost(f"GET {path}: {type(error).__name__}: {error}") from error
        return kept.decode(errors="replace")

    async def apply(self, obj: Document, manager: str, subresource: str = "", *, force: bool = True) -> Document:
        """Server-side apply `obj` as `manager` and return the object that is.

        Args:
            obj: the fields that `manager` wants to own; those it named before and no longer does are removed. With a
                `metadata.uid`, exactly that object, and a conflict if it is gone or another has its name.
            manager: name of the field manager.
            subresource: such as `status`.
            force: take over fields that somebody else owns; otherwise they are a conflict.
        """
        meta = obj["metadata"]
        path = resources.path(obj["apiVersion"], obj["kind"], meta.get("namespace"), meta["name"], subresource)
        return await self.request(
            "PATCH",
            path,
            params={"fieldManager": manager, "force": "true" if force else "false"},
            body=obj,
            content_type="application/apply-patch+yaml",
        )

    async def create(self, obj: Document) -> Document:
        """Create one object."""
        path = resources.path(obj["apiVersion"], obj["kind"], obj["metadata"].get("namespace"))
        return await self.request("POST", path, body=obj)

    async def replace(self, obj: Document) -> Document:
        """Replace one object; fails with a conflict if its resource version is not the newest."""
        meta = obj["metadata"]
        return await self.request(
            "PUT",
            resources.path(obj["apiVersion"], obj["kind"], meta.get("namespace"), meta["name"]),
            body=obj,
        )

    async def scale(self, obj: Document, manager: str, *, before: int, to: int) -> None:
        """Set the replicas of one object through `/scale`, if nobody has changed them since they were read.

        The test is on the number and not on the resource version, which changes with each word in a status.

        Args:
            obj: its kind, name and uid.
            manager: name of the field manager.
            before: replicas as read; not 0, which `/scale` leaves out.
            to: replicas to be.

        Raises:
            ApiError: with status 422 if the object or its replicas are others now.
        """
        meta = obj["metadata"]
        await self.request(
            "PATCH",
            resources.path(obj["apiVersion"], obj["kind"], meta["namespace"], meta["name"], "scale"),
            params={"fieldManager": manager},
            body=[
                {"op": "test", "path": "/metadata/uid", "value": meta["uid"]},
                {"op": "test", "path": "/spec/replicas", "value": before},
                {"op": "replace", "path": "/spec/replicas", "value": to},
            ],
            content_type="application/json-patch+json",
        )

    async def delete(self, obj: Document) -> None:
        """Delete exactly this object, by uid and resource version; one that is gone already is fine."""
        meta = obj["metadata"]
        preconditions = {"uid": meta["uid"], "resourceVersion": meta["resourceVersion"]}
        try:
            await self.request(
                "DELETE",
                resources.path(obj["apiVersion"], obj["kind"], meta.get("namespace"), meta["name"]),
                body={"preconditions": preconditions, "propagationPolicy": "Background"},
            )
        except ApiError as error:
            if not error.is_not_found:
                raise

    async def serves(self, api_version: str, kind: str) -> bool:
        """Whether the API server knows `kind` now."""
        try:
            answer = await self.request("GET", ("/apis/" if "/" in api_version else "/api/") + api_version)
        except ApiError as error:
            if error.is_not_found:
                return False
            raise
        return any(resource["kind"] == kind for resource in answer["resources"])


def _decode(data: bytes) -> Document:
    """Return the JSON object in `data`; what is no JSON object becomes the message of a Status."""
    try:
        document = json.loads(data or b"{}")
    except ValueError:
        document = None
    return document if isinstance(document, dict) else {"message": data[:200].decode(errors="replace")}


async def _lines(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Yield whole lines of any length; aiohttp's own line reader gives up at 64 KiB."""
    rest = b""
    async for chunk in response.content.iter_any():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if line:
                yield line
