"""When a deployment gives up its GPUs: its spec can never work, so that holding them costs and brings nothing."""

from dataclasses import dataclass

from autoglm_operator.decide.failures import (
    CRASHES_OF_A_GROUP,
    CRASHES_TO_TELL,
    Failure,
    about,
    failure_of,
    release_gpus,
)
from autoglm_operator.decide.parallel import GROUP_KIND
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.observe.world import Observed


@dataclass(frozen=True, slots=True)
class Release:
    """Why the GPUs were given up; kept until the spec asks for other pods.

    Attributes:
        reason: of the failure, as conditions carry it.
        message: what happened and what to do.
    """

    reason: Reason
    message: str


def failures(observed: Observed, startup: float) -> tuple[Failure, ...]:
    """Return why pods do not run, of those that are not being removed.

    A group is removed as a whole as soon as one of its pods restarts; there the pods on their way out tell.

    Args:
        observed: with the logs that were read.
        startup: seconds that the startup probe gives the engine.
    """
    if observed.deployment.spec is None:
        return ()
    named = about(observed.deployment.spec)
    grouped = observed.workload is not None and observed.workload["kind"] == GROUP_KIND
    crashes = CRASHES_OF_A_GROUP if grouped else CRASHES_TO_TELL
    found = (
        failure_of(pod, named, log=observed.logs.get(pod.uid), startup=startup, crashes=crashes)
        for pod in observed.pods
        if not pod.terminating or (grouped and not pod.ready)
    )
    return tuple(failure for failure in found if failure)


def release(
    observed: Observed, before: Release | None, *, startup: float, fetch: Failure | None = None
) -> Release | None:
    """Return why the deployment should give up its GPUs; `None` if it should not.

    To be asked only of a workload that was made for the present spec: pods of the one before say nothing about it.

    Args:
        observed: with the logs that were read.
        before: what was decided before for the same spec; it stands, since without pods nothing shows any more why.
        startup: seconds that the startup probe gives the engine.
        fetch: why the Job that fetches the weights has ended without them.
    """
    if before is not None:
        return before
    found = failures(observed, startup)
    if not release_gpus(found, observed.pods, observed.now, fetch=fetch):
        return None
    newest = {pod.name for pod in observed.pods if pod.template == observed.template}
    cause = fetch or next((failure for failure in found if failure.pod in newest), None)
    return Release(cause.reason, cause.text) if cause else None
