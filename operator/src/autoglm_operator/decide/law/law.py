"""The law: demand, reserve, need, and how the need becomes a number of replicas. Pure.

```
level     arrivals per second, over a minute; a jump that chance does not explain is taken at once
ahead     the level one lead later, by the model that expected it best: `forecast.py`
burst     how arrivals scatter from one second to the next, by their measured dispersion
drift     how far the level is off what was expected when a replica ordered now serves, by how far it was before
reserve   z(sigma) = sqrt(2 (price + ln(level x capacity / sigma))): a replica against the requests that it saves
price     moves with each late request, so that attainment is held at its goal whatever the model leaves out
need      (level + z sigma) / capacity: for now with its queue, at the end of the lead, and for the next period
up        at once and in full, when the need passes what is ordered by a margin
down      when the need of the last minutes was lower by one replica and the band, which keeps changes of direction few
```
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from autoglm_operator.decide.law.capacity import Capacity
from autoglm_operator.decide.law.demand import Demand
from autoglm_operator.decide.law.explain import Numbers, reason, sentence
from autoglm_operator.decide.law.forecast import BIN as BIN_SECONDS
from autoglm_operator.decide.law.forecast import DAY_BINS, NAMES
from autoglm_operator.decide.law.parameters import DAY, Parameters
from autoglm_operator.decide.law.period import BIN
from autoglm_operator.decide.law.types import Candidate, Cause, Decision, Sample, Target

_LEAST_SIGMA = 1e-6
_LEAST_EXPONENT = 0.1
_LEAST_ITL = 1e-5
"""Seconds; no engine takes a step in less, and what is learned from a smaller one is beyond all numbers."""
_LEAST_DAY = 0.05
"""Requests per second below which the price moves as at this rate."""


@dataclass
class State:
    """What the law remembers of one deployment.

    Attributes:
        capacity: What one replica carries.
        demand: What arrives.
        price: Logarithm of what a late request costs in replicas, relative to the first guess.
        band: Logarithm of the band's width over its width at first.
        direction: Of the last change: 1 up, -1 down, 0 none yet.
        ordered: Replicas asked for at the last tick; negative before the first one.
        needs: The needs of the last minutes that none later passed: time and replicas.
    """

    capacity: Capacity
    demand: Demand = field(default_factory=Demand)
    price: float = 0.0
    band: float = 0.0
    direction: int = 0
    ordered: int = -1
    needs: deque[tuple[float, float]] = field(default_factory=deque)


def decide(p: Parameters, target: Target, state: State, sample: Sample) -> Decision:
    """Return how many replicas are wanted, and remember what was seen in `state`.

    A sample that cannot be true changes nothing: neither what is ordered nor what is remembered.
    """
    if wrong := _wrong(sample):
        replicas = max(target.min_replicas, min(target.max_replicas, sample.ordered))
        return Decision(replicas, Cause.DOUBT, f"{replicas} replicas as ordered: {wrong}")
    lead = horizon(p, target.lead)
    rate = _observe(p, target, lead, state, sample)
    candidates, numbers = _candidates(p, target, lead, state, sample, rate)
    need = max(candidate.replicas for candidate in candidates)
    held = _held(p, state, sample.now, need)
    if held > need:
        candidates.append(Candidate(Cause.HOLD, held))
    candidates.sort(key=_order)
    return _move(p, target, state, sample, candidates, numbers)


def _order(candidate: Candidate) -> float:
    return -candidate.replicas


def _wrong(sample: Sample) -> str:
    """Return what is not possible in a sample; empty if nothing."""
    for name, value in (
        ("arrivals", sample.arrivals),
        ("input tokens", sample.input_tokens),
        ("output tokens", sample.output_tokens),
        ("waiting requests", sample.waiting),
        ("batch", sample.batch),
        ("prefill rate", sample.prefill_rate),
        ("ITL", sample.itl),
        ("judged requests", sample.requests),
        ("late requests", sample.late),
    ):
        if not math.isfinite(value) or value < 0:
            return f"{name} of {value:g} cannot be"
    if 0 < sample.itl < _LEAST_ITL:
        return f"ITL of {sample.itl:g} s cannot be"
    return "" if sample.seconds > 0 else f"a tick of {sample.seconds:g} s cannot be"


def _observe(p: Parameters, target: Target, lead: float, state: State, sample: Sample) -> float:
    """Take in one sample and return the requests per second of one replica."""
    demand, capacity = state.demand, state.capacity
    known = demand.periods.period
    demand.observe(p, sample.now, sample.arrivals, sample.seconds, lead)
    if demand.periods.period and not known:
        # What was late before the period was known says nothing of what a reserve is worth from now on.
        state.price = min(state.price, 0.0)
    if sample.itl > 0 and sample.batch > 0 and sample.waiting < 1:
        capacity.learn(sample.batch, sample.prefill_rate, sample.itl)
    if sample.requests > 0 and sample.input_tokens > 0:
        capacity.mix(sample.input_tokens, sample.output_tokens, min(1.0, sample.seconds / p.level_seconds))
    rate = capacity.per_replica(target.ttft, target.itl)
    if sample.requests > 0:
        # What is late on replicas with little to do is not late for want of replicas.
        blamed = sample.waiting >= 1 or sample.arrivals > p.blame_from * sample.ready * rate
        late = sample.late if blamed else 0.0
        per_day = p.late_share * max(demand.day, _LEAST_DAY) * DAY
        state.price += (late - p.late_share * sample.requests) / per_day
        state.price = max(-p.price_limit, min(p.price_limit, state.price))
    return rate


def _candidates(  # noqa: PLR0917 (what a need is made of)
    p: Parameters, target: Target, lead: float, state: State, sample: Sample, rate: float
) -> tuple[list[Candidate], Numbers]:
    demand = state.demand
    level = demand.level
    now = _for_bursts(p, state, rate, level)
    ahead = level if target.reactive else demand.models.expected(level, lead)
    later = now if target.reactive else _for_drift(p, state, rate, ahead, demand.drift)
    found = [Candidate(Cause.LOAD, now / rate)]
    if sample.waiting > 0:
        found.append(Candidate(Cause.BACKLOG, (now + sample.waiting / p.queue_seconds) / rate))
    if later > now:
        found.append(Candidate(Cause.LEAD, later / rate))
    due = 0.0 if target.reactive else demand.periods.most(0.0, lead + BIN)
    if due > level:
        sigma = math.sqrt(_scatter(p, state) * due) + _LEAST_SIGMA
        upper = due + _reserve(state.price, due, rate, sigma) * sigma
        found.append(Candidate(Cause.PERIOD, upper / rate))
    numbers = Numbers(
        level=level,
        capacity=rate,
        lead=lead,
        expected=max(level, ahead, due),
        upper=max(found[-1].replicas * rate, later, now),
        waiting=sample.waiting,
        period=demand.periods.period * BIN,
        hold=p.hold_seconds,
        as_before=NAMES[demand.models.chosen] if ahead > level else "",
    )
    return found, numbers


def need_of_start(p: Parameters, state: State, rate: float, start: float, learned: float) -> float:
    """Return the replicas, as a fraction, that the last day needed on average if a replica took `start` seconds.

    How far demand moves beyond what is expected while a replica starts is taken from how far it moves in the time that
    was learned: as in a random walk, its variance grows with time.

    Args:
        p: of the law.
        state: as learned.
        rate: requests per second that one replica carries.
        start: seconds that a replica takes to serve.
        learned: seconds that it takes at present, which the state was learned with.
    """
    lead = horizon(p, start)
    drift = state.demand.drift * lead / horizon(p, learned)
    levels = state.demand.models.bins[-DAY_BINS:] or [max(0.0, state.demand.level)]
    needed = 0.0
    for place, level in enumerate(levels):
        ahead = max(level, _between(levels, place + lead / BIN_SECONDS))
        needed += max(_for_bursts(p, state, rate, level), _for_drift(p, state, rate, ahead, drift))
    return needed / len(levels) / rate


def _between(levels: Sequence[float], place: float) -> float:
    """Return the level at a place between two bins; the last one beyond them."""
    if place >= len(levels) - 1:
        return levels[-1]
    whole = int(place)
    return levels[whole] + (levels[whole + 1] - levels[whole]) * (place - whole)


def horizon(p: Parameters, start: float) -> float:
    """Return the seconds that are looked ahead for starts that take `start` seconds."""
    return p.lead_factor * start + p.lead_more


def _scatter(p: Parameters, state: State) -> float:
    return 1.0 + p.burst_share * (state.demand.dispersion - 1.0)


def _for_bursts(p: Parameters, state: State, rate: float, level: float) -> float:
    """Return the requests per second to be ready for while `level` arrive: their bursts too."""
    sigma = math.sqrt(_scatter(p, state) * level + (p.burst_floor * level) ** 2) + _LEAST_SIGMA
    return level + _reserve(state.price, level, rate, sigma) * sigma


def _for_drift(p: Parameters, state: State, rate: float, ahead: float, drift: float) -> float:
    """Return the requests per second to be ready for where `ahead` are expected.

    `drift` is the squared relative error of that.
    """
    sigma = math.sqrt(_scatter(p, state) * ahead + p.drift_share * drift * ahead * ahead) + _LEAST_SIGMA
    return ahead + _reserve(state.price, ahead, rate, sigma) * sigma


def _reserve(price: float, level: float, rate: float, sigma: float) -> float:
    """Return the standard deviations to hold in reserve, as in the newsvendor problem."""
    return math.sqrt(2.0 * max(_LEAST_EXPONENT, price + math.log(max(1.001, level * rate / sigma))))


def _held(p: Parameters, state: State, now: float, need: float) -> float:
    """Remember a need and return the largest of the last minutes."""
    needs = state.needs
    while needs and needs[-1][1] <= need:
        needs.pop()
    needs.append((now, need))
    while needs[0][0] <= now - p.hold_seconds:
        needs.popleft()
    return needs[0][1]


def _turn(p: Parameters, state: State, ordered: int) -> None:
    """Count a change of direction of what is really ordered: an order may come late, or not at all, or from others."""
    if state.ordered >= 0 and ordered != state.ordered:
        direction = 1 if ordered > state.ordered else -1
        if direction != state.direction:
            state.band = min(p.band_limit, state.band + p.band_gain)
        state.direction = direction
    state.ordered = ordered


def _move(  # noqa: PLR0917 (what a move is made of)
    p: Parameters,
    target: Target,
    state: State,
    sample: Sample,
    candidates: list[Candidate],
    numbers: Numbers,
) -> Decision:
    ordered = sample.ordered
    top = candidates[0]
    first = candidates[1] if top.cause == Cause.HOLD else top
    state.band = max(-p.band_limit, state.band - p.band_gain * p.changes_per_day * sample.seconds / DAY)
    _turn(p, state, ordered)
    wanted, doubt = ordered, ""
    band = p.band_start * math.exp(state.band) * max(1.0, ordered / p.band_fleet) if state.direction > 0 else 0.0
    if first.replicas > ordered + p.up_margin:
        wanted = math.ceil(first.replicas - p.up_margin)
        top = first
    elif top.replicas < ordered - 1 - band and ordered > target.min_replicas:
        if sample.doubt:
            doubt = sample.doubt
        else:
            wanted = max(math.ceil(top.replicas), ordered - max(1, int(ordered * p.most_down)))
    wanted = max(target.min_replicas, min(target.max_replicas, wanted))
    if wanted == ordered and (first.replicas >= ordered - 1 - band or ordered <= target.min_replicas):
        # The need of now keeps them: nothing hangs on what was needed before.
        top = first
    because = reason(top, numbers, doubt)
    return Decision(
        wanted,
        Cause.DOUBT if doubt else top.cause,
        sentence(ordered, wanted, because),
        because=because,
        demand=numbers.level,
        capacity=numbers.capacity,
        expected=numbers.expected,
        upper=numbers.upper,
        candidates=candidates,
    )
