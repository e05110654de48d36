"""What the autoscaler remembers over a restart: decisions and what the law has learned, in a ConfigMap each.

```
read    once for each deployment, before the first decision about it, and before each write
write   by the leader alone: 5 s after a change of number, 2 min after a change of reason, every 30 min what was
        learned meanwhile, and on the way out
```

Both replicas scrape and learn, so what is written counts only where both are gone at once without a word. Then half an
hour of learning is lost, a fourteenth of what the model of a replica rests on; for that, 1,000 deployments at rest cost
a write in 1.8 s. Nothing here holds up a tick: notes are taken in memory, and a task of its own writes. What is written
is not kept in memory too: a hundred decisions of 1,000 deployments are half a gigabyte of objects.
"""

import asyncio
import json
import logging
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol

from autoglm_operator.api import names
from autoglm_operator.api.status import ScalingLimit
from autoglm_operator.apply.sync import controlled_by
from autoglm_operator.autoscaler.memory_document import config_map, contents
from autoglm_operator.autoscaler.pods import Key, Target
from autoglm_operator.decide.scaling.bounds import Bounds, Limit
from autoglm_operator.decide.scaling.history import DECISIONS_KEY, LAW_KEY, Inputs, Record, Ring, config_name, parse
from autoglm_operator.decide.scaling.needs import Signals
from autoglm_operator.decide.scaling.rule import Decision
from autoglm_operator.kube.client import Client
from autoglm_operator.kube.errors import ApiError, KubeError

logger = logging.getLogger(__name__)

#: Least time between two writes of one deployment, by what is new.
NUMBER_SECONDS: Final = 5.0
RECORD_SECONDS: Final = 120.0
LAW_SECONDS: Final = 1800.0
#: After a request that failed, and after a look at a ConfigMap that is somebody else's.
RETRY_SECONDS: Final = 60.0
#: After a first look that failed: nothing is written before one went well.
READ_AGAIN_SECONDS: Final = 10.0
_NOT_READABLE: Final = "memory is not readable, and begins anew"
_LOOK_SECONDS: Final = 1.0
_READ_SECONDS: Final = 5.0
#: Of the time that the kubelet gives a process to stop.
_FLUSH_SECONDS: Final = 8.0
_AT_ONCE: Final = 8


class Judge(Protocol):
    """What has learned something worth keeping."""

    def dump(self, key: Key) -> dict[str, Any] | None:
        """Return what was learned of a deployment; `None` if nothing was."""

    def restore(self, key: Key, stored: dict[str, Any]) -> None:
        """Go on from what `dump` returned once."""


@dataclass(slots=True)
class Kept:
    """What is known of one deployment's ConfigMap.

    Attributes:
        target: whose it is.
        ring: its decisions that are not written yet, after the last one that is.
        recalled: whether what was learned was looked for.
        uid: of the ConfigMap; empty if there is none.
        moved: whether a change of number is not written yet.
        news: whether a record is not written yet.
        written: monotonic time of the last write, or of the start.
        not_before: monotonic time of the next request at the earliest.
        problem: why nothing is kept; empty if it is.
    """

    target: Target
    ring: Ring = field(default_factory=Ring)
    recalled: bool = False
    uid: str = ""
    moved: bool = False
    news: bool = False
    written: float = 0.0
    not_before: float = 0.0
    problem: str = ""

    def due(self, now: float) -> bool:
        """Whether it is time to write."""
        if now < self.not_before or not self.recalled:
            return False
        if self.moved or (self.news and not self.uid):
            return now - self.written >= NUMBER_SECONDS
        return now - self.written >= (RECORD_SECONDS if self.news else LAW_SECONDS)


class Memory:
    """Reads and writes the ConfigMaps.

    Args:
        client: of the API server.
        is_leader: whether this replica may write.
        judge: whose learning is kept.
        clock: monotonic time in seconds.
    """

    def __init__(
        self,
        client: Client,
        is_leader: Callable[[], bool],
        judge: Judge,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._is_leader = is_leader
        self._judge = judge
        self._clock = clock
        self._kept: dict[Key, Kept] = {}
        self._requests = asyncio.Semaphore(_AT_ONCE)
        self._leads = False

    async def recall(self, target: Target) -> None:
        """Look for what was learned of a deployment, unless that was done; to be called before it is judged."""
        kept = self._kept_of(target)
        if kept.recalled or self._clock() < kept.not_before:
            return
        try:
            async with asyncio.timeout(_READ_SECONDS), self._requests:
                data = await self._read(kept)
        except (KubeError, TimeoutError) as error:
            kept.not_before = self._clock() + READ_AGAIN_SECONDS
            _log("memory not read", kept, error)
            return
        kept.recalled = True
        # Spread by name: deployments that were seen at the same start are not written at the same time for ever.
        share = zlib.crc32("/".join(target.key).encode()) / 2**32
        kept.written = self._clock() - (share * LAW_SECONDS if data is not None else 0.0)
        kept.ring.records = kept.ring.records or _records(kept, data)[-1:]
        learned = _decoded(kept, data or {}, LAW_KEY)
        if isinstance(learned, dict):
            self._judge.restore(target.key, learned)
        elif learned is not None:
            _log(_NOT_READABLE, kept, f"{LAW_KEY}: no object, but {type(learned).__name__}")

    def note(self, target: Target, decision: Decision, signals: Signals, bounds: Bounds) -> Decision:
        """Take in the decision of one tick; return it, with what keeps it from being kept among its limits."""
        kept = self._kept_of(target)
        now = time.time()
        record = kept.ring.note(decision, lambda: Inputs.of(target.replicas, signals, bounds, decision), now)
        if record is not None:
            kept.news = True
            if self._leads:
                kept.moved = kept.moved or record.from_ != record.to
            else:
                # What is older was written by whoever leads.
                kept.ring.drop(now - LAW_SECONDS)
        if not kept.problem:
            return decision
        limit = ScalingLimit(reason=Limit.MEMORY_NOT_KEPT, message=kept.problem)
        return replace(decision, limits=(*decision.limits, limit))

    def forget(self, key: Key) -> None:
        """Drop a deployment that is gone; its ConfigMap goes with it."""
        self._kept.pop(key, None)

    async def run(self) -> None:
        """Write what is due until cancelled, and then what is not written yet."""
        try:
            while True:
                self._leads = self._is_leader()
                if self._leads:
                    now = self._clock()
                    due = sorted((kept for kept in self._kept.values() if kept.due(now)), key=_urgency)
                    # The rest a moment later: a change everywhere at once must not keep the process from its ticks.
                    await asyncio.gather(*(self._write_safely(kept) for kept in due[:_AT_ONCE]))
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            # The Lease may be given back by now, and whoever takes it reads later than this writes.
            if self._leads:
                await asyncio.shield(self._flush())

    async def _flush(self) -> None:
        now = self._clock()
        left = [
            kept
            for kept in self._kept.values()
            if kept.recalled and (kept.moved or kept.news or now - kept.written >= RETRY_SECONDS)
        ]
        left.sort(key=_urgency)
        writes = [asyncio.create_task(self._write_safely(kept)) for kept in left]
        _, late = await asyncio.wait(writes, timeout=_FLUSH_SECONDS) if writes else ((), ())
        for write in late:
            write.cancel()
        if late:
            logger.warning("memory not written", extra={"deployments": len(late), "seconds": _FLUSH_SECONDS})

    async def _write_safely(self, kept: Kept) -> None:
        async with self._requests:
            moved, news = kept.moved, kept.news
            try:
                # Each time: another replica may have written since.
                data = await self._read(kept)
                if not kept.problem:
                    await self._write(kept, _records(kept, data))
            except KubeError as error:
                kept.moved, kept.news = kept.moved or moved, kept.news or news
                kept.not_before = self._clock() + RETRY_SECONDS
                # Gone, or another object by now: the next attempt looks again.
                if not (isinstance(error, ApiError) and (error.is_not_found or error.is_conflict)):
                    _log("memory not written", kept, error)

    async def _write(self, kept: Kept, stored: list[Record]) -> None:
        # Before the request: what comes meanwhile is for the next one.
        kept.moved = kept.news = False
        kept.written = self._clock()
        own = len(kept.ring.records)
        ring = Ring(list(kept.ring.records))
        ring.take(stored)
        data = contents(ring.documents(), self._judge.dump(kept.target.key))
        # Without force where there was none: one of somebody else that took the name since then is a conflict.
        answer = await self._client.apply(
            config_map(kept.target, kept.uid, data), names.AUTOSCALER_MANAGER, force=bool(kept.uid)
        )
        kept.uid = answer["metadata"]["uid"]
        # The last one stays: the next decision is compared with it.
        del kept.ring.records[: own - 1]

    async def _read(self, kept: Kept) -> dict[str, str] | None:
        """Read the ConfigMap and return its data; `None` without one of ours."""
        target, name = kept.target, config_name(kept.target.name)
        try:
            document = await self._client.get("v1", "ConfigMap", target.namespace, name)
        except ApiError as error:
            if not error.is_not_found:
                raise
            kept.uid = kept.problem = ""
            return None
        if not controlled_by(document, target.uid):
            kept.not_before = self._clock() + RETRY_SECONDS
            problem = (
                f"ConfigMap {target.namespace}/{name} does not belong to this {names.KIND} and is left alone: "
                "decisions and what was learned are lost when the autoscaler restarts: rename or delete the ConfigMap"
            )
            if kept.problem != problem:
                _log("memory not kept", kept, problem)
            kept.problem = problem
            return None
        kept.uid, kept.problem = document["metadata"]["uid"], ""
        return document.get("data") or {}

    def _kept_of(self, target: Target) -> Kept:
        kept = self._kept.setdefault(target.key, Kept(target))
        kept.target = target
        return kept


def _urgency(kept: Kept) -> tuple[bool, bool, float]:
    return not kept.moved, not kept.news, kept.written


def _records(kept: Kept, data: dict[str, str] | None) -> list[Record]:
    """Return the decisions in the ConfigMap; none if they cannot be read."""
    try:
        return parse(_decoded(kept, data or {}, DECISIONS_KEY) or [])
    except ValueError as error:
        _log(_NOT_READABLE, kept, f"{DECISIONS_KEY}: {error}")
        return []


def _decoded(kept: Kept, data: dict[str, str], name: str) -> Any:
    """Return what is under `name`; `None` if nothing is, or nothing that can be read."""
    try:
        return json.loads(data[name]) if name in data else None
    except ValueError as error:
        _log(_NOT_READABLE, kept, f"{name}: {error}")
        return None


def _log(what: str, kept: Kept, why: object) -> None:
    fields = {"namespace": kept.target.namespace, "deployment": kept.target.name, "error": str(why)}
    logger.warning(what, extra=fields)
