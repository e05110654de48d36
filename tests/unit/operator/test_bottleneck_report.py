"""What the autoscaler found out, as conditions and events of the deployment."""

import json
from dataclasses import replace

import pytest

from autoglm_operator.api.status import Condition
from autoglm_operator.api.v1alpha1 import EngineType, Objective
from autoglm_operator.decide.bottleneck import RULES, Cause
from autoglm_operator.decide.judgement import judge
from autoglm_operator.decide.plan import make_plan
from autoglm_operator.decide.scaling import limited
from autoglm_operator.decide.scaling.objective import BUCKETS, between_buckets
from autoglm_operator.observe.world import Deployment, Observed
from autoglm_operator.render.workload import workload
from autoglm_operator.settings import Images
from autoglm_simulator import catalogue

AUTOSCALED = {"autoscaling": {"maxReplicas": 4}}


@pytest.fixture
def seen(deployment_document):
    def make(serving=None, **spec):
        status = {} if serving is None else {"serving": serving}
        document = deployment_document(**spec) | {"status": status}
        return Observed(Deployment.parse(document), {}, (), frozenset(), 0.0)

    return make


def judged(observed):
    health = judge(observed, make_plan(observed, Images()), None)
    return health, {verdict.type: verdict for verdict in health.verdicts}


def found(cause, knob=""):
    return {"bottleneck": {"cause": cause, "evidence": "9 requests wait", "knob": knob}}


@pytest.mark.parametrize(
    ("cause", "status", "reason"),
    [
        ("compute", "True", "Compute"),
        ("memory-bandwidth", "True", "MemoryBandwidth"),
        ("kv-cache", "True", "KVCache"),
        ("queue", "True", "Queue"),
        ("network", "True", "Network"),
        ("client", "False", "NoBottleneck"),
        ("idle", "False", "NoBottleneck"),
        ("unknown", "Unknown", "BottleneckUnknown"),
        ("one-of-a-newer-autoscaler", "Unknown", "BottleneckUnknown"),
    ],
)
def test_each_cause_is_a_condition_with_the_same_sentence(seen, cause, status, reason):
    _, verdicts = judged(seen(found(cause, "spec.replicas: more than 2")))
    verdict = verdicts[limited.BOTTLENECK]
    assert (verdict.status, verdict.reason) == (status, reason)
    assert verdict.message == "9 requests wait; spec.replicas: more than 2"


def test_every_cause_of_the_table_has_a_reason(seen):
    for cause in {rule.cause for rule in RULES} | {Cause.UNKNOWN}:
        assert judged(seen(found(cause.value)))[1][limited.BOTTLENECK].message == "9 requests wait"


def test_nothing_is_said_before_the_autoscaler_has_spoken(seen):
    _, verdicts = judged(seen())
    assert not {limited.BOTTLENECK, limited.BATCH_REDUCED} & set(verdicts)


def test_without_a_diagnosis_it_is_not_known(seen):
    assert judged(seen({"kvCacheTokens": 1}))[1][limited.BOTTLENECK].status == "Unknown"


def with_condition(observed, verdict):
    known = Condition(
        type=verdict.type,
        status=verdict.status,
        observed_generation=1,
        last_transition_time="2026-01-01T00:00:00Z",
        reason=verdict.reason,
        message=verdict.message,
    )
    return replace(observed, deployment=replace(observed.deployment, conditions={verdict.type: known}))


def test_a_bottleneck_is_one_event(seen):
    observed = seen(found("queue"), tolerance="Strict")
    health, verdicts = judged(observed)
    (notice,) = health.notices
    assert (notice.kind, notice.reason, notice.message) == ("Normal", "Queue", "9 requests wait")
    known = with_condition(observed, verdicts[limited.BOTTLENECK])
    assert judged(known)[0].notices == ()
    another = replace(known, deployment=replace(known.deployment, status={"serving": found("compute")}))
    assert [notice.reason for notice in judged(another)[0].notices] == ["Compute"]


@pytest.mark.parametrize("cause", ["client", "idle", "unknown"])
def test_what_asks_for_nothing_is_no_event(seen, cause):
    assert judged(seen(found(cause)))[0].notices == ()


ASKED = {"requestedMaxNumSeqs": 24}


@pytest.mark.parametrize("tolerance", ["Elastic", "Recovery"])
def test_a_smaller_batch_that_agents_ask_for_is_told(seen, tolerance):
    health, verdicts = judged(seen(ASKED, tolerance=tolerance, **AUTOSCALED))
    verdict = verdicts[limited.BATCH_REDUCED]
    assert (verdict.status, verdict.reason) == ("True", "SmallerBatch")
    assert "at most 24 requests at once" in verdict.message
    assert "none is restarted for this" in verdict.message
    assert [notice.reason for notice in health.notices] == ["SmallerBatch"]
    assert judged(seen({}, tolerance=tolerance, **AUTOSCALED))[1][limited.BATCH_REDUCED].status == "False"


def test_without_autoscaling_it_says_that_nobody_acts(seen):
    assert "nothing acts on it" in judged(seen(ASKED))[1][limited.BATCH_REDUCED].message


def test_under_strict_there_is_no_such_thing(seen):
    assert limited.BATCH_REDUCED not in judged(seen(ASKED, tolerance="Strict", **AUTOSCALED))[1]


def test_no_pod_is_changed_for_a_smaller_batch(seen):
    def rendered(observed):
        made = workload(observed.deployment, make_plan(observed, Images()), Images())
        return json.dumps(made, sort_keys=True)

    assert rendered(seen(ASKED, **AUTOSCALED)) == rendered(seen({}, **AUTOSCALED))


def test_the_bounds_of_vllm_are_those_that_its_engines_expose():
    known = BUCKETS[EngineType.VLLM]
    assert known["TTFT"] == tuple(catalogue.FIRST_TOKEN.buckets)
    assert known["ITL"] == tuple(catalogue.INTER_TOKEN.buckets)


@pytest.mark.parametrize(
    ("engine", "ttft", "itl", "told"),
    [
        ("vLLM", "1s", "100ms", []),
        ("SGLang", "2s", "100ms", []),
        ("Simulator", "250ms", "300ms", []),
        ("vLLM", "2s", "100ms", ["TTFT, 2s, lies between 1000ms and 2500ms"]),
        ("SGLang", "2s", "50ms", ["ITL, 50ms, lies between 40ms and 60ms"]),
        ("SGLang", "50ms", "1ms", ["between 0ms and 100ms", "between 0ms and 2ms"]),
        ("SGLang", "1h", "1s", ["beyond 400000ms"]),
    ],
)
def test_an_objective_between_two_bounds_is_told_with_them(engine, ttft, itl, told):
    notes = list(between_buckets(Objective(ttft_p99=ttft, itl_p99=itl), EngineType(engine)))
    assert len(notes) == len(told)
    assert all(part in note for part, note in zip(told, notes, strict=True))
