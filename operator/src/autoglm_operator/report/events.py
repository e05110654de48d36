"""Events: what `kubectl describe` shows under the deployment."""

from typing import Any, Final, Protocol

from autoglm_operator.api import names
from autoglm_operator.api.types import micro_time
from autoglm_operator.decide.health import STALLED, Health
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.observe.world import Deployment

_NOTE_BYTES: Final = 1024


class Subject(Protocol):
    """What an event is about."""

    @property
    def namespace(self) -> str:
        """Its namespace."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def uid(self) -> str:
        """Its uid."""


def events(deployment: Deployment, health: Health, instance: str, now: float) -> list[dict[str, Any]]:
    """Return the events that a change of state calls for: trouble that is new or different, its end, and notices.

    Progress needs none: it is in the conditions, and events are writes that a large cluster pays for.
    """
    notices = [
        _event(deployment, item.kind, item.reason, item.message, instance=instance, now=now) for item in health.notices
    ]
    return notices + _of_trouble(deployment, health, instance, now)


def _of_trouble(deployment: Deployment, health: Health, instance: str, now: float) -> list[dict[str, Any]]:
    old = deployment.conditions.get(STALLED)
    new = next(verdict for verdict in health.verdicts if verdict.type == STALLED)
    # Trouble that may pass by itself stalls nothing, and is told all the same.
    if new.reason != Reason.NOTHING_WRONG:
        if old is not None and old.reason == new.reason:
            return []
        return [_event(deployment, "Warning", new.reason, new.message, instance=instance, now=now)]
    if old is not None and old.reason != Reason.NOTHING_WRONG:
        note = f"no longer in trouble: {old.message}"
        return [_event(deployment, "Normal", "Recovered", note, instance=instance, now=now)]
    return []


def _event(deployment: Deployment, kind: str, reason: str, note: str, *, instance: str, now: float) -> dict[str, Any]:
    return event(names.KIND, deployment, kind, reason, note, instance=instance, now=now)


def event(
    subject_kind: str, subject: Subject, kind: str, reason: str, note: str, *, instance: str, now: float
) -> dict[str, Any]:
    """Return an event about an object of ours.

    Args:
        subject_kind: kind of the object.
        subject: the object.
        kind: `Normal` or `Warning`.
        reason: CamelCase.
        note: the sentence; what is too long is cut.
        instance: name of this replica.
        now: seconds since the epoch.
    """
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"generateName": f"{subject.name}-", "namespace": subject.namespace},
        "eventTime": micro_time(now),
        "reportingController": f"{names.GROUP}/operator",
        "reportingInstance": instance,
        "action": "Reconcile",
        "type": kind,
        "reason": reason,
        "note": note.encode()[:_NOTE_BYTES].decode(errors="ignore"),
        "regarding": {
            "apiVersion": names.API_VERSION,
            "kind": subject_kind,
            "name": subject.name,
            "namespace": subject.namespace,
            "uid": subject.uid,
        },
    }
