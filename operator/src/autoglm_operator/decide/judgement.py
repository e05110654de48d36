"""Everything that is reported of a deployment whose plan could be made: pure."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from autoglm_operator.api.v1alpha1 import EngineType
from autoglm_operator.decide.fit import ObservedFit
from autoglm_operator.decide.fitted import fit_status, observed_fit
from autoglm_operator.decide.health import GPU_ALLOCATION, Health, Notice, Verdict, assess
from autoglm_operator.decide.plan import Plan
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.decide.scaling import limited
from autoglm_operator.decide.start.learned import cold_start
from autoglm_operator.observe.world import Observed

ENGINE_VERSION: Final = "EngineVersion"
GPU_HEALTHY: Final = "GPUHealthy"
_LOOKED_FOR: Final = "critical"


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
        verdicts=(
            *(_with_notes(verdict, plan) for verdict in health.verdicts),
            *_version(plan, doubt),
            *_gpus(observed),
            *limited.verdicts(observed, plan),
        ),
        fit=fit_status(plan.fit, seen),
        cold_start=cold_start(observed),
        weights=plan.warm.record(),
        notices=(*_notices(observed, seen), *limited.notices(observed, plan)),
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


def _gpus(observed: Observed) -> tuple[Verdict, ...]:
    """Return the condition on what agents see; none before an agent was heard of."""
    serving = observed.deployment.status.get("serving")
    if serving is None:
        return ()
    faults = serving.get("faults") or []
    if not faults:
        return (Verdict(GPU_HEALTHY, "True", Reason.NO_FAULT, "no agent reports a fault of a GPU or an engine"),)
    words = "; ".join(f"pod {fault['pod']}: {fault['code']}: {fault['message']}" for fault in faults)
    bad = any(fault["severity"] == _LOOKED_FOR for fault in faults)
    return (Verdict(GPU_HEALTHY, "False" if bad else "True", Reason.FAULT_REPORTED, words),)


def _faults(observed: Observed) -> Iterator[Notice]:
    """Yield each fault once: the condition of before says which were known."""
    known = observed.deployment.conditions.get(GPU_HEALTHY)
    for fault in (observed.deployment.status.get("serving") or {}).get("faults") or []:
        words = f"pod {fault['pod']}: {fault['code']}: {fault['message']}"
        if known is None or words not in known.message:
            kind = "Normal" if fault["severity"] == "info" else "Warning"
            yield Notice(kind, Reason.FAULT_REPORTED, f"{words} (asks for: {fault['action']})")


def _notices(observed: Observed, seen: ObservedFit | None) -> tuple[Notice, ...]:
    """Tell once what agents see, and that the estimate of the memory was off."""
    return (*_faults(observed), *_estimate(observed, seen))


def _estimate(observed: Observed, seen: ObservedFit | None) -> tuple[Notice, ...]:
    before = ((observed.deployment.status.get("fit") or {}).get("observed") or {}).get("message")
    if seen is None or not seen.off or before == seen.sentence:
        return ()
    return (Notice("Warning", Reason.FIT_ESTIMATE_OFF, f"the memory that was reckoned with was off: {seen.sentence}"),)
