"""What is written on pods, by whom, and what number is served meanwhile."""

import asyncio
from dataclasses import replace

import pytest

from autoglm_operator.api import names
from autoglm_operator.api.status import Actuation, Serving
from autoglm_operator.api.v1alpha1 import Autoscaling
from autoglm_operator.autoscaler.drains import Drains, serving_rows
from autoglm_operator.autoscaler.engine_metrics import EngineSample
from autoglm_operator.autoscaler.pods import EnginePod, Target
from autoglm_operator.autoscaler.store import History
from autoglm_operator.decide.scaling.needs import ScalingReason
from autoglm_operator.decide.scaling.rule import Decision
from autoglm_operator.decide.start.timing import DRAIN_SECONDS, PRE_STOP_SECONDS
from autoglm_operator.kube.errors import ApiError

KEY = ("prod", "phone")
TICK = 3.0
LABEL, COST = names.LABEL_SERVING, names.ANNOTATION_DELETION_COST
DIRECT = Actuation(path="Direct", message="m")
SPARE = Decision(1, ScalingReason.SPARE, "3 → 1 replicas: 1 suffices for 2 requests")


class Api:
    """Keeps pods as the API server does, and merges what is patched into `pods/status`."""

    def __init__(self, *loads):
        self.patched = []
        self.error = None
        self.pods = {f"phone-7d-{place}": _pod(place) for place in range(len(loads))}
        self.histories = {name: History(ready_since=0.0) for name in self.pods}
        self.loads = dict(zip(self.pods, loads, strict=True))

    async def request(self, method, path, *, params, body, content_type):
        name, subresource = path.split("/")[-2:]
        assert (method, subresource, content_type) == ("PATCH", "status", "application/merge-patch+json")
        assert params == {"fieldManager": "autoglm-autoscaler"}
        if self.error:
            raise self.error
        meta = self.pods[name]["metadata"]
        assert body["metadata"]["uid"] == meta["uid"]
        self.patched.append((name, body["metadata"]["labels"][LABEL]))
        for part in ("labels", "annotations"):
            merged = meta[part] | body["metadata"][part]
            meta[part] = {key: value for key, value in merged.items() if value is not None}

    def rows(self, now):
        """Scrape, and return what the autoscaler knows."""
        for name, history in self.histories.items():
            history.add(EngineSample(now, self.loads[name], 0.0, 0.1, None, None))
        return [(EnginePod.keep(pod), self.histories[name]) for name, pod in self.pods.items()]

    def stages(self):
        return [pod["metadata"]["labels"][LABEL] for pod in self.pods.values()]

    def annotations(self, name):
        return self.pods[name]["metadata"]["annotations"]


def _pod(place):
    owner = {"kind": "ReplicaSet", "name": "phone-7d", "controller": True, "uid": "r"}
    labels = {names.LABEL_DEPLOYMENT: "phone", LABEL: "true", "pod-template-hash": "7d"}
    meta = {"namespace": "prod", "name": f"phone-7d-{place}", "uid": f"uid-{place}", "ownerReferences": [owner]}
    times = {"creationTimestamp": f"2026-01-01T00:00:0{place}Z", "labels": labels, "annotations": {}}
    ready = {"type": "Ready", "status": "True"}
    return {"metadata": meta | times, "status": {"phase": "Running", "podIP": "10.0.0.1", "conditions": [ready]}}


class Shift:
    """One autoscaler that goes on from tick to tick."""

    def __init__(self, api, clock, *, leads=True, **target):
        self.api, self.clock = api, clock
        self.target = Target(*KEY, "u", len(api.pods), Autoscaling(max_replicas=8), actuation=DIRECT)
        self.target = replace(self.target, **target)
        self.drains = Drains(api, lambda: leads, interval=TICK, clock=lambda: 1_700_000_000.0 + clock.now)

    async def tick(self, decision, times=1):
        for _ in range(times):
            self.clock.now += TICK
            rows = self.api.rows(self.clock.now)
            settled = await self.drains.settle(self.target, rows, decision, self.clock.now)
        return settled


@pytest.fixture
def api():
    return Api(2, 0, 5)


@pytest.fixture
def leader(api, clock):
    return Shift(api, clock)


async def test_a_drain_from_its_first_patch_to_the_lower_number(api, leader):
    settled = await leader.tick(SPARE)
    assert (settled.to, api.stages()) == (3, ["draining", "draining", "true"])
    assert settled.message == f"{SPARE.message}; 2 of 3 replicas finish 2 requests before they go"
    assert api.annotations("phone-7d-0") == {
        COST: "-2147483647",
        "autoglm.io/draining-since": "2023-11-14T22:30:03.000+00:00",
    }
    settled = await leader.tick(SPARE)
    assert api.stages() == ["draining", "draining", "true"], "proxies may still send requests"
    await leader.tick(SPARE, 2)
    assert api.stages() == ["draining", "drained", "true"]
    assert api.annotations("phone-7d-1")[COST] == "-2147483648"
    assert (await leader.tick(SPARE)).to == 2
    api.loads["phone-7d-0"] = 0
    await leader.tick(SPARE, 2)
    assert (await leader.tick(SPARE)).to == 1
    assert len(api.patched) == 4, "each pod is written when it moves, and not again"


async def test_one_sample_between_two_requests_is_not_idle(api, leader):
    await leader.tick(SPARE, 2)
    api.loads["phone-7d-0"] = 0
    await leader.tick(SPARE)
    api.loads["phone-7d-0"] = 1
    await leader.tick(SPARE, 3)
    assert api.stages()[0] == "draining"


async def test_time_is_up_after_the_drain_that_traffic_calls_for(api, clock):
    shift = Shift(api, clock, serving=Serving(output_tokens_p99=1000, itl_p99_seconds=0.04))
    await shift.tick(SPARE, 20)
    assert api.stages()[0] == "draining"
    await shift.tick(SPARE, 2)
    assert api.stages()[0] == "drained", "1.5 x 1000 tokens at 40 ms are a minute"
    unknown = Shift(other := Api(2, 0, 5), clock)
    await unknown.tick(SPARE, int(DRAIN_SECONDS / TICK))
    assert other.stages()[0] == "draining"
    await unknown.tick(SPARE)
    assert other.stages()[0] == "drained"


async def test_demand_that_returns_puts_pods_back_as_they_were(api, leader):
    api.annotations("phone-7d-1")[COST] = "7"
    await leader.tick(SPARE, 4)
    assert api.annotations("phone-7d-1")["autoglm.io/deletion-cost-before"] == "7"
    settled = await leader.tick(Decision(5, ScalingReason.QUEUE, "1 → 5 replicas"))
    assert (settled.to, api.stages()) == (5, ["true"] * 3)
    assert [api.annotations(name) for name in api.pods] == [{}, {COST: "7"}, {}]


async def test_a_standby_serves_the_same_number_and_writes_nothing(api, leader, clock):
    standby = Shift(api, clock, leads=False)
    assert (await standby.tick(SPARE)).to == 3
    assert api.patched == []
    await leader.tick(SPARE, 4)
    written = list(api.patched)
    assert (await standby.tick(SPARE)).to == (await leader.tick(SPARE)).to == 2
    assert api.patched == written


async def test_who_leads_next_goes_on_where_the_last_one_stopped(api, leader, clock):
    await leader.tick(SPARE, 2)
    began = api.annotations("phone-7d-0")["autoglm.io/draining-since"]
    successor = Shift(api, clock)
    assert (await successor.tick(SPARE, 3)).to == 2
    assert api.annotations("phone-7d-0")["autoglm.io/draining-since"] == began
    await Shift(api, clock).tick(Decision(3, ScalingReason.STEADY, "3 replicas"))
    assert api.stages() == ["true"] * 3


@pytest.mark.parametrize(
    "change",
    [
        {"autoscaling": None},
        {"autoscaling": Autoscaling.model_validate({"maxReplicas": 8, "prediction": {"mode": "Advisory"}})},
        {"actuation": None},
        *({"actuation": Actuation(path=path, message="m")} for path in ("KEDA", "Foreign", "None")),
    ],
    ids=["off", "advisory", "not told", "KEDA", "foreign", "none"],
)
async def test_pods_are_given_back_where_the_number_is_not_ours(api, leader, change):
    await leader.tick(SPARE)
    leader.target = replace(leader.target, **change)
    assert await leader.tick(SPARE) == SPARE
    assert api.stages() == ["true"] * 3
    assert await leader.tick(SPARE) == SPARE
    assert api.stages() == ["true"] * 3


async def test_pods_are_given_back_when_nothing_is_known(api, leader):
    await leader.tick(SPARE)
    assert await leader.tick(None) is None
    assert api.stages() == ["true"] * 3


async def test_nobody_is_drained_while_a_rollout_runs(api, leader):
    api.pods["phone-7d-2"]["metadata"]["labels"]["pod-template-hash"] = "8e"
    assert await leader.tick(SPARE) == SPARE
    assert api.patched == []


async def test_a_deletion_cost_that_somebody_else_wrote_is_written_again(api, leader):
    await leader.tick(SPARE)
    api.annotations("phone-7d-0")[COST] = "12"
    await leader.tick(SPARE)
    assert api.annotations("phone-7d-0")[COST] == "-2147483647"
    assert "autoglm.io/deletion-cost-before" not in api.annotations("phone-7d-0")


async def test_what_is_refused_is_told_once_and_tried_again(api, leader, caplog):
    api.error = ApiError(403, {"message": "pods/status is forbidden"}, "PATCH /p")
    assert (await leader.tick(SPARE, 3)).to == 3
    assert [record.error for record in caplog.records] == ["PATCH /p: pods/status is forbidden"]
    api.error = None
    await leader.tick(SPARE)
    assert api.stages() == ["draining", "draining", "true"]


async def test_what_stays_refused_does_not_keep_the_number_up_for_ever(api, leader):
    api.error = ApiError(403, {"message": "no"}, "PATCH /p")
    hold = 180
    assert (await leader.tick(SPARE, int((DRAIN_SECONDS + hold) / TICK))).to == 3
    settled = await leader.tick(SPARE, 60)
    assert settled.to == 1
    assert "not lowered within" in settled.message


@pytest.mark.parametrize("status", [404, 409, 422])
async def test_a_pod_that_is_gone_is_no_trouble(api, leader, caplog, status):
    api.error = ApiError(status, {"message": "gone"}, "PATCH /p")
    await leader.tick(SPARE)
    assert caplog.records == []


async def test_an_api_server_that_hangs_does_not_hold_up_the_tick(api, leader, monkeypatch, caplog):
    async def hang(*_, **__):
        await asyncio.sleep(60)

    api.request = hang
    monkeypatch.setattr("autoglm_operator.autoscaler.drains._PATCH_SECONDS", 0.05)
    async with asyncio.timeout(2):
        assert (await leader.tick(SPARE)).to == 3
    assert "no answer within" in caplog.records[0].error


async def test_a_decision_sees_what_is_in_service(api, leader):
    rows = api.rows(1.0)
    assert serving_rows(leader.target, rows) == (leader.target, rows)
    await leader.tick(SPARE)
    seen, kept = serving_rows(leader.target, api.rows(9.0))
    assert (seen.replicas, [pod.name for pod, _ in kept]) == (1, ["phone-7d-2"])


async def test_what_is_gone_is_forgotten(api, leader):
    await leader.tick(SPARE)
    leader.drains.forget(KEY)
    assert (leader.drains._orders, leader.drains._told) == ({}, {})


def test_proxies_have_the_time_that_a_pod_has_before_it_stops():
    assert TICK < PRE_STOP_SECONDS < 2 * TICK, "the tests above count on it"
