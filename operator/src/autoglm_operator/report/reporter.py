"""Writes what was judged: the status when it says something new, and the events that go with it."""

import time
from collections.abc import Callable, Sequence
from typing import Final

from autoglm_operator.decide.health import READY, Health
from autoglm_operator.kube.client import Client, Document
from autoglm_operator.kube.lease import MayWrite
from autoglm_operator.observe.world import Deployment
from autoglm_operator.report.events import events
from autoglm_operator.report.status import differs, status_document
from autoglm_operator.report.writing import post_event, write_status

#: A start or a scale-up changes the status several times within seconds; one write tells it. Readiness does not wait.
_STATUS_SPACING_SECONDS: Final = 5.0
#: Two pods in two kinds of trouble make the conditions waver; each kind is told once in this time.
_EVENT_SPACING_SECONDS: Final = 600.0


class Reporter:
    """Writes status and events of deployments, with pauses between the writes about one.

    Args:
        client: writes them.
        instance: name of this replica in events.
        may_write: raises in a process that may no longer write; called before each write.
        clock: seconds that never jump.
    """

    def __init__(
        self, client: Client, instance: str, may_write: MayWrite, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._instance = instance
        self._may_write = may_write
        self._clock = clock
        self._reported: dict[str, float] = {}
        self._told: dict[str, dict[tuple[str, str], float]] = {}

    def pause(self, deployment: Deployment, health: Health, *, now: float, created: bool) -> float:
        """Return the seconds until the status should be written; 0 if now, or if it says so already.

        Args:
            deployment: as read, with the status that is.
            health: the judgement to report.
            now: seconds since the epoch.
            created: whether children were made just now, so that more changes follow at once.
        """
        if not differs(status_document(deployment, health, now), deployment.status):
            return 0.0
        clock = self._clock()
        first = created and not deployment.conditions
        last = clock if first else self._reported.get(deployment.uid, clock - _STATUS_SPACING_SECONDS)
        pause = last + _STATUS_SPACING_SECONDS - clock
        if pause <= 0 or _becomes_ready(deployment, health):
            return 0.0
        self._reported.setdefault(deployment.uid, last)
        return pause

    async def report(self, deployment: Deployment, health: Health, now: float) -> Document | None:
        """Write status and events, and return the deployment as it is then; `None` if all was said before.

        Raises:
            Gone: the deployment does not exist any more.
        """
        document = status_document(deployment, health, now)
        if not differs(document, deployment.status):
            return None
        answer = await write_status(self._client, self._may_write, document)
        self._reported[deployment.uid] = self._clock()
        for event in self._news(deployment.uid, events(deployment, health, self._instance, now)):
            await post_event(self._client, self._may_write, event)
        return answer

    def _news(self, uid: str, found: Sequence[Document]) -> list[Document]:
        """Return the events that were not told of late, and remember them."""
        clock = self._clock()
        told = {what: at for what, at in self._told.get(uid, {}).items() if clock - at < _EVENT_SPACING_SECONDS}
        news = [event for event in found if (event["reason"], event["note"]) not in told]
        told |= {(event["reason"], event["note"]): clock for event in news}
        self._told[uid] = told
        return news

    def forget(self, uid: str) -> None:
        """Drop what is remembered of a deployment that is gone."""
        self._reported.pop(uid, None)
        self._told.pop(uid, None)


def _becomes_ready(deployment: Deployment, health: Health) -> bool:
    old = deployment.conditions.get(READY)
    new = next(verdict for verdict in health.verdicts if verdict.type == READY)
    return new.status == "True" and (old is None or old.status != "True")
