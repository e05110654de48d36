"""Layouts that can run, and what the others are told."""

import pytest

from autoglm_operator.api.v1alpha1 import Parallelism, Spec
from autoglm_operator.decide.parallel import ModelShape, bubble, check
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.errors import Terminal, Waiting

GROUPS = frozenset({"LeaderWorkerSet"})


def spec(count=None, engine="vLLM", **parallelism):
    layout = Parallelism.model_construct(**(Parallelism().model_dump() | parallelism))
    made = Spec.model_validate(
        {"model": {"source": {"huggingFace": "zai-org/AutoGLM-Phone-9B"}}, "engine": {"type": engine}}
    )
    ranks = layout.tensor * layout.pipeline * layout.data
    gpu = made.resources.gpu.model_copy(update={"count": ranks if count is None else count})
    return made.model_copy(update={"resources": made.resources.model_copy(update={"gpu": gpu, "parallelism": layout})})


def refusal(*args, expected=Terminal, **kwargs):
    options = {key: kwargs.pop(key) for key in ("shape", "gpus_per_node", "kinds") if key in kwargs}
    with pytest.raises(expected) as refused:
        check(spec(*args, **kwargs), **options)
    return refused.value


def test_one_gpu():
    found = check(spec())
    assert (found.gpus_per_pod, found.stages_per_node, found.notes) == (1, 1, ())


def test_two_nodes():
    found = check(spec(tensor=8, pipeline=4, nodes=2), kinds=GROUPS, gpus_per_node=16)
    assert (found.gpus_per_pod, found.stages_per_node) == (16, 2)
    assert found.notes == (
        "4 pipeline stages: each idles 75% of the time with one request, 43% with 4 batches in flight; "
        "stages add memory, not speed",
    )


def test_the_simulator_without_gpus_is_left_alone():
    assert check(spec(0, engine="Simulator", tensor=4)).gpus_per_pod == 0


def test_the_bubble():
    assert bubble(1, 1) == 0
    assert bubble(4, 1) == pytest.approx(3 / 4)
    assert bubble(2, 8) == pytest.approx(1 / 9)


def test_tensor_is_a_power_of_two():
    found = refusal(tensor=6)
    assert found.reason == Reason.INVALID_PARALLELISM
    assert str(found) == "spec.resources.parallelism.tensor is 6, expected a power of two: set it to 4 or 8"
    assert "set it to 64" in str(refusal(tensor=128))


def test_tensor_divides_the_heads():
    found = str(refusal(tensor=8, shape=ModelShape(heads=12)))
    assert found == (
        "spec.resources.parallelism.tensor is 8, expected a power of two that divides the model's 12 attention heads: "
        "set it to 4"
    )
    assert check(spec(tensor=32), shape=ModelShape(heads=96)).gpus_per_pod == 32


def test_each_rank_has_a_gpu():
    found = str(refusal(8, tensor=4, pipeline=3))
    assert "gpu.count is 8, and tensor x pipeline x data is 4 x 3 x 1 = 12" in found
    assert "set gpu.count to 12" in found


def test_nodes_share_the_stages_evenly():
    found = str(refusal(tensor=8, pipeline=6, nodes=4, kinds=GROUPS))
    assert "nodes is 4, expected a divisor of pipeline (6)" in found
    assert found.endswith("set it to 3 or 6")


def test_a_stage_holds_a_layer():
    found = str(refusal(pipeline=64, shape=ModelShape(layers=40)))
    assert "pipeline is 64, expected at most the model's 40 layers" in found
    assert found.endswith("set it to 40")


def test_a_pod_fits_a_node():
    found = str(refusal(tensor=8, pipeline=4, nodes=1, gpus_per_node=8))
    assert "32 GPUs are wanted on each of 1 nodes, and a node has 8: set nodes to 4" in found
    assert "use at most 4 GPUs" in str(refusal(tensor=8, gpus_per_node=4))
    assert check(spec(tensor=8), gpus_per_node=8).gpus_per_pod == 8


def test_experts_need_a_model_that_has_them():
    assert "the model is dense" in str(refusal(tensor=2, expert=True, shape=ModelShape(experts=0)))
    for experts in (None, 128):
        assert check(spec(tensor=2, expert=True), shape=ModelShape(experts=experts)).gpus_per_pod == 2


def test_data_parallel_ranks_hold_copies():
    assert check(spec(data=2)).notes == (
        "2 data-parallel ranks: each holds a copy of the model and a KV cache of its own",
    )
    assert "the layers that are no experts" in check(spec(data=2, expert=True)).notes[0]


def test_the_simulator_is_one_node():
    assert "engine type Simulator" in str(refusal(engine="Simulator", pipeline=2, nodes=2))


def test_several_nodes_wait_for_leader_worker_set():
    found = refusal(expected=Waiting, tensor=8, pipeline=2, nodes=2, kinds=frozenset({"PodMonitor"}))
    assert found.reason == Reason.NO_LEADER_WORKER_SET
    assert "install it (https://lws.sigs.k8s.io/docs/installation), or set nodes to 1" in str(found)
    assert check(spec(tensor=8, pipeline=2, nodes=2), kinds=None).gpus_per_pod == 8, "nobody was asked"
