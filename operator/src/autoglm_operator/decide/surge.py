"""How a rollout makes room when no GPU is left for a pod beside the old ones: pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from autoglm_operator.observe.pod import Pod

#: Words of the scheduler when a node lacks devices: of the device plugin, of DRA.
_SHORT_OF_GPUS: Final = ("Insufficient nvidia.com/", "cannot allocate all claims")


@dataclass(frozen=True, slots=True)
class Surge:
    """How many pods a rollout may add first, and how many it may take away first.

    Attributes:
        message: what the user should know; empty if nothing.
    """

    max_surge: int
    max_unavailable: int
    message: str = ""


#: An old pod goes only once a new one answers.
ADD_FIRST: Final = Surge(1, 0)


def surge(pods: Iterable[Pod], newest: str, replicas: int, present: tuple[int, int] | None = None) -> Surge:
    """Return how the rollout that goes on should proceed.

    Args:
        pods: of the deployment.
        newest: hash of the template that is wanted.
        replicas: wanted.
        present: (maxSurge, maxUnavailable) of the live workload. Once pods make room first they do so until the
            rollout is over: the next new pod would find no GPU either.
    """
    alive = [pod for pod in pods if not pod.terminating]
    old = [pod for pod in alive if pod.template != newest]
    # Workers of a group are ready as soon as they run, and answer nobody.
    serving = any(pod.ready and pod.worker == 0 for pod in old)
    stuck = [pod for pod in alive if pod.template == newest and _short_of_gpus(pod)]
    going_on = bool(old) and present == (0, 1)
    if not serving or not (stuck or going_on):
        return ADD_FIRST
    if replicas > 1:
        return Surge(
            0,
            1,
            f"no GPU is free for a pod beside the old ones: each of the {replicas} replicas is stopped before its "
            f"successor starts, so that {replicas - 1} answer meanwhile",
        )
    if not stuck:
        return ADD_FIRST
    message = (
        "the pod of the new spec waits for a GPU while the old pod, which goes on answering, holds one: add a node, "
        f"free a GPU, or set rollout.strategy to Recreate, which stops the old pod first ({stuck[0].unschedulable})"
    )
    return Surge(ADD_FIRST.max_surge, ADD_FIRST.max_unavailable, message)


def _short_of_gpus(pod: Pod) -> bool:
    return any(words in (pod.unschedulable or "") for words in _SHORT_OF_GPUS)
