import pytest

from autoglm_operator.api.v1alpha1 import Autoscaling
from autoglm_operator.decide.scaling.bounds import bounds_of
from autoglm_operator.decide.scaling.needs import ScalingReason, Signals, Tail
from autoglm_operator.decide.scaling.quota import QuotaRoom
from autoglm_operator.decide.scaling.rule import Advice, Case, decide

ALL = {"queueDepth": {}, "latencyP99": {}, "memoryPressure": {}}
QUIET = {"evidence": 60.0}


def spec(least=1, most=8, signals=ALL):
    return Autoscaling.model_validate(
        {
            "minReplicas": least,
            "maxReplicas": most,
            "objective": {"ttftP99": "2s", "itlP99": "60ms"},
            "signals": signals,
        }
    )


def answer(ordered, signals, autoscaling=None, **more):
    autoscaling = autoscaling or spec()
    return decide(Case(autoscaling, bounds_of(autoscaling, 0.0, None), 16, ordered, signals, **more))


def test_a_backlog_orders_the_whole_step_at_once():
    found = answer(3, Signals(ready=3, waiting=28, running=48))
    assert (found.to, found.reason) == (5, ScalingReason.QUEUE)
    assert found.message == (
        "3 → 5 replicas: 28 requests wait and 48 run; at 16 in a batch per replica, 5 replicas are needed"
    )


def test_a_queue_in_spite_of_free_places_at_most_doubles():
    found = answer(2, Signals(ready=2, waiting=20, running=6))
    assert found.to == 4
    assert "short of 32 places in the batch" in found.message


def test_a_few_waiting_requests_are_no_backlog():
    assert answer(2, Signals(ready=2, waiting=8, running=6)).to == 2


def test_what_a_replica_was_seen_to_start_in_half_the_objective_is_no_backlog():
    assert answer(2, Signals(ready=2, waiting=20, running=6, saturated_rate=10.0)).to == 2


def test_the_users_queue_target_counts():
    found = answer(2, Signals(ready=2, waiting=20, running=32), spec(signals={"queueDepth": {"target": 3}}))
    assert (found.to, "target is 3" in found.message) == (7, True)


def test_ordered_replicas_that_start_are_not_ordered_again():
    signals = Signals(ready=3, starting=2, waiting=28, running=48)
    found = answer(5, signals)
    assert found.to == 5
    assert "5 are ordered" in found.message


def test_the_maximum_holds_and_is_named():
    found = answer(3, Signals(ready=3, waiting=480, running=48), spec(most=6))
    assert found.to == 6
    assert found.message.endswith("maxReplicas is 6")


def test_replicas_without_a_node_are_not_ordered_beyond():
    found = answer(4, Signals(ready=2, unschedulable=2, waiting=480, running=32))
    assert (found.to, found.reason) == (4, ScalingReason.UNSCHEDULABLE)
    assert "no node takes 2 of the 4" in found.message


@pytest.mark.parametrize(
    ("tail", "expected"),
    [(Tail(2.6, 100), 3), (Tail(30.0, 100), 4), (Tail(1.7, 100), 2), (Tail(30.0, 5), 2)],
    ids=["in proportion", "at most double", "within the objective", "too few observations"],
)
def test_latency_over_the_objective(tail, expected):
    assert answer(2, Signals(ready=2, running=20, peak=20, ttft=tail)).to == expected


def test_inter_token_latency_counts_too():
    found = answer(2, Signals(ready=2, running=20, peak=20, itl=Tail(0.08, 100)))
    assert found.to == 3
    assert "P99 ITL is 80ms over 100 observations; replicas are added from 54ms" in found.message


def test_more_replicas_than_requests_make_nothing_faster():
    assert answer(2, Signals(ready=2, running=1, peak=2, ttft=Tail(9.0, 100))).to == 2


def test_memory_pressure():
    found = answer(4, Signals(ready=4, running=40, peak=40, kv_cache=0.95))
    assert (found.to, found.reason) == (5, ScalingReason.MEMORY)
    assert "95% of the KV cache is in use; replicas are added from 90%" in found.message


def test_the_largest_need_wins_and_all_are_told():
    signals = Signals(ready=2, waiting=60, running=32, peak=92, kv_cache=0.99, ttft=Tail(9.0, 100))
    found = answer(2, signals)
    assert (found.to, found.reason) == (6, ScalingReason.QUEUE)
    assert {need.reason for need in found.causes} == {
        ScalingReason.QUEUE,
        ScalingReason.LATENCY,
        ScalingReason.MEMORY,
    }


@pytest.mark.parametrize(
    ("left", "signals"),
    [
        ("queueDepth", Signals(ready=2, waiting=60, running=32, peak=92)),
        ("latencyP99", Signals(ready=2, running=20, peak=20, ttft=Tail(9.0, 100))),
        ("memoryPressure", Signals(ready=2, running=20, peak=20, kv_cache=0.99)),
    ],
)
def test_a_signal_that_is_left_out_is_ignored(left, signals):
    without = spec(signals={key: value for key, value in ALL.items() if key != left})
    assert answer(2, signals).to > 2
    assert answer(2, signals, without).to == 2


def test_idle_goes_to_the_minimum():
    found = answer(6, Signals(ready=6, **QUIET), spec(least=2))
    assert (found.to, found.reason) == (2, ScalingReason.IDLE)


def test_spare_capacity_is_given_back_but_never_more_than_half():
    found = answer(6, Signals(ready=6, running=6, peak=9, **QUIET))
    assert (found.to, found.reason) == (3, ScalingReason.SPARE)


def test_the_same_signals_do_not_halve_twice():
    assert answer(3, Signals(ready=6, running=6, peak=9, **QUIET)).to == 3


@pytest.mark.parametrize(
    "signals",
    [
        Signals(ready=2, running=14, peak=14, evidence=60),
        Signals(ready=2, running=4, waiting=4, peak=8, evidence=60),
        Signals(ready=2, running=4, peak=4, kv_cache=0.4, evidence=60),
        Signals(ready=2, running=4, peak=4, ttft=Tail(0.9, 100), evidence=60),
        Signals(ready=2, running=4, peak=4, itl=Tail(0.045, 100), evidence=60),
        Signals(ready=2, running=4, peak=4, rate=9.0, saturated_rate=10.0, evidence=60),
    ],
    ids=["batch", "queue", "memory", "ttft", "itl", "rate"],
)
def test_nothing_is_removed_if_one_fewer_would_be_near_a_limit(signals):
    assert answer(2, signals).to == 2
    assert answer(2, Signals(ready=2, running=4, waiting=3, peak=7, itl=Tail(0.04, 100), evidence=60)).to == 1


@pytest.mark.parametrize(
    ("signals", "why"),
    [
        (Signals(ready=3, silent=1, evidence=60), "1 ready pod without fresh metrics"),
        (Signals(ready=3, starting=1, evidence=60), "1 pod still starting"),
        (Signals(ready=3, evidence=60), "1 of 4 pods not there yet"),
        (Signals(ready=4, evidence=6), "samples cover only 6 of 30 s"),
    ],
)
def test_doubt_never_removes(signals, why):
    found = answer(4, signals)
    assert (found.to, found.reason) == (4, ScalingReason.UNCERTAIN)
    assert why in found.message


def test_pods_that_no_node_takes_are_no_reason_to_keep_the_others():
    assert answer(4, Signals(ready=3, unschedulable=1, **QUIET)).to == 1


def test_without_a_ready_replica_everything_stays():
    found = answer(3, Signals(ready=0, starting=3))
    assert (found.to, found.reason) == (3, ScalingReason.NO_READY_REPLICA)


@pytest.mark.parametrize(("ordered", "expected"), [(0, 2), (1, 2), (9, 4)])
def test_new_bounds_hold_at_once(ordered, expected):
    found = answer(ordered, Signals(ready=0), spec(least=2, most=4))
    assert (found.to, found.reason) == (expected, ScalingReason.BOUNDS)


def advice(to, **changed):
    values = {"need": to, "reason": ScalingReason.LOAD, "because": "20.0 requests/s", "demand": 20.0}
    return Advice(**({"to": to, "capacity": 5.0, "sure": True} | values | changed))


CALM = Signals(ready=6, running=6, peak=9, evidence=60.0)


def test_the_law_orders_what_nothing_measured_asks_for():
    found = answer(3, Signals(ready=3, running=6, peak=9), advice=advice(5))
    assert (found.to, found.reason) == (5, ScalingReason.LOAD)
    assert found.message == "3 → 5 replicas: 20.0 requests/s"


@pytest.mark.parametrize(("law", "reason"), [(4, ScalingReason.QUEUE), (7, ScalingReason.LOAD)])
def test_the_larger_of_law_and_measurement_wins(law, reason):
    found = answer(3, Signals(ready=3, waiting=28, running=48, peak=76), advice=advice(law))
    assert (found.to, found.reason) == (max(5, law), reason)


def test_the_law_orders_nothing_beyond_replicas_without_a_node():
    found = answer(4, Signals(ready=2, unschedulable=2, running=6, peak=9), advice=advice(6))
    assert (found.to, found.reason) == (4, ScalingReason.UNSCHEDULABLE)


def test_what_the_law_needs_beyond_the_maximum_is_told():
    found = answer(3, Signals(ready=3, running=6, peak=9), spec(most=5), advice=advice(5, need=9))
    assert found.message == "3 → 5 replicas: 20.0 requests/s; maxReplicas is 5"


def test_replicas_go_as_the_law_says_and_not_before():
    assert answer(6, CALM).to == 3
    assert answer(6, CALM, advice=advice(5)).to == 5
    kept = answer(6, CALM, advice=advice(6))
    assert (kept.to, kept.reason, kept.message) == (6, ScalingReason.LOAD, "6 replicas: 20.0 requests/s")


def test_what_the_law_would_remove_stays_where_a_limit_is_near():
    near = Signals(ready=6, running=60, peak=70, kv_cache=0.7, evidence=60.0)
    found = answer(6, near, advice=advice(4))
    assert (found.to, found.reason) == (6, ScalingReason.STEADY)
    assert "with 5 a limit would be near" in found.message


@pytest.mark.parametrize(("demand", "to"), [(20.0, 6), (9.0, 4)], ids=["busy", "little to do"])
def test_replicas_with_little_to_do_are_not_slow_for_want_of_others(demand, to):
    slow = Signals(ready=6, running=12, peak=30, itl=Tail(0.059, 500), evidence=60.0)
    assert answer(6, slow, advice=advice(4, demand=demand)).to == to
    much = Signals(ready=2, running=12, peak=30, itl=Tail(0.2, 500), evidence=60.0)
    assert answer(2, much, advice=advice(2, demand=demand / 3)).to == (4 if demand > 10 else 2)


def test_a_capacity_that_is_only_believed_excuses_nothing():
    much = Signals(ready=2, running=12, peak=30, itl=Tail(0.2, 500), evidence=60.0)
    assert answer(2, much, advice=advice(2, demand=1.0, sure=False)).to == 4


@pytest.mark.parametrize("law", [None, advice(2)], ids=["alone", "with the law"])
def test_doubt_from_elsewhere_removes_nothing(law):
    found = answer(6, CALM, advice=law, doubt="nobody knows")
    assert (found.to, found.reason) == (6, ScalingReason.UNCERTAIN)
    assert found.message.endswith("none is removed while nobody knows")


def test_pods_that_may_never_be_ready_are_no_reason_to_keep_the_others():
    stuck = Signals(ready=5, starting=1, running=5, peak=9, evidence=60.0)
    assert answer(6, stuck).to == 6
    assert answer(6, stuck, patient=False).to == 3
    assert answer(6, stuck, patient=False, advice=advice(4)).to == 4


@pytest.mark.parametrize(("held", "to"), [(2, 3), (5, 5), (9, 6)])
def test_what_was_asked_for_within_the_hold_stays(held, to):
    found = answer(6, CALM, held=held, hold=180.0)
    assert found.to == to
    assert ("were needed in the last 180 s" in found.message) == (held > 3)


def test_bounds_of_a_quota_are_told():
    room = QuotaRoom(4, "ResourceQuota gpus of namespace prod allows 4 replicas of 1 GPU")
    autoscaling = spec()
    case = Case(autoscaling, bounds_of(autoscaling, 0.0, room), 16, 4, Signals(ready=4, waiting=90, running=64))
    found = decide(case)
    assert found.to == 4
    assert [limit.reason for limit in found.limits] == ["QuotaReached"]
