"""kopf decorators only: each event about an AutoGLMDeployment becomes a key in the queue."""

from collections.abc import Callable
from typing import Any, Final

import kopf

from autoglm_operator.api import names
from autoglm_operator.kube.client import Document

#: Called with the type of the event (`None` for an object of the first list) and the object.
OnEvent = Callable[[str | None, Document], None]

_PREFIX: Final = f"operator.{names.GROUP}"


def build_registry(on_event: OnEvent, *, kubeconfig: bool) -> kopf.OperatorRegistry:
    """Return the handlers of one operator process.

    Args:
        on_event: takes what the watch brings.
        kubeconfig: log in by the kubeconfig instead of the pod's service account.
    """
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_kubeconfig(**kwargs) if kubeconfig else kopf.login_with_service_account(**kwargs)

    @kopf.on.event(names.GROUP, names.VERSION, names.PLURAL, registry=registry)
    async def changed(type: str | None, body: kopf.Body, **_: Any) -> None:  # noqa: A002  # kopf's name
        on_event(type, dict(body))

    return registry


def build_settings(*, namespaced: bool) -> kopf.OperatorSettings:
    """Return kopf's settings: it watches and logs in; everything else is ours."""
    settings = kopf.OperatorSettings()
    settings.posting.enabled = False
    settings.peering.standalone = True
    # Scanning needs rights on namespaces and CRDs, which a Role cannot give.
    settings.scanning.disabled = namespaced
    settings.watching.server_timeout = 290
    settings.watching.client_timeout = 320
    settings.watching.connect_timeout = 10
    settings.networking.request_timeout = 30
    settings.networking.connect_timeout = 5
    settings.persistence.finalizer = f"{_PREFIX}/finalizer"
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=_PREFIX)
    settings.persistence.diffbase_storage = kopf.AnnotationsDiffBaseStorage(prefix=_PREFIX)
    settings.process.ultimate_exiting_timeout = 10
    return settings
