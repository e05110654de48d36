"""Smaller batches that agents ask for: they count for the scaling law, and for nothing else."""

from dataclasses import replace

import pytest

from autoglm_operator.api.v1alpha1 import Autoscaling, Tolerance
from autoglm_operator.autoscaler.agent_state import AgentSample
from autoglm_operator.autoscaler.store import History
from autoglm_operator.decide.scaling.bounds import bounds_of
from autoglm_operator.decide.scaling.elastic import ELASTIC_PERIODS, Load, limit_of, reduce
from autoglm_operator.decide.scaling.needs import Signals
from autoglm_operator.decide.scaling.rule import Case, decide

AUTOSCALING = Autoscaling(max_replicas=8)
SIGNALS = Signals(ready=2, running=110.0, waiting=0.0, peak=110.0, evidence=60.0)


def judged(batch, ordered, signals):
    return decide(Case(AUTOSCALING, bounds_of(AUTOSCALING, 0.0, None), batch, ordered, signals))


def asked(*requests):
    history = History()
    for second, number in enumerate(requests):
        history.add_agent(AgentSample(second * 10.0, (), requested_max_num_seqs=number))
    return history.requests


@pytest.mark.parametrize(
    ("requests", "limit"),
    [
        ((16,) * ELASTIC_PERIODS, 16),
        ((16,) * (ELASTIC_PERIODS - 1), None),
        ((48, 36, 27), 48),  # the mildest: lower ones have not lasted yet
        ((16, 16, None, 16), None),
        ((16, 16, 16, None), None),
        ((64, 48, 36, 27), 48),
    ],
)
def test_a_request_counts_once_it_lasted(requests, limit):
    assert limit_of(asked(*requests), Tolerance.ELASTIC) == limit
    assert limit_of(asked(*requests), Tolerance.RECOVERY) == limit


def test_strict_leaves_the_batch_alone():
    assert limit_of(asked(16, 16, 16), Tolerance.STRICT) is None


def test_without_a_request_nothing_changes():
    reduced = reduce(64, [Load(60.0), Load(50.0)], SIGNALS)
    assert (reduced.batch, reduced.signals, reduced.sentence) == (64, SIGNALS, "")
    assert reduce(64, [Load(60.0, 80), Load(50.0)], SIGNALS).batch == 64


def test_pressure_leads_to_more_replicas():
    assert judged(64, 2, SIGNALS).to == 2
    reduced = reduce(64, [Load(60.0, 32), Load(50.0)], SIGNALS)
    assert (reduced.batch, reduced.signals.waiting, reduced.signals.running) == (48, 28.0, 82.0)
    assert reduced.signals.in_flight == SIGNALS.in_flight
    assert judged(reduced.batch, 2, reduced.signals).to == 3
    assert reduced.sentence == (
        "agents of 1 of 2 replicas ask for at most 32 requests at once under memory pressure: 48 instead of 64 count "
        "as the batch of a replica"
    )


def test_replicas_are_not_spared_at_the_cost_of_one_under_pressure():
    calm = replace(SIGNALS, ready=3, running=40.0, peak=40.0, waiting=0.0)
    assert judged(64, 3, calm).to < 3
    reduced = reduce(64, [Load(14.0, 12), Load(13.0, 12), Load(13.0, 12)], calm)
    assert judged(reduced.batch, 3, reduced.signals).to >= 3
