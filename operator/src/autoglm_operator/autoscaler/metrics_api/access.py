"""Who may read: SubjectAccessReview, with its answers kept for a few seconds."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from autoglm_operator.autoscaler.metrics_api.auth import User
from autoglm_operator.kube.client import Client, Document

#: As kube-apiserver's own delegating authorizer: a right that is given or taken counts after so long.
ALLOWED_SECONDS: Final = 10.0
DENIED_SECONDS: Final = 10.0
_MOST_ANSWERS: Final = 20_000
#: Of a review: every namespace, every name.
_ALL: Final = ""


@dataclass(frozen=True, slots=True)
class Attributes:
    """What somebody wants to read: `get` on one metric of one object, or of all (`*`)."""

    namespace: str
    resource: str
    name: str
    subresource: str
    group: str
    version: str


class Access:
    """Asks the API server, once for all callers that ask the same at the same time.

    Args:
        client: of the API server.
        clock: monotonic time in seconds.
    """

    def __init__(self, client: Client, clock: Callable[[], float] = time.monotonic) -> None:
        self._client = client
        self._clock = clock
        self._answers: OrderedDict[tuple[User, Attributes], tuple[float, str | None]] = OrderedDict()
        self._asking: dict[tuple[User, Attributes], asyncio.Task[str | None]] = {}

    async def denied(self, user: User, attributes: Attributes) -> str | None:
        """Return why `user` may not read, or `None` if they may.

        The HPA controller may read every object, and asks for each at intervals longer than an answer is kept: whoever
        may read all is asked about once, and only others about the one object.

        Raises:
            KubeError: the API server did not say; nobody may read then.
        """
        everything = replace(attributes, namespace=_ALL, name=_ALL)
        if await self._answer(user, everything) is None:
            return None
        return await self._answer(user, attributes)

    async def _answer(self, user: User, attributes: Attributes) -> str | None:
        key = (user, attributes)
        if (known := self._answers.get(key)) is not None and self._clock() < known[0]:
            return known[1]
        if (task := self._asking.get(key)) is None:
            task = asyncio.create_task(self._review(user, attributes))
            self._asking[key] = task
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        # Shielded: the first caller's disconnect must not fail the others.
        answer = await asyncio.shield(task)
        self._keep(key, answer)
        return answer

    def _keep(self, key: tuple[User, Attributes], answer: str | None) -> None:
        lifetime = ALLOWED_SECONDS if answer is None else DENIED_SECONDS
        self._answers[key] = (self._clock() + lifetime, answer)
        self._answers.move_to_end(key)
        while len(self._answers) > _MOST_ANSWERS:
            self._answers.popitem(last=False)

    async def _review(self, user: User, attributes: Attributes) -> str | None:
        answer = await self._client.create(_document(user, attributes))
        status = answer.get("status") or {}
        if status.get("allowed") is True and not status.get("denied"):
            return None
        return str(status.get("reason") or status.get("evaluationError") or "no rule allows it")


def _document(user: User, attributes: Attributes) -> Document:
    return {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "metadata": {},
        "spec": {
            "user": user.name,
            "uid": user.uid,
            "groups": list(user.groups),
            "extra": {key: list(values) for key, values in user.extra},
            "resourceAttributes": {
                "namespace": attributes.namespace,
                "verb": "get",
                "group": attributes.group,
                "version": attributes.version,
                "resource": attributes.resource,
                "subresource": attributes.subresource,
                "name": attributes.name,
            },
        },
    }
