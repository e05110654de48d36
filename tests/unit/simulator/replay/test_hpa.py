"""The HPA's documented arithmetic, each number worked out by hand."""

import pytest

from autoglm_simulator.replay.hpa import Behavior, Rule, average_value, pods_value


@pytest.mark.parametrize(
    ("total", "target", "current", "expected"),
    [(100, 10, 5, 10), (54, 10, 5, 5), (56, 10, 5, 6), (46, 10, 5, 5), (44, 10, 5, 5), (39, 10, 5, 4), (31, 10, 0, 4)],
)
def test_average_value(total, target, current, expected):
    assert average_value(total, target, current) == expected


@pytest.mark.parametrize(
    ("mean", "ready", "ordered", "expected"),
    [
        (0.60, 4, 4, 8),  # twice the target
        (0.32, 4, 4, 4),  # within the tolerance
        (0.15, 4, 4, 2),
        (0.60, 4, 6, 8),  # the two that start count as 0: 0.4 / 0.3 = 1.33 of 6
        (0.36, 4, 6, 6),  # with the two at 0 the direction turns: nothing
        (0.60, 0, 3, 3),
    ],
)
def test_pods_value(mean, ready, ordered, expected):
    assert pods_value(mean, 0.3, ready, ordered) == expected


def test_default_behavior_doubles_or_adds_four_in_15_s():
    behavior = Behavior()
    assert behavior.apply(0, 2, 100) == 6  # 2 + 4
    assert behavior.apply(15, 6, 100) == 12  # 6 x 2


def test_default_behavior_waits_300_s_and_then_goes_down_at_once():
    behavior = Behavior()
    assert behavior.apply(0, 10, 10) == 10
    for now in range(15, 300, 15):
        assert behavior.apply(now, 10, 3) == 10
    assert behavior.apply(300, 10, 3) == 3


def test_a_rate_limit_counts_what_was_removed_in_its_period():
    behavior = Behavior(down=Rule(0, -1, 1, 120))
    assert behavior.apply(0, 10, 3) == 9
    assert behavior.apply(60, 9, 3) == 9
    assert behavior.apply(120, 9, 3) == 8


def test_an_upward_window_takes_the_least_of_it():
    behavior = Behavior(up=Rule(30, 100, 4, 60))
    assert behavior.apply(0, 4, 4) == 4
    assert behavior.apply(15, 4, 8) == 4
    assert behavior.apply(30, 4, 8) == 8
