"""`kubectl autoglm explain`: conditions and the last scaling decision, as sentences."""

from collections.abc import Mapping
from typing import Any, Final

from autoglm_operator.api import names
from autoglm_operator.api.v1alpha1 import Autoscaling, EngineType
from autoglm_operator.decide.objective import between_buckets

_ORDER: Final = ("Ready", "Reconciling", "Stalled", "ScalingActive")


class ExplainError(Exception):
    """The deployment could not be read."""


def explain(name: str, namespace: str | None, context: str | None) -> str:
    """Read one AutoGLMDeployment with the kubeconfig's credentials and return its explanation.

    Raises:
        ExplainError: there is no such deployment, no cluster, or no permission.
    """
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
    return sentences(document)


def _context_namespace(contexts: tuple[list[dict[str, Any]], dict[str, Any]], wanted: str | None) -> str:
    known, active = contexts
    chosen = next((item for item in known if item["name"] == wanted), active)
    return str(chosen["context"].get("namespace") or "default")


def _api_error(status: int, reason: str, name: str, namespace: str) -> str:
    if status == 404:  # noqa: PLR2004  # not found
        listing = f"`kubectl get {names.DEPLOYMENT.short} -A`"
        return f"{names.KIND} {name} not found in namespace {namespace}: list them with {listing}"
    if status == 403:  # noqa: PLR2004  # forbidden
        return f"you may not read {names.PLURAL} in namespace {namespace}: ask for the role autoglm-view"
    return f"the API server answers {status} {reason}"


def sentences(document: Mapping[str, Any]) -> str:
    """Return the explanation of an AutoGLMDeployment as the API serves it."""
    meta, spec, status = document["metadata"], document["spec"], document.get("status") or {}
    lines = [f"{names.KIND} {meta['namespace']}/{meta['name']}"]
    ready, wanted = status.get("readyReplicas", 0), spec.get("replicas", 1)
    lines.append(f"  {ready} of {wanted} replicas answer requests at {status.get('url', '(not known yet)')}.")
    if status.get("observedGeneration", -1) < meta.get("generation", 0):
        lines.append("  The operator has not seen the newest spec yet.")
    lines += ["", "Conditions"]
    lines += _conditions(status.get("conditions") or [])
    lines += ["", "Bottleneck", *_bottleneck((status.get("serving") or {}).get("bottleneck"))]
    lines += ["", "Scaling"]
    engine = EngineType((spec.get("engine") or {}).get("type", EngineType.VLLM))
    lines += _scaling(spec.get("autoscaling"), status.get("autoscaling") or {}, engine)
    return "\n".join(lines) + "\n"


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


def _scaling(autoscaling: Mapping[str, Any] | None, status: Mapping[str, Any], engine: EngineType) -> list[str]:
    if autoscaling is None:
        return ["  Off: spec.autoscaling is not set."]
    objective = autoscaling["objective"]
    bounds = f"Between {autoscaling['minReplicas']} and {autoscaling['maxReplicas']} replicas"
    lines = [f"  {bounds}, to keep P99 TTFT within {objective['ttftP99']} and P99 ITL within {objective['itlP99']}."]
    lines += [f"  {note}." for note in between_buckets(Autoscaling.model_validate(autoscaling).objective, engine)]
    if "ttftP99" in status or "itlP99" in status:
        lines.append(f"  Last P99 TTFT {status.get('ttftP99', 'unknown')}, P99 ITL {status.get('itlP99', 'unknown')}.")
    decision = status.get("decision")
    if decision is None:
        lines.append("  No scaling decision yet.")
    else:
        lines.append(f"  Last decision at {decision['time']} ({decision['reason']}): {decision['message']}.")
    return lines
