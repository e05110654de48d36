"""The JSON documents of `custom.metrics.k8s.io`: discovery, values, errors."""

import math
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any, Final

from autoglm_operator import __version__
from autoglm_operator.api import names
from autoglm_operator.api.signals import SIGNALS
from autoglm_operator.api.types import rfc3339
from autoglm_operator.autoscaler.metrics_api.published import Value
from autoglm_operator.autoscaler.store import WINDOW_SECONDS

Document = dict[str, Any]

GROUP: Final = "custom.metrics.k8s.io"
#: The preferred one first.
VERSIONS: Final = ("v1beta2", "v1beta1")
RESOURCE: Final = f"{names.PLURAL}.{names.GROUP}"

_REASONS: Final = {
    HTTPStatus.BAD_REQUEST: "BadRequest",
    HTTPStatus.UNAUTHORIZED: "Unauthorized",
    HTTPStatus.FORBIDDEN: "Forbidden",
    HTTPStatus.NOT_FOUND: "NotFound",
    HTTPStatus.METHOD_NOT_ALLOWED: "MethodNotAllowed",
    HTTPStatus.INTERNAL_SERVER_ERROR: "InternalError",
    HTTPStatus.SERVICE_UNAVAILABLE: "ServiceUnavailable",
}


def group() -> Document:
    """Return the APIGroup."""
    versions = [{"groupVersion": f"{GROUP}/{version}", "version": version} for version in VERSIONS]
    return {
        "kind": "APIGroup",
        "apiVersion": "v1",
        "name": GROUP,
        "versions": versions,
        "preferredVersion": versions[0],
    }


def groups() -> Document:
    """Return the APIGroupList; also the answer to who asks for aggregated discovery, who then asks for the rest."""
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group()]}


def resources(version: str) -> Document:
    """Return the APIResourceList.

    Never empty, even where there is no AutoGLMDeployment: with an empty list kubectl warns and clients discover anew
    at each call.
    """
    entries = [
        {
            "name": f"{RESOURCE}/{signal.name}",
            "singularName": "",
            "namespaced": True,
            "kind": "MetricValueList",
            "verbs": ["get"],
        }
        for signal in SIGNALS
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": f"{GROUP}/{version}", "resources": entries}


def openapi_v2() -> Document:
    """Return an OpenAPI v2 document without paths: there is nothing to write, hence nothing to validate."""
    return {"swagger": "2.0", "info": _info(), "paths": {}}


def openapi_v3_index() -> Document:
    """Return the index of the OpenAPI v3 documents."""
    paths = [f"apis/{GROUP}/{version}" for version in VERSIONS]
    return {"paths": {path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={__version__}"} for path in paths}}


def openapi_v3() -> Document:
    """Return an OpenAPI v3 document without paths."""
    return {"openapi": "3.0.0", "info": _info(), "paths": {}}


def _info() -> Document:
    return {"title": "AutoGLM operator custom metrics", "version": __version__}


def version() -> Document:
    """Return the version document."""
    return {"major": "0", "minor": "1", "gitVersion": f"v{__version__}"}


def values(api_version: str, metric: str, measured: Iterable[Value]) -> Document:
    """Return the MetricValueList."""
    items = [_item(api_version, metric, value) for value in measured]
    return {"kind": "MetricValueList", "apiVersion": f"{GROUP}/{api_version}", "metadata": {}, "items": items}


def _item(api_version: str, metric: str, value: Value) -> Document:
    described = {
        "kind": names.KIND,
        "namespace": value.namespace,
        "name": value.name,
        "apiVersion": names.API_VERSION,
    }
    common = {"describedObject": described, "timestamp": rfc3339(value.time), "value": quantity(value.value)}
    window = int(WINDOW_SECONDS)
    if api_version == "v1beta1":
        return {**common, "metricName": metric, "window": window, "selector": None}
    return {**common, "metric": {"name": metric, "selector": None}, "windowSeconds": window}


def quantity(value: float) -> str:
    """Return a number as Kubernetes writes it, rounded to thousandths, since the HPA sees no finer: `1500m`, `2`.

    Raises:
        ValueError: it is not a finite number.
    """
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a quantity: expected a finite number")
    thousandths = round(value * 1000)
    return str(thousandths // 1000) if thousandths % 1000 == 0 else f"{thousandths}m"


def status(code: HTTPStatus, message: str) -> Document:
    """Return the Status of a failure."""
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": _REASONS[code],
        "code": code.value,
    }
