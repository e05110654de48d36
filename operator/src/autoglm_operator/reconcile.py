"""The five steps: observe → decide → render → apply → report, in one span."""

import logging
from dataclasses import dataclass, replace

from opentelemetry import trace

from autoglm_operator.apply.sync import RETRY_REJECTED_SECONDS, Applied, Synchroniser
from autoglm_operator.decide.health import Health, refused
from autoglm_operator.decide.judgement import judge
from autoglm_operator.decide.plan import kept, make_plan
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.errors import ReconcileError, Waiting
from autoglm_operator.kube.reflector import Key
from autoglm_operator.lookups import Lookups
from autoglm_operator.observe.caches import Caches
from autoglm_operator.observe.world import Observed
from autoglm_operator.render.bundle import bundle
from autoglm_operator.render.engines.release import note
from autoglm_operator.report.reporter import Reporter
from autoglm_operator.settings import Images

logger = logging.getLogger(__name__)
tracer = trace.get_tracer(__name__)


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
        self, caches: Caches, lookups: Lookups, synchroniser: Synchroniser, reporter: Reporter, images: Images
    ) -> None:
        self._caches = caches
        self._lookups = lookups
        self._synchroniser = synchroniser
        self._reporter = reporter
        self._images = images

    async def reconcile(self, key: Key) -> Outcome:
        """Bring the children of one deployment to what its spec wants, and say so in its status.

        Raises:
            Gone: the deployment does not exist any more.
            KubeError: the API server failed; to be tried again.
        """
        namespace, name = key
        attributes = {"k8s.namespace.name": namespace, "autoglm.deployment.name": name}
        with tracer.start_as_current_span("reconcile AutoGLMDeployment", attributes=attributes) as span:
            with tracer.start_as_current_span("observe"):
                observed = await self._observe(key)
            if observed is None or observed.deployment.deleting:
                # The garbage collector removes the children; they all carry an owner reference.
                return Outcome("success", None, None, Applied())
            span.set_attribute("autoglm.deployment.generation", observed.deployment.generation)
            outcome = await self._bring_about(observed)
            span.set_attribute("autoglm.outcome", outcome.result)
            with tracer.start_as_current_span("report"):
                pause = await self._report(observed, outcome)
            return outcome if pause is None else replace(outcome, after=pause)

    async def _observe(self, key: Key) -> Observed | None:
        observed = self._caches.observe(key)
        return None if observed is None else await self._lookups.complete(key, observed)

    async def _bring_about(self, observed: Observed) -> Outcome:
        deployment = observed.deployment
        owner = self._caches.deployments[(deployment.namespace, deployment.name)]
        applied = Applied()
        try:
            with tracer.start_as_current_span("decide"):
                plan = make_plan(observed, self._images)
            with tracer.start_as_current_span("render"):
                desired = bundle(deployment, plan, self._images)
            with tracer.start_as_current_span("apply") as span:
                applied = await self._synchroniser.sync(owner, desired, observed.children, kept(observed, plan))
                span.set_attribute("autoglm.objects.written", len(applied.written))
                self._caches.put(applied.written)
            if applied.rejected:
                raise Waiting(Reason.CHILD_REJECTED, "; ".join(applied.rejected), RETRY_REJECTED_SECONDS)
            newest = self._caches.observe((deployment.namespace, deployment.name)) or observed
            newest = replace(newest, logs=observed.logs, model_config=observed.model_config)
            health = judge(newest, plan, note(plan.spec.engine.type, plan.engine_version))
            return Outcome("success", plan.warm.again, health, applied)
        except ReconcileError as error:
            logger.warning("reconcile refused", extra=_fields(observed, error))
            after = error.after if isinstance(error, Waiting) else None
            health = refused(observed, error.reason, str(error))
            return Outcome("waiting" if after else "terminal", after, health, applied)

    async def _report(self, observed: Observed, outcome: Outcome) -> float | None:
        """Write status and events, or return the seconds until they should be: bursts become one write."""
        if outcome.health is None:
            return None
        deployment, health, now = observed.deployment, outcome.health, observed.now
        created = bool(outcome.applied.written)
        pause = self._reporter.pause(deployment, health, now=now, created=created)
        if pause and outcome.result == "success":
            return pause
        answer = await self._reporter.report(deployment, health, now)
        if answer is None:
            return None
        self._caches.store(answer)
        # The answer may bring a spec that no event will be news about any more.
        return 0.0 if answer["metadata"].get("generation") != deployment.generation else None

    def forget(self, key: Key, uid: str) -> None:
        """Drop what is remembered of a deployment that is gone."""
        self._reporter.forget(uid)
        self._lookups.forget(key)
        self._synchroniser.forget(*key)


def _fields(observed: Observed, error: ReconcileError) -> dict[str, str]:
    deployment = observed.deployment
    return {
        "namespace": deployment.namespace,
        "deployment": deployment.name,
        "reason": error.reason,
        "error": str(error),
    }
