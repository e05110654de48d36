"""Every layout either divides evenly or is refused with one that does."""

import re

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoglm_operator.api.v1alpha1 import Parallelism, Spec
from autoglm_operator.decide.parallel import ModelShape, bubble, check
from autoglm_operator.errors import Terminal

BASE = Spec.model_validate({"model": {"source": {"huggingFace": "zai-org/AutoGLM-Phone-9B"}}})
#: A machine that is busy draws slowly, which says nothing about what is tested.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
KINDS = frozenset({"LeaderWorkerSet"})
LAYOUTS = st.fixed_dictionaries(
    {
        "tensor": st.integers(1, 64),
        "pipeline": st.integers(1, 64),
        "data": st.integers(1, 4),
        "nodes": st.integers(1, 32),
    }
)
SHAPES = st.builds(
    ModelShape,
    heads=st.none() | st.sampled_from((12, 16, 32, 40, 56, 96)),
    layers=st.none() | st.integers(1, 64),
    experts=st.none() | st.sampled_from((0, 128)),
)


def spec(layout):
    parallelism = Parallelism.model_construct(**(Parallelism().model_dump() | layout))
    count = layout["tensor"] * layout["pipeline"] * layout["data"]
    gpu = BASE.resources.gpu.model_copy(update={"count": count})
    return BASE.model_copy(
        update={"resources": BASE.resources.model_copy(update={"gpu": gpu, "parallelism": parallelism})}
    )


def refusal(layout, shape):
    try:
        check(spec(layout), shape=shape, kinds=KINDS)
    except Terminal as error:
        return str(error)
    return None


@PATIENT
@given(layout=LAYOUTS, shape=SHAPES)
def test_what_is_accepted_divides_evenly(layout, shape):
    if refusal(layout, shape) is not None:
        return
    found = check(spec(layout), shape=shape, kinds=KINDS)
    ranks = layout["tensor"] * layout["pipeline"] * layout["data"]
    assert found.gpus_per_pod * layout["nodes"] == ranks
    assert found.stages_per_node * layout["nodes"] == layout["pipeline"]
    assert found.gpus_per_pod % layout["tensor"] == 0, "the ranks of a tensor are on one node"
    assert layout["tensor"].bit_count() == 1
    assert shape.heads is None or shape.heads % layout["tensor"] == 0


@PATIENT
@given(layout=LAYOUTS, shape=SHAPES)
def test_following_the_advice_ends_in_a_layout_that_is_accepted(layout, shape):
    fields = set()
    while (words := refusal(layout, shape)) is not None:
        advice = re.search(r"parallelism\.(\w+) is \d+, .*set it to (\d+)", words)
        assert advice, words
        field, value = advice[1], int(advice[2])
        assert layout[field] != value, words
        layout = layout | {field: value}
        if field == "pipeline":
            layout = layout | {"nodes": 1}
        fields.add(field)
        assert len(fields) <= 3
    assert refusal(layout, shape) is None


@PATIENT
@given(stages=st.integers(1, 64), batches=st.integers(1, 1024))
def test_a_bubble_is_a_share_that_more_batches_make_smaller(stages, batches):
    assert 0 <= bubble(stages, batches) < 1
    assert bubble(stages, batches + 1) <= bubble(stages, batches)
    assert bubble(stages + 1, batches) >= bubble(stages, batches)
