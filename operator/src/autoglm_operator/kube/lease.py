"""Leader election by Lease, with client-go's timings.

Whoever holds the Lease writes; the other replica keeps its caches warm. Renewal of others is judged by when *we* saw
the Lease change, never by comparing clocks, so skew between nodes elects nobody twice.
"""

import asyncio
import logging
import random
import time
from collections.abc import Callable
from typing import Final

from autoglm_operator.api.types import micro_time
from autoglm_operator.kube.client import Client, Document
from autoglm_operator.kube.errors import ApiError, KubeError

logger = logging.getLogger(__name__)

#: Raises in a process that may no longer write; called before each write.
MayWrite = Callable[[], None]

LEASE_SECONDS: Final = 15.0
RENEW_DEADLINE_SECONDS: Final = 10.0
RETRY_SECONDS: Final = 2.0
#: A process that is told to stop does so, whether the API server answers or not.
_RELEASE_SECONDS: Final = 2.0


class LeadershipLost(Exception):  # noqa: N818  # says what happened
    """The Lease could not be renewed in time; the process must stop writing and exit."""


class LeaderElector:
    """Takes and keeps one Lease.

    Attributes:
        is_leader: whether this process may write; false as soon as the renew deadline has passed, even if the
            process was stopped meanwhile, because it is computed from the monotonic clock.
    """

    def __init__(
        self,
        client: Client,
        namespace: str,
        name: str,
        identity: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._clock = clock
        self._renewed: float | None = None
        self._seen: tuple[str, float] | None = None
        self._elected = asyncio.Event()

    @property
    def is_leader(self) -> bool:
        """Whether this process may write now."""
        return self._renewed is not None and self._clock() - self._renewed < RENEW_DEADLINE_SECONDS

    async def wait_elected(self) -> None:
        """Return once this process leads."""
        await self._elected.wait()

    async def run(self) -> None:
        """Take the Lease when it is free and renew it until cancelled; then release it.

        Raises:
            LeadershipLost: it was held and could not be renewed in time.
        """
        try:
            while True:
                await self._try_once()
                if self._renewed is not None and not self.is_leader:
                    raise LeadershipLost(
                        f"Lease {self._namespace}/{self._name} was not renewed within {RENEW_DEADLINE_SECONDS:.0f} s"
                    )
                await asyncio.sleep(RETRY_SECONDS * random.uniform(1.0, 1.2))
        finally:
            await asyncio.shield(self._release())

    async def _try_once(self) -> None:
        start = self._clock()
        try:
            async with asyncio.timeout(RENEW_DEADLINE_SECONDS / 2):
                held = await self._take()
        except (KubeError, TimeoutError) as error:
            logger.warning("lease request failed", extra={"lease": self._name, "error": str(error)})
            return
        if held:
            # Counted from before the request: the server may have stored it at any moment since.
            self._renewed = start
            if not self._elected.is_set():
                logger.info("elected leader", extra={"lease": self._name, "identity": self._identity})
                self._elected.set()

    async def _take(self) -> bool:
        lease = await self._read()
        if lease is None:
            return await self._write(self._document(None), create=True)
        spec = lease["spec"]
        holder = spec.get("holderIdentity")
        if holder not in (None, "", self._identity) and not self._expired(lease):
            if self._renewed is not None:
                raise LeadershipLost(f"Lease {self._namespace}/{self._name} was taken by {holder}")
            return False
        return await self._write(self._document(lease), create=False)

    async def _read(self) -> Document | None:
        try:
            return await self._client.get("coordination.k8s.io/v1", "Lease", self._namespace, self._name)
        except ApiError as error:
            if error.is_not_found:
                return None
            raise

    async def _write(self, lease: Document, *, create: bool) -> bool:
        try:
            await (self._client.create(lease) if create else self._client.replace(lease))
        except ApiError as error:
            if error.is_conflict:
                return False
            raise
        return True

    def _expired(self, lease: Document) -> bool:
        version, now = lease["metadata"]["resourceVersion"], self._clock()
        if self._seen is None or self._seen[0] != version:
            self._seen = (version, now)
        return now - self._seen[1] > float(lease["spec"].get("leaseDurationSeconds") or LEASE_SECONDS)

    def _document(self, lease: Document | None) -> Document:
        now = micro_time(time.time())
        old = lease["spec"] if lease else {}
        same = old.get("holderIdentity") == self._identity
        transitions = int(old.get("leaseTransitions") or 0) + (0 if same or lease is None else 1)
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": self._name,
                "namespace": self._namespace,
                **({"resourceVersion": lease["metadata"]["resourceVersion"]} if lease else {}),
            },
            "spec": {
                "holderIdentity": self._identity,
                "leaseDurationSeconds": int(LEASE_SECONDS),
                "acquireTime": old.get("acquireTime", now) if same else now,
                "renewTime": now,
                "leaseTransitions": transitions,
            },
        }

    async def _release(self) -> None:
        """Let the other replica take over at once instead of after the Lease's duration."""
        if not self.is_leader:
            return
        self._renewed = None
        try:
            async with asyncio.timeout(_RELEASE_SECONDS):
                lease = await self._read()
                if lease and lease["spec"].get("holderIdentity") == self._identity:
                    document = self._document(lease)
                    document["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1}
                    await self._write(document, create=False)
        except (KubeError, TimeoutError) as error:
            logger.warning("lease not released", extra={"lease": self._name, "error": str(error)})
