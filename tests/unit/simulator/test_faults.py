import random

import pytest

from autoglm_simulator.faults import NO_FAULTS, Faults, InvalidFaultError, change


def test_fields_that_are_not_named_stay():
    faults, hang = change(Faults(error_rate=0.5), {"slowdown": 3})
    assert (faults, hang) == (Faults(error_rate=0.5, slowdown=3.0), 0.0)


def test_hang_is_an_event_not_a_state():
    assert change(NO_FAULTS, {"hang": 30}) == (NO_FAULTS, 30.0)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ([], "expected a JSON object"),
        ({"errorRate": 1.5}, r"errorRate is 1.5, expected a number from 0 to 1"),
        ({"errorRate": True}, "errorRate is True"),
        ({"slowdown": 0.5}, "slowdown is 0.5, expected a number from 1"),
        ({"hang": "long"}, "hang is 'long'"),
        ({"kvExhaustion": 1}, "kvExhaustion is 1, expected true or false"),
        ({"explode": 1}, "explode is no fault: expected hang"),
    ],
)
def test_what_is_no_fault_is_refused(body, message):
    with pytest.raises(InvalidFaultError, match=message):
        change(NO_FAULTS, body)


@pytest.mark.parametrize(("rate", "low", "high"), [(0.0, 0, 0), (0.5, 400, 600), (1.0, 1000, 1000)])
def test_errors_come_at_the_rate_asked_for(rate, low, high):
    rng = random.Random(3)
    assert low <= sum(Faults(error_rate=rate).fails(rng) for _ in range(1000)) <= high
