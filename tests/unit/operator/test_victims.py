"""Who leaves, who comes back, and what number is served meanwhile."""

from dataclasses import replace

import pytest

from autoglm_operator.decide.scaling.needs import ScalingReason
from autoglm_operator.decide.scaling.rule import EVIDENCE_SECONDS, Decision
from autoglm_operator.decide.scaling.victims import (
    Order,
    Replica,
    Stage,
    Times,
    follow,
    give_back,
    in_service,
    plan,
)

NOW = 1_700_000_000.0
TIMES = Times(drain=180.0, patience=300.0)
SERVING, DRAINING, DRAINED = Stage


def wants(number, reason=ScalingReason.SPARE):
    return Decision(number, reason, f"5 → {number} replicas: {number} suffice")


def fleet(*loads, **fields):
    """Make ready replicas a, b, c, …, each older than the next."""
    return [
        Replica("abcdefgh"[place], ready=True, load=load, created=float(place), **fields)
        for place, load in enumerate(loads)
    ]


def planned(replicas, number, ordered=None, *, now=NOW, order=None, decision=None):
    ordered = len(replicas) if ordered is None else ordered
    decision = decision or wants(number)
    order = order or follow(None, wants(number), ordered, now)
    return plan(order, decision, replicas, ordered=ordered, times=TIMES, now=now)


def moved(made):
    return {replica.name: stage for replica, stage in made.moves}


def change(replicas, **stages):
    """Return the fleet with some of it in another stage, for ten seconds."""
    return [replace(one, stage=stages[one.name], since=NOW - 10) if one.name in stages else one for one in replicas]


def test_the_least_busy_leave_and_the_number_stays():
    made = planned(fleet(4, 1, 9, 3, 5), 3)
    assert moved(made) == {"b": DRAINING, "d": DRAINING}
    assert made.decision.to == 5
    assert made.decision.message == "5 → 3 replicas: 3 suffice; 2 of 5 replicas finish 4 requests before they go"
    assert made.decision.draining == 2


def test_the_newest_of_equals_leaves():
    assert moved(planned(fleet(2, 2, 2), 2)) == {"c": DRAINING}


def test_one_whose_load_is_not_known_leaves_last():
    assert moved(planned(fleet(None, 7, None), 2)) == {"b": DRAINING}


def test_one_that_loads_is_left_to_its_controller_which_removes_it_first():
    replicas = [*fleet(1, 2, 3), Replica("new", ready=False)]
    made = planned(replicas, 3)
    assert (made.moves, made.decision.to) == ((), 3)
    made = planned(replicas, 2)
    assert (moved(made), made.decision.to) == ({"a": DRAINING}, 3)


@pytest.mark.parametrize(
    ("state", "stage"),
    [
        ({"load": 3.0}, None),
        ({"idle": True}, DRAINED),
        ({"load": 3.0, "since": NOW - 180}, DRAINED),
        ({"load": 3.0, "since": 0.0}, DRAINED),
        ({"ready": False}, DRAINED),
    ],
    ids=["busy", "idle", "out of time", "nobody noted when", "ill"],
)
def test_a_replica_is_drained_once_it_is_idle_or_has_had_its_time(state, stage):
    replicas = fleet(1, 1, 1)
    replicas[1] = replace(replicas[1], **{"stage": DRAINING, "since": NOW - 60} | state)
    assert moved(planned(replicas, 2)) == ({"b": stage} if stage else {})


def test_each_that_is_drained_lets_the_number_fall():
    replicas = change(fleet(0, 6, 1, 1, 1), a=DRAINED, b=DRAINING)
    made = planned(replicas, 3)
    assert made.decision.to == 4
    assert made.decision.message.endswith(
        "1 of 5 replicas finishes 6 requests before it goes, 1 of 5 replicas is drained"
    )
    assert planned(change(fleet(0, 0, 1, 1, 1), a=DRAINED, b=DRAINED), 3).decision.to == 3


def test_demand_that_returns_brings_replicas_back_before_more_are_ordered():
    replicas = change(fleet(0, 1, 9, 9, 9), a=DRAINED, b=DRAINING)
    made = planned(replicas, 7, decision=wants(7, ScalingReason.QUEUE))
    assert moved(made) == {"a": SERVING, "b": SERVING}
    assert (made.decision.to, made.decision.reason) == (7, ScalingReason.QUEUE)
    assert made.decision.message.endswith("; 2 replicas on the way out serve again")


def test_demand_that_returns_a_little_brings_one_back_that_is_not_drained_yet():
    replicas = change(fleet(0, 1, 9, 9, 9), a=DRAINED, b=DRAINING)
    made = planned(replicas, 4)
    assert (moved(made), made.decision.to) == ({"b": SERVING}, 4)


def test_a_drained_one_comes_back_when_another_was_removed_instead():
    replicas = change(fleet(0, 0, 1, 1), a=DRAINED, b=DRAINED)
    made = planned(replicas, 3, ordered=3)
    assert (moved(made), made.decision.to) == ({"b": SERVING}, 3) or moved(made) == {"a": SERVING}


def test_those_that_are_ordered_away_and_not_removed_yet_stay_out():
    made = planned(change(fleet(0, 0, 1, 1, 1), a=DRAINED, b=DRAINED), 3, ordered=3)
    assert (made.moves, made.decision) == ((), wants(3))


def test_nobody_is_taken_out_for_pods_that_are_ordered_away_already():
    made = planned(fleet(0, 0, 1), 2, ordered=2)
    assert (made.moves, made.decision) == ((), wants(2))


def test_one_that_fell_ill_on_its_way_out_comes_back_when_nothing_is_to_be_removed():
    replicas = change(fleet(0, 1), a=DRAINED)
    replicas[0] = replace(replicas[0], ready=False)
    assert moved(planned(replicas, 2)) == {"a": SERVING}
    assert moved(planned(replicas, 1)) == {}


def test_the_last_that_serves_is_never_taken_out():
    assert moved(planned(fleet(0, 0), 1)) == {"b": DRAINING}
    ill = change([replace(fleet(0, 0)[0], ready=False), fleet(0, 0)[1]], b=DRAINING)
    assert moved(planned(ill, 1)) == {"b": SERVING}


def test_groups_go_by_their_index_whatever_they_hold():
    replicas = [replace(one, index=place) for place, one in enumerate(fleet(0, 0, 8, 9))]
    assert moved(planned(replicas, 2)) == {"c": DRAINING, "d": DRAINING}


def test_a_group_that_is_drained_waits_for_those_of_higher_index():
    replicas = [replace(one, index=place) for place, one in enumerate(fleet(1, 1, 0, 9))]
    assert planned(change(replicas, c=DRAINED, d=DRAINING), 2).decision.to == 4
    assert planned(change(replicas, c=DRAINING, d=DRAINED), 2).decision.to == 3


def test_no_group_leaves_while_one_that_stays_cannot_answer():
    replicas = [replace(one, index=place) for place, one in enumerate(fleet(1, None, 1))]
    replicas[1] = replace(replicas[1], ready=False)
    made = planned(replicas, 2)
    assert (made.moves, made.decision.to) == ((), 3)


def test_what_is_not_lowered_in_time_is_given_back():
    late = NOW - TIMES.most - 1
    replicas = [replace(one, since=late) for one in change(fleet(0, 1, 2), a=DRAINED)]
    made = planned(replicas, 2)
    assert (moved(made), made.decision.to) == ({"a": SERVING}, 2)
    assert "3 replicas were not lowered within 480 s" in made.decision.message


def test_replicas_that_cannot_be_patched_do_not_keep_the_number_up_for_ever():
    order = Order(wants(2), since=NOW - TIMES.most - 1, lowered=NOW - TIMES.most - 1)
    made = planned(fleet(0, 1, 2), 2, order=order)
    assert (made.moves, made.decision.to) == ((), 2)


def test_who_decides_sees_what_is_in_service():
    assert in_service(ordered=5, replicas=5, out=2) == 3
    assert in_service(ordered=3, replicas=5, out=2) == 3, "ordered away, and not removed yet"
    assert in_service(ordered=8, replicas=5, out=0) == 8
    assert in_service(ordered=4, replicas=5, out=2) == 3


def test_the_first_decision_of_an_order_is_the_one_that_is_told():
    first = follow(None, wants(3), 5, NOW)
    later = Decision(3, ScalingReason.STEADY, "3 replicas: steady")
    assert follow(first, later, 5, NOW + 60) is first
    made = planned(fleet(1, 1, 1, 1, 1), 3, order=first, decision=later)
    assert (made.decision.reason, made.decision.message[:14]) == (ScalingReason.SPARE, "5 → 3 replicas")


def test_fewer_still_are_wanted_only_once_samples_can_be_believed_again():
    first = follow(None, wants(3), 5, NOW)
    assert follow(first, wants(2), 5, NOW + EVIDENCE_SECONDS - 1) is first
    assert follow(first, wants(2), 5, NOW + EVIDENCE_SECONDS).decision.to == 2
    assert follow(first, wants(4), 5, NOW + 1).decision.to == 4
    done = follow(first, wants(3), 3, NOW + 9)
    made = planned(fleet(1, 1, 1), 3, order=follow(done, wants(2), 3, NOW + 10), decision=wants(2))
    assert (made.moves, made.decision.to, made.decision.reason) == ((), 3, ScalingReason.UNCERTAIN)


def test_an_order_that_was_carried_out_starts_anew_when_somebody_orders_more():
    done = follow(follow(None, wants(3), 5, NOW), wants(3), 3, NOW + 9)
    again = follow(done, wants(3), 5, NOW + 5000)
    assert (done.since, again.since) == (None, NOW + 5000)


def test_everything_can_be_given_back():
    replicas = change(fleet(0, 0, 1), a=DRAINED, b=DRAINING)
    assert {(replica.name, stage) for replica, stage in give_back(replicas)} == {("a", SERVING), ("b", SERVING)}
