import json

import pytest

from autoglm_operator.decide.scaling.bounds import Bounds
from autoglm_operator.decide.scaling.history import MOST, Inputs, Ring, config_name, parse
from autoglm_operator.decide.scaling.needs import ScalingReason, Signals, Tail
from autoglm_operator.decide.scaling.rule import Decision, Forecast

NOW = 1_700_000_000.0
BOUNDS = Bounds(1, 8, "minReplicas is 1 and maxReplicas 8")
SIGNALS = Signals(
    ready=3, starting=1, unschedulable=2, waiting=28.0, running=16.123456789, ttft=Tail(0.8123456, 40), itl=None
)
FORECAST = Forecast(demand=12.3, capacity=4.1, expected=13.0, upper=15.2, lead=95.0)


def decision(to=5, reason=ScalingReason.QUEUE, cause="QueueBacklog", **parts):
    candidates = ((cause, 4.71), ("Load", 3.0)) if cause else ()
    return Decision(to, reason, f"3 → {to} replicas: 28 requests wait", candidates=candidates, **parts)


def inputs(ordered=3, made=None):
    return Inputs.of(ordered, SIGNALS, BOUNDS, made or decision())


def noted(*decisions, ordered=3):
    ring = Ring()
    for place, made in enumerate(decisions):
        ring.note(made, lambda made=made: inputs(ordered, made), NOW + 5 * place)
    return ring


def test_a_record_holds_what_the_decision_was_made_of():
    traced = decision(forecast=FORECAST, traceparent="00-" + "ab" * 16 + "-" + "cd" * 8 + "-01")
    (record,) = noted(traced).documents()
    assert record == {
        "time": "2023-11-14T22:13:20Z",
        "last": "2023-11-14T22:13:20Z",
        "repeated": 0,
        "from": 3,
        "to": 5,
        "reason": "QueueBacklog",
        "sentence": "3 → 5 replicas: 28 requests wait",
        "candidates": ({"cause": "QueueBacklog", "replicas": 4.71}, {"cause": "Load", "replicas": 3.0}),
        "inputs": {
            "ordered": 3,
            "ready": 3,
            "starting": 1,
            "unschedulable": 2,
            "waiting": 28.0,
            "running": 16.123,
            "least": 1,
            "most": 8,
            "bounds": "minReplicas is 1 and maxReplicas 8",
            "ttftP99": 0.81235,
            "demand": 12.3,
            "capacity": 4.1,
            "expected": 13.0,
            "upper": 15.2,
            "lead": 95.0,
        },
        "traceparent": traced.traceparent,
    }


def test_the_same_answer_is_counted():
    ring = noted(decision(), decision(), decision())
    (record,) = ring.records
    assert (record.time, record.last, record.repeated) == ("2023-11-14T22:13:20Z", "2023-11-14T22:13:30Z", 2)


@pytest.mark.parametrize(
    "other",
    [
        decision(to=6),
        decision(reason=ScalingReason.LATENCY),
        decision(cause="ColdStartLead"),
        decision(cause=""),
    ],
)
def test_another_number_reason_or_cause_is_another_decision(other):
    ring = noted(decision(), other)
    assert [record.from_ for record in ring.records] == [3, 5]
    assert ring.records[1].to == other.to


def test_a_decision_is_told_from_a_repetition():
    ring = Ring()
    assert ring.note(decision(), inputs, NOW).to == 5
    assert ring.note(decision(), inputs, NOW + 5) is None


def test_the_ring_keeps_the_last_hundred():
    ring = noted(*(decision(to=place) for place in range(MOST + 7)))
    assert [record.to for record in ring.records] == list(range(7, MOST + 7))


def test_reasons_that_take_turns_do_not_push_out_changes_of_number():
    changes = [decision(to=place) for place in range(40)]
    turns = [decision(to=39, cause=("Load", "ColdStartLead")[place % 2]) for place in range(300)]
    ring = noted(*changes, *turns)
    assert len(ring.records) == MOST
    assert [record.to for record in ring.records if record.from_ != record.to] == list(range(40))
    # The newest of the others are kept, in order.
    assert ring.records[-1].time == max(record.time for record in ring.records)


def test_json_there_and_back():
    ring = noted(decision(forecast=FORECAST), decision(to=2, cause=""), decision(to=2, cause=""))
    stored = json.dumps(ring.documents())
    assert parse(json.loads(stored)) == ring.records


@pytest.mark.parametrize(
    ("stored", "where"),
    [
        ({}, "decisions"),
        ("none", "decisions"),
        ([{"time": "t"}], "0.last"),
        ([1], "0"),
        (
            [noted(decision()).documents()[0] | {"candidates": [{"cause": "Load", "replicas": float("nan")}]}],
            "replicas",
        ),
        ([noted(decision()).documents()[0] | {"to": "many"}], "0.to"),
    ],
)
def test_what_is_not_a_list_of_records_is_refused(stored, where):
    with pytest.raises(ValueError, match=where):
        parse(stored)


def test_fields_of_another_version_are_passed_over():
    (document,) = noted(decision()).documents()
    (record,) = parse([document | {"mood": "fine", "inputs": document["inputs"] | {"tide": 3}}])
    assert record == noted(decision()).records[0]


def test_more_than_are_kept_are_cut_when_read():
    document = noted(decision()).documents()[0]
    assert len(parse([document] * (MOST + 5))) == MOST


def test_the_records_of_another_process_come_first():
    other = noted(decision(to=5), decision(to=6))
    own = Ring()
    # The same two, seen 2 s later, and one that the other did not live to see.
    own.note(decision(to=5), inputs, NOW + 2)
    own.note(decision(to=6), inputs, NOW + 4)
    own.note(decision(to=7), inputs, NOW + 60)
    own.take(other.records)
    assert [(record.to, record.time[-3:]) for record in own.records] == [(5, "20Z"), (6, "25Z"), (7, "20Z")]


def test_a_decision_that_went_on_is_one_record():
    other, own = noted(decision(to=5)), Ring()
    for seconds in (60, 65, 70):
        own.note(decision(to=5), inputs, NOW + seconds)
    own.take(other.records)
    (record,) = own.records
    assert (record.time[-3:], record.last[-6:], record.repeated) == ("20Z", "14:30Z", 3)


def test_the_config_map_bears_the_name_of_the_deployment():
    assert config_name("phone") == "phone-autoscaling"


def test_what_was_written_twice_is_there_once():
    own = noted(decision(to=5), decision(to=6), decision(to=6))
    written = list(own.records)
    own.take(written)
    assert own.records == written
    own.note(decision(to=6), inputs, NOW + 60)
    own.note(decision(to=7), inputs, NOW + 65)
    own.take(written)
    assert [(record.to, record.repeated) for record in own.records] == [(5, 0), (6, 2), (7, 0)]


def test_what_is_long_over_is_dropped_and_the_last_stays():
    own = noted(decision(to=5), decision(to=6), decision(to=7))
    own.drop(NOW + 6)
    assert [record.to for record in own.records] == [7]
    own.drop(NOW + 600)
    assert [record.to for record in own.records] == [7]
