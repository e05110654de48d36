from dataclasses import replace

import pytest

from autoglm_operator.api.status import AutoscalingStatus, ScalingLimit, Serving
from autoglm_operator.api.v1alpha1 import Autoscaling
from autoglm_operator.autoscaler.pods import Target
from autoglm_operator.autoscaler.writer import Latencies, Writer, next_status
from autoglm_operator.decide.scaling.needs import ScalingReason
from autoglm_operator.decide.scaling.rule import Decision
from autoglm_operator.kube.errors import ApiError

UP = Decision(5, ScalingReason.QUEUE, "3 → 5 replicas: 28 requests wait")
NOW = 1_700_000_000.0


def status(before=None, decision=UP, ttft=0.812, itl=0.041):
    return next_status(before, 3, decision, Latencies(ttft, itl), NOW)


def test_the_first_status_says_where_it_came_from():
    written = status().model_dump(by_alias=True, exclude_defaults=True)
    assert written == {
        "desiredReplicas": 5,
        "ttftP99": "812ms",
        "itlP99": "41ms",
        "decision": {
            "time": "2023-11-14T22:13:20Z",
            "from": 3,
            "to": 5,
            "reason": "QueueBacklog",
            "message": "3 → 5 replicas: 28 requests wait",
        },
    }


@pytest.mark.parametrize("ttft", [0.812, 0.74, 0.89])
def test_nothing_is_written_at_rest(ttft):
    assert status(status(), ttft=ttft) is None


@pytest.mark.parametrize("ttft", [0.7, 0.9, None])
def test_a_latency_that_moved_is_written_and_the_decision_stays(ttft):
    before = status()
    after = next_status(before, 5, UP, Latencies(ttft, 0.041), NOW + 60)
    assert after.decision == before.decision
    assert after.ttft_p99 == (None if ttft is None else f"{ttft * 1000:.0f}ms")


def test_another_number_is_another_decision():
    after = status(status(), Decision(2, ScalingReason.IDLE, "m"))
    assert (after.decision.from_, after.decision.to, after.decision.reason) == (5, 2, "Idle")


def test_replicas_that_finish_their_requests_are_told_while_the_number_stays():
    said = "5 → 3 replicas: 3 suffice; 2 of 5 replicas finish 4 requests before they go"
    leaving = Decision(5, ScalingReason.SPARE, said, draining=2)
    after = status(status(), leaving)
    assert (after.draining, after.decision.to, after.decision.message) == (2, 5, said)
    assert status(after, replace(leaving, message="other numbers")) is None
    assert status(after, UP).decision.message == UP.message


LIMIT = ScalingLimit(reason="QuotaReached", message="4 replicas are allowed, 6 are needed")


def test_a_limit_is_written_when_it_comes_and_when_it_goes_and_not_for_other_numbers():
    limited = status(status(), replace(UP, limits=(LIMIT,)))
    assert limited.limits == (LIMIT,)
    assert limited.decision == status().decision
    assert status(limited, replace(UP, limits=(LIMIT.model_copy(update={"message": "5 are needed"}),))) is None
    assert status(limited).limits == ()


def test_a_latency_that_somebody_else_wrote_is_replaced():
    assert status(AutoscalingStatus(desired_replicas=5, ttft_p99="fast", itl_p99="41ms")) is not None


class Api:
    """Records what is applied."""

    def __init__(self, error=None):
        self.applied = []
        self.error = error

    async def apply(self, obj, manager, subresource):
        self.applied.append((obj, manager, subresource))
        if self.error:
            raise self.error


TARGET = Target("prod", "phone", "u", 3, Autoscaling(max_replicas=9))


async def test_only_the_leader_writes(clock):
    api = Api()
    await Writer(api, lambda: False, clock).write(TARGET, UP, Latencies(None, None), None)
    assert api.applied == []
    await Writer(api, lambda: True, clock).write(TARGET, UP, Latencies(None, None), None)
    (obj, manager, subresource), *_ = api.applied
    assert (obj["metadata"]["uid"], manager, subresource) == ("u", "autoglm-autoscaler", "status")
    assert list(obj["status"]) == ["autoscaling"]


@pytest.mark.parametrize("error", [None, ApiError(500, {}, "PATCH")])
@pytest.mark.parametrize(("desired", "written"), [(UP.to, 3), (UP.to - 1, 7)])
async def test_writes_are_15_seconds_apart_and_5_for_another_number_failed_ones_too(clock, error, desired, written):
    api = Api(error)
    writer = Writer(api, lambda: True, clock)
    # As the API serves it: what is written comes back by the watch, and here it never does.
    target = replace(TARGET, status=AutoscalingStatus(desired_replicas=desired))
    for _ in range(31):
        await writer.write(target, UP, Latencies(1.0, None), None)
        clock.now += 1
    assert len(api.applied) == written


def test_the_status_leads_to_the_trace_of_the_decision():
    traced = replace(UP, traceparent="00-" + "ab" * 16 + "-" + "cd" * 8 + "-01")
    found = next_status(None, 1, traced, Latencies(None, None), 0.0)
    assert found.decision.traceparent == traced.traceparent
    assert "traceparent" not in next_status(None, 1, UP, Latencies(None, None), 0.0).decision.model_dump(
        exclude_none=True
    )


@pytest.mark.parametrize(("code", "logged"), [(404, 0), (409, 0), (403, 1)])
async def test_a_deployment_that_is_gone_is_no_news(clock, caplog, code, logged):
    await Writer(Api(ApiError(code, {}, "PATCH")), lambda: True, clock).write(TARGET, UP, Latencies(None, None), None)
    assert len(caplog.records) == logged


SERVING = Serving(kv_cache_tokens=1000)


async def test_both_parts_are_written_each_time(clock):
    api = Api()
    written = replace(TARGET, status=status(), serving=SERVING)
    await Writer(api, lambda: True, clock).write(written, None, Latencies(None, None), Serving(kv_cache_tokens=2000))
    ((obj, *_),) = api.applied
    assert obj["status"]["serving"] == {"kvCacheTokens": 2000}
    assert obj["status"]["autoscaling"]["desiredReplicas"] == 5, "what an apply leaves out is removed"


async def test_at_rest_nothing_is_written(clock):
    api = Api()
    written = replace(TARGET, status=status(), serving=SERVING)
    writer = Writer(api, lambda: True, clock)
    await writer.write(written, UP, Latencies(0.812, 0.041), SERVING)
    await writer.write(written, None, Latencies(None, None), SERVING)
    await writer.write(replace(TARGET, autoscaling=None), None, Latencies(None, None), None)
    assert api.applied == []


async def test_without_autoscaling_its_status_goes(clock):
    api = Api()
    written = replace(TARGET, autoscaling=None, status=status(), serving=SERVING)
    await Writer(api, lambda: True, clock).write(written, None, Latencies(None, None), SERVING)
    ((obj, *_),) = api.applied
    assert list(obj["status"]) == ["serving"]
