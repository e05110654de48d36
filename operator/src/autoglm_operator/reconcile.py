"""The five steps: observe → decide → render → apply → report, in one span."""

import logging
import time
from dataclasses import dataclass, replace

from opentelemetry import trace
from opentelemetry.trace import Link, Status, StatusCode

from autoglm_operator.apply.sync import RETRY_REJECTED_SECONDS, Applied, Synchroniser
from autoglm_operator.decide.health import Health, refused
from autoglm_operator.decide.judgement import judge
from autoglm_operator.decide.plan import Plan, kept, make_plan
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.errors import ReconcileError, Waiting
from autoglm_operator.exposition import exemplar
from autoglm_operator.kube.reflector import Key
from autoglm_operator.lookups import Lookups
from autoglm_operator.observe.caches import Caches
from autoglm_operator.observe.world import Deployment, Observed
from autoglm_operator.render.bundle import bundle
from autoglm_operator.render.engines.release import note
from autoglm_operator.report.reporter import Reporter
from autoglm_operator.settings import Images
from autoglm_operator.tracing import DECISION_TRACE, current_span, link, passing, step

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one reconcile came to.

    Attributes:
        result: `success`, `waiting` or `terminal`.
        after: seconds until it wants to be called again; `None` for the next change.
        health: the judgement that was reported; `None` if there was nothing to judge.
        applied: what was written.
        plan: what was brought about; `None` if it could not be.
        exemplar: of the metrics about this reconcile; `None` if it is not traced.
    """

    result: str
    after: float | None
    health: Health | None
    applied: Applied
    plan: Plan | None = None
    exemplar: dict[str, str] | None = None


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
        attributes: dict[str, str | int] = {"k8s.namespace.name": namespace, "autoglm.deployment.name": name}
        start, seen = time.time_ns(), self._caches.observe(key)
        cause = _decision_applied(seen)
        if cause is not None:
            # An attribute too: not every store of traces finds the spans that link to one.
            attributes[DECISION_TRACE] = f"{cause.context.trace_id:032x}"
        with passing("reconcile AutoGLMDeployment", start, attributes, (cause,) if cause else ()) as made:
            with step("observe", start):
                observed = seen and await self._lookups.complete(key, seen)
            if observed is None or observed.deployment.deleting:
                # The garbage collector removes the children; they all carry an owner reference.
                return Outcome("success", None, None, Applied())
            attributes["autoglm.deployment.generation"] = observed.deployment.generation
            outcome = await self._bring_about(observed)
            attributes["autoglm.outcome"] = outcome.result
            with step("report"):
                pause = await self._report(observed, outcome)
            with trace.use_span(made.if_made):
                shown = exemplar()
            return replace(outcome, after=outcome.after if pause is None else pause, exemplar=shown)

    async def _bring_about(self, observed: Observed) -> Outcome:
        deployment = observed.deployment
        owner = self._caches.deployments[(deployment.namespace, deployment.name)]
        applied = Applied()
        try:
            with step("decide", refusal=ReconcileError):
                plan = make_plan(observed, self._images)
            with step("render", refusal=ReconcileError):
                desired = bundle(deployment, plan, self._images)
            with step("apply", refusal=ReconcileError):
                applied = await self._synchroniser.sync(owner, desired, observed.children, kept(observed, plan))
                if applied.written:
                    current_span().set_attribute("autoglm.objects.written", len(applied.written))
                self._caches.put(applied.written)
            if applied.rejected:
                raise Waiting(Reason.CHILD_REJECTED, "; ".join(applied.rejected), RETRY_REJECTED_SECONDS)
            newest = self._caches.observe((deployment.namespace, deployment.name)) or observed
            newest = replace(newest, logs=observed.logs, model_config=observed.model_config)
            health = judge(newest, plan, note(plan.spec.engine.type, plan.engine_version))
            return Outcome("success", plan.warm.again, health, applied, plan)
        except ReconcileError as error:
            logger.warning("reconcile refused", extra=_fields(observed, error))
            _trace_refusal(error)
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
        _trace_changes(deployment, health)
        # The answer may bring a spec that no event will be news about any more.
        return 0.0 if answer["metadata"].get("generation") != deployment.generation else None

    def forget(self, key: Key, uid: str) -> None:
        """Drop what is remembered of a deployment that is gone."""
        self._reporter.forget(uid)
        self._lookups.forget(key)
        self._synchroniser.forget(*key)


def _decision_applied(observed: Observed | None) -> Link | None:
    """Return a link to the decision that this reconcile brings about; `None` unless it changes the replicas to that."""
    if observed is None or observed.workload is None or observed.deployment.spec is None:
        return None
    wanted = observed.deployment.spec.replicas
    decision = (observed.deployment.status.get("autoscaling") or {}).get("decision") or {}
    if wanted == observed.workload["spec"].get("replicas") or wanted != decision.get("to"):
        return None
    return link(decision.get("traceparent"), {"autoglm.link": "decision"})


def _trace_refusal(error: ReconcileError) -> None:
    """Tell the sentence in the span; it is an error only where nothing but a change of the spec helps."""
    span = current_span()
    span.add_event("refused", {"reason": error.reason, "sentence": str(error)})
    if not isinstance(error, Waiting):
        span.set_attribute("error.type", error.reason)
        span.set_status(Status(StatusCode.ERROR, str(error)))


def _trace_changes(deployment: Deployment, health: Health) -> None:
    """Tell the conditions that changed in the span, in the words that the status has."""
    for verdict in health.verdicts:
        old = deployment.conditions.get(verdict.type)
        if old is None or (old.status, old.reason) != (verdict.status, verdict.reason):
            told = {"type": verdict.type, "status": verdict.status, "reason": verdict.reason}
            current_span().add_event("condition", {**told, "sentence": verdict.message})


def _fields(observed: Observed, error: ReconcileError) -> dict[str, str]:
    deployment = observed.deployment
    return {
        "namespace": deployment.namespace,
        "deployment": deployment.name,
        "reason": error.reason,
        "error": str(error),
    }
