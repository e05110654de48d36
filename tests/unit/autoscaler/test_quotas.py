from itertools import count

import pytest

from autoglm_operator.autoscaler.quota import SETTLE_SECONDS, Quotas
from autoglm_operator.decide.scaling.quota import Footprint

KEY = ("prod", "phone")
GPU = Footprint(gpus=1)
GPUS = "requests.nvidia.com/gpu"


@pytest.fixture
def quotas():
    return Quotas(None, [])


@pytest.fixture
def tell(quotas):
    """Let the API server tell of a quota."""
    versions = count(1)

    def tell(used, hard=4, namespace="prod", name="gpu"):
        meta = {"namespace": namespace, "name": name, "resourceVersion": str(next(versions))}
        status = {"hard": {GPUS: str(hard)}, "used": {GPUS: str(used)}}
        quotas.reflector.store({"kind": "ResourceQuota", "metadata": meta, "status": status})

    return tell


def test_without_a_quota_there_is_no_bound(quotas, tell):
    assert quotas.room(KEY, GPU, 3, 0.0) is None
    tell(0, namespace="elsewhere")
    assert quotas.room(KEY, GPU, 3, 0.0) is None


def test_what_is_there_and_what_is_left(quotas, tell):
    tell(3)
    assert quotas.room(KEY, GPU, 2, 0.0).replicas == 3


def test_a_stream_that_is_ahead_of_the_other_lowers_nothing(quotas, tell):
    tell(2)
    assert quotas.room(KEY, GPU, 2, 0.0).replicas == 4
    # Two pods more are counted already, and not seen yet.
    tell(4)
    assert quotas.room(KEY, GPU, 2, 2.0).replicas == 4
    assert quotas.room(KEY, GPU, 4, 4.0).replicas == 4
    assert quotas.room(KEY, GPU, 4, 4.0 + SETTLE_SECONDS).replicas == 4


def test_what_others_took_counts_after_a_while(quotas, tell):
    tell(2)
    assert quotas.room(KEY, GPU, 2, 0.0).replicas == 4
    tell(4)
    for now in (5.0, SETTLE_SECONDS):
        assert quotas.room(KEY, GPU, 2, now).replicas == 4
    assert quotas.room(KEY, GPU, 2, SETTLE_SECONDS + 0.1).replicas == 2
    # More room counts at once.
    tell(3)
    assert quotas.room(KEY, GPU, 2, SETTLE_SECONDS + 0.2).replicas == 3


def test_two_that_want_the_last_gpu_are_both_told_of_it_and_order_it_once(quotas, tell):
    other = ("prod", "tablet")
    tell(3)
    now = 0.0
    assert [quotas.room(key, GPU, place, now).replicas for key, place in ((KEY, 1), (other, 2))] == [2, 3]
    # Both ordered one more, and the other got it: nothing is left, and no order grows by that.
    tell(4)
    for now in (5.0, 10.0, SETTLE_SECONDS + 1):
        rooms = [quotas.room(key, GPU, place, now).replicas for key, place in ((KEY, 1), (other, 3))]
        assert rooms[0] <= 2
        assert rooms[1] == 3
    assert rooms == [1, 3]


def test_a_deployment_that_is_gone_leaves_nothing_behind(quotas, tell):
    tell(0)
    quotas.room(KEY, GPU, 0, 0.0)
    quotas.forget(KEY)
    assert quotas._rooms == {}
