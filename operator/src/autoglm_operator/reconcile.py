"""The five steps: observe → decide → render → apply → report, in one span."""

import logging
from dataclasses import dataclass, replace
from typing import Final

from opentelemetry import trace

from autoglm_operator.api import names
from autoglm_operator.apply.sync import Applied, Synchroniser
from autoglm_operator.decide.health import READY, Health, assess, refused
from autoglm_operator.decide.plan import make_plan
from autoglm_operator.errors import ReconcileError, Waiting
from autoglm_operator.kube.client import Client
from autoglm_operator.kube.reflector import Key
from autoglm_operator.observe.caches import Caches
from autoglm_operator.observe.world import Deployment, Observed
from autoglm_operator.render.bundle import bundle
from autoglm_operator.report.events import events
from autoglm_operator.report.status import differs, status_document
from autoglm_operator.settings import Images

logger = logging.getLogger(__name__)
tracer = trace.get_tracer(__name__)

#: A start or a scale-up changes the status several times within seconds; one write tells it. Readiness does not wait.
_STATUS_SPACING_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one reconcile came to.

    Attributes:
        result: `success`, `waiting` or `terminal`.
        after: seconds until it wants to be called again; `None` for the next change.
        health: the judgement that was reported; `None` if there was nothing to judge.
        applied: what was written.
    """

    result: str
    after: float | None
    health: Health | None
    applied: Applied


class Reconciler:
    """Reconciles one AutoGLMDeployment at a time, by key."""

    def __init__(
        self, client: Client, caches: Caches, synchroniser: Synchroniser, images: Images, instance: str
    ) -> None:
        self._client = client
        self._caches = caches
        self._synchroniser = synchroniser
        self._images = images
        self._instance = instance
        self._reported: dict[str, float] = {}

    async def reconcile(self, key: Key) -> Outcome:
        """Bring the children of one deployment to what its spec wants, and say so in its status.

        Raises:
            KubeError: the API server failed; to be tried again.
        """
        namespace, name = key
        attributes = {"k8s.namespace.name": namespace, "autoglm.deployment.name": name}
        with tracer.start_as_current_span("reconcile AutoGLMDeployment", attributes=attributes) as span:
            with tracer.start_as_current_span("observe"):
                observed = self._caches.observe(key)
            if observed is None or observed.deployment.deleting:
                # The garbage collector removes the children; they all carry an owner reference.
                return Outcome("success", None, None, Applied())
            span.set_attribute("autoglm.deployment.generation", observed.deployment.generation)
            outcome = await self._bring_about(observed)
            span.set_attribute("autoglm.outcome", outcome.result)
            with tracer.start_as_current_span("report"):
                pause = await self._report(observed, outcome)
            return replace(outcome, after=pause) if pause else outcome

    async def _bring_about(self, observed: Observed) -> Outcome:
        deployment = observed.deployment
        owner = self._caches.deployments[(deployment.namespace, deployment.name)]
        try:
            with tracer.start_as_current_span("decide"):
                plan = make_plan(observed)
            with tracer.start_as_current_span("render"):
                desired = bundle(deployment, plan, self._images)
            with tracer.start_as_current_span("apply") as span:
                applied = await self._synchroniser.sync(owner, desired, observed.children)
                span.set_attribute("autoglm.objects.written", len(applied.written))
                self._caches.put(applied.written)
            newest = self._caches.observe((deployment.namespace, deployment.name)) or observed
            return Outcome("success", None, assess(newest, plan), applied)
        except ReconcileError as error:
            logger.warning("reconcile refused", extra=_fields(observed, error))
            after = error.after if isinstance(error, Waiting) else None
            health = refused(observed, error.reason, str(error))
            return Outcome("waiting" if after else "terminal", after, health, Applied())

    async def _report(self, observed: Observed, outcome: Outcome) -> float | None:
        """Write status and events, or return the seconds until they should be: bursts become one write."""
        if outcome.health is None:
            return None
        deployment = observed.deployment
        document = status_document(deployment, outcome.health, observed.now)
        if not differs(document, deployment.status):
            return None
        just_created = bool(outcome.applied.written) and not deployment.conditions
        last = observed.now if just_created else self._reported.get(deployment.uid, 0.0)
        pause = last + _STATUS_SPACING_SECONDS - observed.now
        if outcome.result == "success" and pause > 0 and not _becomes_ready(deployment, outcome.health):
            self._reported.setdefault(deployment.uid, last)
            return pause
        for event in events(deployment, outcome.health, self._instance, observed.now):
            await self._client.create(event)
        self._caches.store(await self._client.apply(document, names.OPERATOR_MANAGER, "status"))
        self._reported[deployment.uid] = observed.now
        return None

    def forget(self, key: Key, uid: str) -> None:
        """Drop what is remembered of a deployment that is gone."""
        self._reported.pop(uid, None)
        self._synchroniser.forget(*key)


def _becomes_ready(deployment: Deployment, health: Health) -> bool:
    old = deployment.conditions.get(READY)
    new = next(verdict for verdict in health.verdicts if verdict.type == READY)
    return new.status == "True" and (old is None or old.status != "True")


def _fields(observed: Observed, error: ReconcileError) -> dict[str, str]:
    deployment = observed.deployment
    return {
        "namespace": deployment.namespace,
        "name": deployment.name,
        "reason": error.reason,
        "error": str(error),
    }
