"""Reads engines' logs, each part once: the start of a pod that became ready, the end of a run that crashed.

The kubelet keeps the last 2,048 bytes of a crashed container's log. vLLM's server process ends with a traceback longer
than that, which only says that the cause is above; so the log itself is read where that is all there is.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from autoglm_operator.api import names
from autoglm_operator.kube import resources
from autoglm_operator.kube.client import Client
from autoglm_operator.kube.errors import KubeError
from autoglm_operator.observe.pod import Exit, Pod
from autoglm_operator.observe.start_log import Start, read_start

logger = logging.getLogger(__name__)

Key = tuple[str, str]

#: The start of an engine fits in this many times over, without what it writes while it serves.
START_BYTES: Final = 256 * 1024
#: Tracebacks of eight ranks.
_CRASH_LINES: Final = 400
_CRASH_BYTES: Final = 64 * 1024
#: A log is read while a reconcile waits. Those beyond are read the next time round.
_READS_AT_A_TIME: Final = 8


@dataclass(frozen=True, slots=True)
class EngineLog:
    """What was read of the log of one pod's engine.

    Attributes:
        start: figures of its start; `None` if it was not read.
        crash: end of the log of the run that ended last; empty if it was not read.
        problem: why it could not be read; empty if it was, or was not asked for.
    """

    start: Start | None = None
    crash: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class _Known:
    log: EngineLog
    started: bool = False
    crashed: Exit | None = None


class EngineLogs:
    """Reads the logs of engine pods, and remembers what they said while the pods exist.

    Args:
        client: reads them; needs the right to get `pods/log`.
        tells: whether the end of a log, as the kubelet keeps it, tells why the engine exited.
    """

    def __init__(self, client: Client, tells: Callable[[str], bool]) -> None:
        self._client = client
        self._tells = tells
        self._known: dict[Key, dict[str, _Known]] = {}

    async def read(self, key: Key, pods: Sequence[Pod], *, since: float = 0.0) -> Mapping[str, EngineLog]:
        """Read what is worth reading and not read yet, and return what is known, by uid of the pod.

        A log that cannot be read is not tried again: the warning and `problem` say so.

        Args:
            key: namespace and name of the deployment.
            pods: its pods; what is known of others is dropped.
            since: pods that became ready before this time, in seconds since the epoch, need not be read.
        """
        before = self._known.get(key, {})
        known = {pod.uid: before.get(pod.uid, _Known(EngineLog())) for pod in pods}
        # Those on their way out too: of a group nothing else is left that tells.
        wanted = [pod for pod in pods if self._wants(pod, known[pod.uid], since)]
        wanted = wanted[:_READS_AT_A_TIME]
        known |= dict(
            zip(
                (pod.uid for pod in wanted),
                await asyncio.gather(*(self._read(key[0], pod, known[pod.uid]) for pod in wanted)),
                strict=True,
            )
        )
        self._known[key] = known
        return self.known(key)

    def known(self, key: Key) -> Mapping[str, EngineLog]:
        """Return what was read before, by uid of the pod."""
        return {uid: item.log for uid, item in self._known.get(key, {}).items()}

    def forget(self, key: Key) -> None:
        """Drop what is remembered of a deployment that is gone."""
        self._known.pop(key, None)

    def _wants(self, pod: Pod, known: _Known, since: float) -> bool:
        if pod.ready:
            return not known.started and not pod.terminating and (pod.ready_since or 0.0) > since
        last = _crash(pod)
        return last is not None and last != known.crashed and not self._tells(last.message)

    async def _read(self, namespace: str, pod: Pod, known: _Known) -> _Known:
        known = replace(known, started=pod.ready, crashed=None if pod.ready else _crash(pod))
        path = f"{resources.path('v1', 'Pod', namespace, pod.name)}/log"
        params = {"container": names.ENGINE_CONTAINER}
        try:
            if pod.ready:
                params |= {"timestamps": "true", "limitBytes": str(START_BYTES)}
                text = await self._client.read_text(path, params, START_BYTES)
                return replace(known, log=EngineLog(start=read_start(text)))
            ended = pod.engine is not None and pod.engine.ended
            params |= {"tailLines": str(_CRASH_LINES), "previous": "false" if ended else "true"}
            text = await self._client.read_text(path, params, _CRASH_BYTES)
            return replace(known, log=EngineLog(crash=text))
        except KubeError as error:
            logger.warning("log not read", extra={"namespace": namespace, "pod": pod.name, "error": str(error)})
            return replace(known, log=EngineLog(problem=f"the log of pod {pod.name} could not be read: {error}"))


def _crash(pod: Pod) -> Exit | None:
    """Return how the engine's last run ended, if it ended in an error."""
    last = pod.engine.last_exit if pod.engine else None
    return last if last and last.code else None
