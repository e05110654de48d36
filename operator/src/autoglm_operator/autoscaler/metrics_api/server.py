"""The `custom.metrics.k8s.io` server: answers from memory, to callers that the API server vouches for."""

import json
import logging
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Middleware

from autoglm_operator.autoscaler.metrics import Metrics
from autoglm_operator.autoscaler.metrics_api import documents, selectors
from autoglm_operator.autoscaler.metrics_api.access import Access, Attributes
from autoglm_operator.autoscaler.metrics_api.auth import Trust, Unauthenticated, User
from autoglm_operator.autoscaler.metrics_api.published import Published, Unavailable, Unknown
from autoglm_operator.kube.errors import KubeError

logger = logging.getLogger(__name__)

#: Says whom to believe on this request's connection; `None`: nobody.
TrustSource = Callable[[web.Request], Trust | None]
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_OPEN_PATHS: Final = frozenset({"/healthz", "/livez", "/readyz"})
_USER: Final = web.RequestKey("user", User)
#: What each failure is to an HTTP client.
_CODES: Final[dict[type[Exception], HTTPStatus]] = {
    selectors.InvalidSelector: HTTPStatus.BAD_REQUEST,
    Unauthenticated: HTTPStatus.UNAUTHORIZED,
    Unknown: HTTPStatus.NOT_FOUND,
    Unavailable: HTTPStatus.SERVICE_UNAVAILABLE,
}
_METRIC_PATH: Final = f"/apis/{documents.GROUP}/{{version}}/namespaces/{{namespace}}/{{resource}}/{{name}}/{{metric}}"


class MetricsApi:
    """The application.

    Args:
        published: what to answer from.
        access: who may read.
        trust: whom to believe.
        metrics: of this process.
    """

    def __init__(self, published: Published, access: Access, trust: TrustSource, metrics: Metrics) -> None:
        self._published = published
        self._access = access
        self._trust = trust
        self._metrics = metrics

    def app(self) -> web.Application:
        """Return the application with its routes."""
        app = web.Application(
            middlewares=[_middleware(self._measure), _middleware(_as_status), _middleware(self._authenticate)]
        )
        for path in _OPEN_PATHS:
            app.router.add_get(path, _healthy)
        for path, document in _static_documents().items():
            app.router.add_get(path, _serve(document))
        app.router.add_get(_METRIC_PATH, self._read)
        return app

    async def _measure(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        start = time.perf_counter()
        response = await handler(request)
        self._metrics.api_requests.labels(str(response.status)).inc()
        self._metrics.api_seconds.observe(time.perf_counter() - start)
        return response

    async def _authenticate(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        if request.path not in _OPEN_PATHS:
            trust = self._trust(request)
            if trust is None:
                raise Unauthenticated("this connection cannot be believed: connect anew, or see the autoscaler's log")
            certificate = request.get_extra_info("peercert")
            request[_USER] = trust.user(certificate, request.headers)
        return await handler(request)

    async def _read(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info
        version, namespace, name, metric = path["version"], path["namespace"], path["name"], path["metric"]
        if version not in documents.VERSIONS:
            raise Unknown(f"version {version!r} does not exist: there are {', '.join(documents.VERSIONS)}")
        attributes = Attributes(namespace, path["resource"], name, metric, documents.GROUP, version)
        user = request[_USER]
        if (why := await self._access.denied(user, attributes)) is not None:
            wanted = f"get {path['resource']}/{metric} of {name} in namespace {namespace}"
            message = f"{user.name} may not {wanted} in API group {documents.GROUP}: {why}"
            return _failure(HTTPStatus.FORBIDDEN, message)
        if path["resource"] != documents.RESOURCE:
            raise Unknown(f"{path['resource']} have no metrics here: only {documents.RESOURCE} have")
        if name != "*":
            values = [self._published.one(namespace, name, metric)]
        else:
            values = self._published.all(namespace, metric, selectors.parse(request.query.get("labelSelector", "")))
        if request.query.get("metricLabelSelector"):
            raise Unknown(f"{metric} has no labels: leave out the metric's selector")
        return _json(documents.values(version, metric, values))


def _static_documents() -> dict[str, documents.Document]:
    paths = {
        "/apis": documents.groups(),
        f"/apis/{documents.GROUP}": documents.group(),
        "/openapi/v2": documents.openapi_v2(),
        "/openapi/v3": documents.openapi_v3_index(),
        "/version": documents.version(),
    }
    for version in documents.VERSIONS:
        paths[f"/apis/{documents.GROUP}/{version}"] = documents.resources(version)
        paths[f"/openapi/v3/apis/{documents.GROUP}/{version}"] = documents.openapi_v3()
    return paths


def _serve(document: documents.Document) -> _Handler:
    body = json.dumps(document).encode()

    async def handler(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body, content_type="application/json")

    return handler


async def _healthy(_: web.Request) -> web.StreamResponse:
    return web.Response(text="ok")


def _middleware(function: Callable[[web.Request, _Handler], Awaitable[web.StreamResponse]]) -> Middleware:
    """Return `function` as a middleware; aiohttp marks what it is given, and a bound method takes no mark."""

    @web.middleware
    async def middleware(request: web.Request, handler: _Handler) -> web.StreamResponse:
        return await function(request, handler)

    return middleware


async def _as_status(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Turn every failure into the Status object that Kubernetes clients show."""
    try:
        return await handler(request)
    except tuple(_CODES) as error:
        return _failure(_CODES[type(error)], str(error))
    except KubeError as error:
        return _failure(HTTPStatus.SERVICE_UNAVAILABLE, f"access review failed, so nobody may read: {error}")
    except web.HTTPNotFound:
        return _failure(HTTPStatus.NOT_FOUND, f"{request.path} does not exist: see /apis/{documents.GROUP}")
    except web.HTTPMethodNotAllowed:
        return _failure(HTTPStatus.METHOD_NOT_ALLOWED, f"{request.method} is not possible: metrics can only be read")
    except Exception:
        logger.exception("request failed", extra={"path": request.path})
        return _failure(HTTPStatus.INTERNAL_SERVER_ERROR, "internal error: the autoscaler's log tells more")


def _json(document: documents.Document, code: HTTPStatus = HTTPStatus.OK) -> web.Response:
    return web.Response(body=json.dumps(document).encode(), status=code.value, content_type="application/json")


def _failure(code: HTTPStatus, message: str) -> web.Response:
    return _json(documents.status(code, message), code)
