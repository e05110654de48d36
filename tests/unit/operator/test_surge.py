"""How a rollout makes room when no GPU is free."""

import pytest

from autoglm_operator.decide.surge import surge
from autoglm_operator.observe.pod import Pod

NO_GPU = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
NO_DEVICE = "0/1 nodes are available: 1 cannot allocate all claims."
NO_CPU = "0/3 nodes are available: 3 Insufficient cpu."


def made(template="new", *, ready=False, terminating=False, **facts):
    return Pod("phone-0", template, ready, terminating, **facts)


OLD = made("old", ready=True)


def numbers(pods, replicas=2, present=(1, 0)):
    found = surge(pods, "new", replicas, present)
    return found.max_surge, found.max_unavailable


@pytest.mark.parametrize("words", [NO_GPU, NO_DEVICE])
def test_without_a_spare_gpu_an_old_pod_goes_first(words):
    pods = [OLD, OLD, made(unschedulable=words)]
    assert numbers(pods) == (0, 1)
    assert surge(pods, "new", 3).message == (
        "no GPU is free for a pod beside the old ones: each of the 3 replicas is stopped before its successor starts, "
        "so that 2 answer meanwhile"
    )


def test_it_goes_on_until_the_rollout_is_over():
    assert numbers([OLD, made()], present=(0, 1)) == (0, 1)
    assert numbers([made(ready=True), made(ready=True)], present=(0, 1)) == (1, 0)


@pytest.mark.parametrize(
    "pods",
    [
        [OLD, OLD, made()],
        [OLD, OLD, made(unschedulable=NO_CPU)],
        [OLD, OLD, made(unschedulable=NO_GPU, terminating=True)],
        [made(unschedulable=NO_GPU)],
        [made("old"), made(unschedulable=NO_GPU)],
        [made("old"), made("old", ready=True, worker=1), made(unschedulable=NO_GPU)],
    ],
    ids=[
        "it was placed",
        "CPU is short",
        "it goes",
        "first start",
        "the old one does not answer",
        "a worker answers nobody",
    ],
)
def test_otherwise_a_new_pod_comes_first(pods):
    assert numbers(pods) == (1, 0)
    assert surge(pods, "new", 2).message == ""


def test_a_single_replica_is_not_given_up():
    pods = [OLD, made(unschedulable=NO_GPU)]
    found = surge(pods, "new", 1, (1, 0))
    assert (found.max_surge, found.max_unavailable) == (1, 0)
    assert "set rollout.strategy to Recreate" in found.message
    assert NO_GPU in found.message
    assert surge([OLD, made()], "new", 1, (0, 1)).message == ""
