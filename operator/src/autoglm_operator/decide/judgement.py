"""Everything that is reported of a deployment whose plan could be made: pure."""

from dataclasses import replace
from typing import Final

from autoglm_operator.api.v1alpha1 import EngineType
from autoglm_operator.decide.fit import ObservedFit
from autoglm_operator.decide.fitted import fit_status, observed_fit
from autoglm_operator.decide.health import GPU_ALLOCATION, Health, Notice, Verdict, assess
from autoglm_operator.decide.learned import cold_start
from autoglm_operator.decide.plan import Plan
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.observe.world import Observed

ENGINE_VERSION: Final = "EngineVersion"


def judge(observed: Observed, plan: Plan, doubt: str | None) -> Health:
    """Return the judgement, with what was learned.

    Args:
        observed: after the children were written.
        plan: what should be.
        doubt: why the engine's flags may be others than those known; `None` if they were checked.
    """
    health = assess(observed, plan, fit=plan.fit)
    seen = observed_fit(plan.fit, plan.spec, observed.deployment.status.get("serving") or {})
    return replace(
        health,
        verdicts=(*(_with_notes(verdict, plan) for verdict in health.verdicts), *_version(plan, doubt)),
        fit=fit_status(plan.fit, seen),
        cold_start=cold_start(observed),
        weights=plan.warm.record(),
        notices=_notices(observed, seen),
    )


def _with_notes(verdict: Verdict, plan: Plan) -> Verdict:
    """Add what the layout over GPUs costs to the condition about them."""
    if verdict.type != GPU_ALLOCATION:
        return verdict
    return replace(verdict, message="; ".join((verdict.message, *plan.parallel.notes)))


def _version(plan: Plan, doubt: str | None) -> tuple[Verdict, ...]:
    engine = plan.spec.engine.type
    if engine is EngineType.SIMULATOR:
        return ()
    if plan.probe.pending:
        message = f"Job {plan.probe.job} asks {plan.image}; pods are made once it has told"
        return (Verdict(ENGINE_VERSION, "Unknown", Reason.PROBING_IMAGE, message),)
    if doubt:
        return (Verdict(ENGINE_VERSION, "Unknown", Reason.FLAGS_UNCHECKED, doubt),)
    message = f"{engine.value} {plan.engine_version}, whose flags were checked"
    return (Verdict(ENGINE_VERSION, "True", Reason.FLAGS_CHECKED, message),)


def _notices(observed: Observed, seen: ObservedFit | None) -> tuple[Notice, ...]:
    """Tell once that the estimate of the memory was off."""
    before = ((observed.deployment.status.get("fit") or {}).get("observed") or {}).get("message")
    if seen is None or not seen.off or before == seen.sentence:
        return ()
    return (Notice("Warning", Reason.FIT_ESTIMATE_OFF, f"the memory that was reckoned with was off: {seen.sentence}"),)
