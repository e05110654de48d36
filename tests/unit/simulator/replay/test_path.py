from autoglm_simulator.replay.path import HpaPath
from autoglm_simulator.replay.plant import Observation


class Wish:
    period = 5
    lag = 5

    def __init__(self, answers):
        self._answers = iter(answers)

    def decide(self, seen):
        return next(self._answers)


def observed(now, ordered):
    measured = dict.fromkeys(Observation.__dataclass_fields__, 0.0)
    return Observation(**(measured | {"now": float(now), "seconds": 5.0, "ordered": ordered, "ready": ordered}))


def orders(answers, ordered):
    path = HpaPath(Wish(answers))
    found = []
    for number in range(len(answers)):
        ordered = path.decide(observed(5 * (number + 1), ordered))
        found.append(ordered)
    return found


def test_more_is_written_at_once():
    assert orders([4, 9, 30], 4) == [4, 9, 30]


def test_fewer_come_when_every_sync_of_a_minute_asked_for_fewer():
    found = orders([6] * 6 + [4] * 24, 6)
    first = found.index(4)
    # The last answer of 6 at a sync was at 30 s; the window of the sync at 90 s no longer has it.
    assert 5 * (first + 1) == 90
    assert found[first:] == [4] * (len(found) - first)


def test_one_larger_answer_at_a_sync_keeps_the_replicas_for_a_minute_more():
    answers = [6] * 6 + [4] * 6 + [6] * 3 + [4] * 20
    assert 5 * (orders(answers, 6).index(4) + 1) == 75 + 60


def test_what_is_larger_for_a_moment_counts_only_at_a_sync():
    answers = [6] * 6 + [4] * 4 + [5] + [4] * 20
    assert orders(answers, 6).index(4) == orders([6] * 6 + [4] * 24, 6).index(4)
