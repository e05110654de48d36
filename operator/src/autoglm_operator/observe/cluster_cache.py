"""Follows what the cluster has, as far as the operator may read it."""

import asyncio
import logging
import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from autoglm_operator.kube import resources
from autoglm_operator.kube.client import Client, Document
from autoglm_operator.kube.errors import HTTP_FORBIDDEN, ApiError, KubeError
from autoglm_operator.kube.reflector import Key, Reflector
from autoglm_operator.observe.autoscalers import API_SERVICE, Backend
from autoglm_operator.observe.cluster import DRA_API, Cluster, Node, Slice, newest

logger = logging.getLogger(__name__)

#: How often it is looked whether a kind that may not be read, or is not served, can be read now, and the reverse.
_LOOK_AGAIN_SECONDS: Final = 300.0
#: How soon an API that was installed or removed is noticed.
_KINDS_SECONDS: Final = 60.0
#: The API server may be away at start; nothing can be decided before it answers.
_FIRST_LOOK_SECONDS: Final = 1.0
#: Nodes come and go in groups; one announcement is enough for all that happens within this time.
_ANNOUNCE_SECONDS: Final = 5.0


class _Source:
    """One kind of cluster-wide objects, followed while it is served and may be read.

    Attributes:
        refused: what may not be listed, such as `nodes`; empty if it may.
        absent: whether the API server does not serve it.
        settled: set once it is known which of these is the case, and everything is listed.
    """

    def __init__(
        self, client: Client, api_version: str, kind: str, keep: Callable[[Document], Any], changed: Callable[[], None]
    ) -> None:
        self.kind = kind
        self.refused = ""
        self.absent = False
        self.settled = asyncio.Event()
        self._client = client
        self._api_version = api_version
        self._keep = keep
        self._changed = changed
        self._reflector: Reflector | None = None

    @property
    def items(self) -> tuple[Any, ...] | None:
        """Return what there is; `None` if it may not be read."""
        if self.absent:
            return ()
        return tuple(self._reflector.items.values()) if self._reflector and self._reflector.synced else None

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            readable = await self._look()
            if readable:
                await self._follow()
            elif readable is None:
                await asyncio.sleep(_FIRST_LOOK_SECONDS)
            else:
                self.settled.set()
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    async def _follow(self) -> None:
        """Run a reflector for as long as the kind can be read.

        A reflector that is refused would try for ever and say so each time: this one is ended, and said once.
        """
        self._reflector = Reflector(
            self._client, self._api_version, self.kind, keep=self._keep, on_change=self._item_changed
        )
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(self._reflector.run()), tasks.create_task(self._settle(self._reflector))]
            while await self._look() is not False:  # noqa: ASYNC110  # nothing tells of a right that is taken
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)
            for task in running:
                task.cancel()
        self._reflector = None
        self._changed()

    async def _settle(self, reflector: Reflector) -> None:
        await reflector.wait_synced()
        self.settled.set()
        self._changed()

    async def _look(self) -> bool | None:
        """Return whether the kind can be read now; `None` if the API server did not say."""
        path = resources.path(self._api_version, self.kind)
        try:
            await self._client.request("GET", path, params={"limit": "1"})
        except ApiError as error:
            if not (error.is_not_found or error.status == HTTP_FORBIDDEN):
                return None
            self.absent = error.is_not_found
            self._refuse("" if self.absent else path.rpartition("/")[2])
            return False
        except KubeError:
            return None
        self.absent = False
        self._refuse("")
        return True

    def _refuse(self, what: str) -> None:
        if what and what != self.refused:
            logger.info("the operator may not list what the cluster has", extra={"refused": what})
        self.refused = what

    def _item_changed(self, _key: Key, _old: Any, _new: Any) -> None:
        self._changed()


class ClusterCache:
    """Nodes, devices and backends of custom metrics, kept current; `picture` is what the pure rooms decide on."""

    def __init__(self, client: Client, optional: Iterable[tuple[str, str]], on_change: Callable[[], None]) -> None:
        """Prepare.

        Args:
            client: of the API server.
            optional: (apiVersion, kind) of optional kinds that the cluster served at start.
            on_change: called some seconds after the picture changed, once for all changes of that time.
        """
        self._client = client
        self._kinds = frozenset(kind for _, kind in optional)
        self._on_change = on_change
        self._nodes = _Source(client, "v1", "Node", Node.parse, self._changed)
        self._classes = _Source(client, DRA_API, "DeviceClass", _name, self._changed)
        self._slices = _Source(client, DRA_API, "ResourceSlice", Slice.parse, self._changed)
        self._backends = _Source(client, *API_SERVICE, Backend.keep, self._changed)
        self._version: tuple[int, int] | None = None
        self._picture: Cluster | None = None
        self._dirty = asyncio.Event()

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._announce())
            for source in self._sources:
                tasks.create_task(source.run())

    async def wait_settled(self) -> None:
        """Return when it is known what can be known; deciding before that would decide anew a moment later."""
        for source in self._sources:
            await source.settled.wait()
        while self._version is None:
            self._version = await self._read_version()
            self._picture = None

    def picture(self) -> Cluster:
        """Return what the cluster has now."""
        if self._picture is None:
            slices = self._slices.items
            classes = self._classes.items
            gpus = (self._nodes, self._classes, self._slices)
            refused = [source.refused for source in gpus if source.refused]
            self._picture = Cluster(
                nodes=self._nodes.items,
                devices=None if slices is None else newest(slices),
                device_classes=None if classes is None else frozenset(classes),
                kinds=self._kinds,
                version=self._version,
                backends=self._backends.items,
                unknown=f"the operator may not list {', '.join(refused)}" if refused else "",
            )
        return self._picture

    @property
    def _sources(self) -> tuple[_Source, ...]:
        return self._nodes, self._classes, self._slices, self._backends

    def _changed(self) -> None:
        self._picture = None
        self._dirty.set()

    async def _announce(self) -> None:
        announced: Cluster | None = None
        while True:
            await self._dirty.wait()
            await asyncio.sleep(_ANNOUNCE_SECONDS)
            self._dirty.clear()
            if self.picture() != announced:
                announced = self.picture()
                self._on_change()

    async def _read_version(self) -> tuple[int, int] | None:
        try:
            answer = await self._client.request("GET", "/version")
        except KubeError as error:
            logger.warning("version of Kubernetes not read", extra={"error": str(error)})
            await asyncio.sleep(_FIRST_LOOK_SECONDS)
            return None
        # Some vendors write the minor version as "35+".
        minor = re.match("[0-9]+", answer["minor"])
        return int(answer["major"]), int(minor[0]) if minor else 0


async def other_kinds(client: Client, optional: Iterable[tuple[str, str]], served: Iterable[tuple[str, str]]) -> None:
    """Return once the API server serves other optional kinds than at start, such as after LeaderWorkerSet came.

    Args:
        client: of the API server.
        optional: (apiVersion, kind) of all of them.
        served: those served at start.
    """
    known = set(served)
    while True:
        await asyncio.sleep(_KINDS_SECONDS)
        try:
            now = {item for item in optional if await client.serves(*item)}
        except KubeError as error:
            logger.warning("optional kinds not looked for", extra={"error": str(error)})
            continue
        if now != known:
            logger.info("optional kinds changed", extra={"kinds": sorted(kind for _, kind in now)})
            return


def _name(document: Document) -> str:
    return str(document["metadata"]["name"])
