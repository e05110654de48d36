"""`kubectl autoglm explain`: conditions, bounds and scaling decisions, as sentences or as JSON."""

import json
import textwrap
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from autoglm_operator.api import names
from autoglm_operator.api.status import ColdStart
from autoglm_operator.api.types import rfc3339
from autoglm_operator.api.v1alpha1 import Autoscaling, EngineType, PredictionMode, WarmStartMode
from autoglm_operator.cli.decisions import WIDTH, NoDecisionError, choose, details, expectation, table
from autoglm_operator.decide.scaling.bounds import bounds_of, next_change
from autoglm_operator.decide.scaling.history import DECISIONS_KEY, LAW_KEY, Record, config_name, parse
from autoglm_operator.decide.scaling.objective import between_buckets
from autoglm_operator.decide.scaling.prewarm import Prewarm, needs
from autoglm_operator.kube.errors import HTTP_FORBIDDEN, HTTP_NOT_FOUND

_ORDER: Final = ("Ready", "Reconciling", "Stalled", "ScalingActive", "ScalingLimited")


_WRITERS: Final = {
    "HPA": "the HPA",
    "Direct": "the autoscaler itself",
    "KEDA": "KEDA",
    "Foreign": "somebody else's autoscaler",
    "None": "nobody of ours",
}


class ExplainError(Exception):
    """The deployment could not be read."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What to tell.

    Attributes:
        decisions: how many of the last decisions; `None` for what is beside them.
        decision: the one decision to tell of, by number or time; empty for none.
        json: whether to tell it as JSON.
    """

    decisions: int | None = None
    decision: str = ""
    json: bool = False


@dataclass(frozen=True, slots=True)
class Memory:
    """What the autoscaler keeps of a deployment.

    Attributes:
        records: its decisions, the oldest first.
        law: what was learned; `None` if nothing is kept.
        problem: why nothing could be read, as a clause; empty if it could.
    """

    records: Sequence[Record] = ()
    law: Any = None
    problem: str = ""


def explain(name: str, namespace: str | None, context: str | None, asked: Asked | None = None) -> str:
    """Read one AutoGLMDeployment with the kubeconfig's credentials and return its explanation.

    Raises:
        ExplainError: there is no such deployment or decision, no cluster, or no permission.
    """
    document, memory = _read(name, namespace, context)
    asked, wall = asked or Asked(), time.time()
    try:
        if asked.decision:
            record = choose(memory.records, asked.decision)
            if asked.json:
                return _json(record.model_dump(by_alias=True, exclude_none=True))
            return "\n".join([_title(document), *details(record)]) + "\n"
    except NoDecisionError as error:
        raise ExplainError(f"{error}; {memory.problem}" if memory.problem else str(error)) from error
    if asked.json:
        return _json(report(document, memory, wall, asked.decisions))
    if asked.decisions is not None:
        problem = [_problem(memory)] if memory.problem else table(memory.records, asked.decisions)
        return "\n".join([_title(document), "", "Decisions", *problem]) + "\n"
    return sentences(document, wall, memory)


def _read(name: str, namespace: str | None, context: str | None) -> tuple[Any, Memory]:
    # Imported here: the official client takes most of a second, and `render` does not need it.
    from kubernetes import client, config  # noqa: PLC0415
    from kubernetes.client.exceptions import ApiException  # noqa: PLC0415
    from urllib3.exceptions import HTTPError  # noqa: PLC0415

    try:
        api = config.new_client_from_config(context=context)  # type: ignore[no-untyped-call]
        contexts = config.list_kube_config_contexts()  # type: ignore[no-untyped-call]
        where = namespace or _context_namespace(contexts, context)
        document: Any = client.CustomObjectsApi(api).get_namespaced_custom_object(
            names.GROUP, names.VERSION, where, names.PLURAL, name, _request_timeout=10
        )
    except config.ConfigException as error:
        raise ExplainError(f"no usable kubeconfig: {error}; set KUBECONFIG") from error
    except ApiException as error:
        raise ExplainError(_api_error(error.status, error.reason, name, where)) from error
    except HTTPError as error:
        raise ExplainError(f"the API server does not answer: {error}; check the context of your kubeconfig") from error
    kept = config_name(name)
    try:
        data: Any = client.CoreV1Api(api).read_namespaced_config_map(kept, where, _request_timeout=10).data
    except ApiException as error:
        return document, Memory(problem=_memory_error(error.status, error.reason, kept, where))
    except HTTPError as error:
        return document, Memory(problem=f"ConfigMap {where}/{kept} could not be read: {error}")
    return document, memory_of(data or {})


def memory_of(data: Mapping[str, str]) -> Memory:
    """Return what a ConfigMap holds; with a problem if it is not what the autoscaler writes."""
    try:
        law = json.loads(data[LAW_KEY]) if LAW_KEY in data else None
        return Memory(parse(json.loads(data.get(DECISIONS_KEY, "[]"))), law)
    except ValueError as error:
        return Memory(problem=f"the ConfigMap of the decisions cannot be read: {error}")


def _context_namespace(contexts: tuple[list[dict[str, Any]], dict[str, Any]], wanted: str | None) -> str:
    known, active = contexts
    chosen = next((item for item in known if item["name"] == wanted), active)
    return str(chosen["context"].get("namespace") or "default")


def _api_error(status: int, reason: str, name: str, namespace: str) -> str:
    if status == HTTP_NOT_FOUND:
        listing = f"`kubectl get {names.DEPLOYMENT.short} -A`"
        return f"{names.KIND} {name} not found in namespace {namespace}: list them with {listing}"
    if status == HTTP_FORBIDDEN:
        return f"you may not read {names.PLURAL} in namespace {namespace}: ask for the role autoglm-view"
    return f"the API server answers {status} {reason}"


def _memory_error(status: int, reason: str, name: str, namespace: str) -> str:
    if status == HTTP_NOT_FOUND:
        return f"no decisions are kept yet: there is no ConfigMap {namespace}/{name}; is the autoscaler running?"
    if status == HTTP_FORBIDDEN:
        return f"you may not read ConfigMap {namespace}/{name}, which holds the decisions: ask for the role view"
    return f"the API server answers {status} {reason} for ConfigMap {namespace}/{name}"


def _title(document: Mapping[str, Any]) -> str:
    meta = document["metadata"]
    return f"{names.KIND} {meta['namespace']}/{meta['name']}"


def sentences(document: Mapping[str, Any], wall: float, memory: Memory) -> str:
    """Return the explanation of an AutoGLMDeployment as the API serves it.

    Args:
        document: the AutoGLMDeployment.
        wall: Unix time.
        memory: what the autoscaler keeps of it.
    """
    meta, spec, status = document["metadata"], document["spec"], document.get("status") or {}
    lines = [_title(document)]
    ready, wanted = status.get("readyReplicas", 0), spec.get("replicas", 1)
    lines.append(f"  {ready} of {wanted} replicas answer requests at {status.get('url', '(not known yet)')}.")
    if status.get("observedGeneration", -1) < meta.get("generation", 0):
        lines.append("  The operator has not seen the newest spec yet.")
    lines += ["", "Conditions"]
    lines += _conditions(status.get("conditions") or [])
    lines += ["", "Bottleneck", *_bottleneck((status.get("serving") or {}).get("bottleneck"))]
    lines += ["", "Scaling"]
    engine = EngineType((spec.get("engine") or {}).get("type", EngineType.VLLM))
    lines += _scaling(spec.get("autoscaling"), status, engine, wall, memory)
    if start := _prewarm(document, memory):
        lines += ["", "Starts", *(f"  {sentence}." for sentence in start.sentences)]
    return "\n".join(row for line in lines for row in _wrapped(line)) + "\n"


def _wrapped(line: str) -> list[str]:
    """Return a line in rows that fit on a screen."""
    return textwrap.wrap(line, WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False) or [""]


def _conditions(conditions: list[Mapping[str, Any]]) -> list[str]:
    if not conditions:
        return ["  None yet: is the operator running? `kubectl get pods -A -l app.kubernetes.io/name=autoglm-operator`"]
    by_type = {item["type"]: item for item in conditions}
    shown = [by_type[kind] for kind in _ORDER if kind in by_type]
    return [f"  {item['type']} is {item['status']} ({_why(item)}): {item['message'].rstrip('.')}." for item in shown]


def _bottleneck(found: Mapping[str, Any] | None) -> list[str]:
    if not found:
        return ["  Not known: no replica was ready, or observed for long enough."]
    lines = [f"  {found['cause']}: {found['evidence'].rstrip('.')}."]
    return [*lines, f"  To turn: {found['knob']}."] if found.get("knob") else lines


def _why(item: Mapping[str, Any]) -> str:
    return f"{item['reason']}, since {item['lastTransitionTime']}"


def _scaling(
    given: Mapping[str, Any] | None, status: Mapping[str, Any], engine: EngineType, wall: float, memory: Memory
) -> list[str]:
    if given is None:
        return ["  Off: spec.autoscaling is not set."]
    autoscaling, seen = Autoscaling.model_validate(given), status.get("autoscaling") or {}
    objective = autoscaling.objective
    bounds = f"Between {autoscaling.min_replicas} and {autoscaling.max_replicas} replicas"
    lines = [f"  {bounds}, to keep P99 TTFT within {objective.ttft_p99} and P99 ITL within {objective.itl_p99}."]
    lines += [f"  {note}." for note in between_buckets(objective, engine)]
    lines += _schedules(autoscaling, wall)
    if actuation := status.get("actuation"):
        who = _WRITERS.get(actuation["path"], actuation["path"])
        lines.append(f"  Replicas are written by {who}: {actuation['message'].rstrip('.')}.")
    lines += [f"  Limited ({limit['reason']}): {limit['message'].rstrip('.')}." for limit in seen.get("limits") or ()]
    if "ttftP99" in seen or "itlP99" in seen:
        lines.append(f"  Last P99 TTFT {seen.get('ttftP99', 'unknown')}, P99 ITL {seen.get('itlP99', 'unknown')}.")
    if memory.records and (expected := expectation(memory.records[-1].inputs)):
        lines.append(f"  At {memory.records[-1].time}: {expected}.")
    decision = seen.get("decision")
    if decision is None:
        lines.append("  No scaling decision yet.")
    else:
        lines.append(f"  Last decision at {decision['time']} ({decision['reason']}): {decision['message']}.")
    if memory.records:
        lines.append(f"  {_kept(memory)}: --decisions lists the last ones.")
    return [*lines, _problem(memory)] if memory.problem and decision is not None else lines


def _prewarm(document: Mapping[str, Any], memory: Memory) -> Prewarm | None:
    """Return what shorter starts would be worth; `None` before the first replica has started."""
    spec, learned = document["spec"], (document.get("status") or {}).get("coldStart")
    if not learned:
        return None
    start = ColdStart.model_validate(learned)
    mode = WarmStartMode((spec.get("warmStart") or {}).get("mode", WarmStartMode.LAZY))
    ahead = ((spec.get("autoscaling") or {}).get("prediction") or {}).get("mode") != PredictionMode.REACTIVE
    capacity = memory.records[-1].inputs.capacity if memory.records and ahead else None
    return Prewarm.of(start, mode, needs(memory.law, capacity, float(start.total_seconds)))


def _problem(memory: Memory) -> str:
    return f"  {memory.problem[0].upper()}{memory.problem[1:]}."


def _kept(memory: Memory) -> str:
    count = len(memory.records)
    return f"{count} decision{' is' if count == 1 else 's are'} kept"


def _schedules(autoscaling: Autoscaling, wall: float) -> list[str]:
    """Return what the schedules make of the bounds now, and next."""
    if not autoscaling.schedules:
        return []
    now = bounds_of(autoscaling, wall, None)
    moved = (now.least, now.most) != (autoscaling.min_replicas, autoscaling.max_replicas)
    lines = [f"  Bounds now: {now.why}."] if moved else []
    if change := next_change(autoscaling, wall):
        at, then = change
        lines.append(f"  Bounds from {rfc3339(at)} on: {then.why}.")
    return lines


def report(document: Mapping[str, Any], memory: Memory, wall: float, count: int | None) -> dict[str, Any]:
    """Return everything that is known of the scaling of a deployment, as JSON.

    Args:
        document: the AutoGLMDeployment.
        memory: what the autoscaler keeps of it.
        wall: Unix time.
        count: how many decisions; all that are kept if `None`.
    """
    meta, status = document["metadata"], document.get("status") or {}
    seen, given = status.get("autoscaling") or {}, document["spec"].get("autoscaling")
    records = memory.records[-count:] if count else memory.records
    return {
        "namespace": meta["namespace"],
        "name": meta["name"],
        "bounds": None if given is None else _bounds(Autoscaling.model_validate(given), wall),
        "actuation": status.get("actuation"),
        "limits": list(seen.get("limits") or ()),
        "decision": seen.get("decision"),
        "decisions": [record.model_dump(by_alias=True, exclude_none=True) for record in records],
        "law": memory.law,
        "start": None if (start := _prewarm(document, memory)) is None else asdict(start),
        "problem": memory.problem or None,
    }


def _bounds(autoscaling: Autoscaling, wall: float) -> dict[str, Any]:
    """Return the bounds of spec and schedules; what a quota makes of them is in the last decision."""
    now, change = bounds_of(autoscaling, wall, None), next_change(autoscaling, wall)
    following = {"time": rfc3339(change[0]), "least": change[1].least, "most": change[1].most} if change else None
    return {"least": now.least, "most": now.most, "why": now.why, "next": following}


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
