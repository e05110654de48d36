"""The last decisions about one deployment, each with what it was made of: pure, and JSON for a ConfigMap.

An answer that is given again is counted and not written down again. Reasons may take turns at every tick while the
number stays: such records are at most half of those that are kept, so that they never push out a change of number.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Final, Self

from pydantic import Field, TypeAdapter, ValidationError

from autoglm_operator.api.types import ApiModel, rfc3339
from autoglm_operator.decide.scaling.bounds import Bounds
from autoglm_operator.decide.scaling.needs import Signals
from autoglm_operator.decide.scaling.rule import Decision

#: Records that are kept.
MOST: Final = 100
#: Keys of the ConfigMap that they are kept in, beside what the law has learned.
DECISIONS_KEY: Final = "decisions.json"
LAW_KEY: Final = "law.json"
_MOST_UNCHANGED: Final = MOST // 2
_DIGITS: Final = 5

_Number = Annotated[float, Field(allow_inf_nan=False)]


class Inputs(ApiModel):
    """What a decision was made of. Rates are requests per second, times seconds; `None` where nothing is known.

    Attributes:
        ordered: replicas asked for when it was made.
        ready: replicas that served.
        starting: replicas that were not ready yet.
        unschedulable: replicas that no node took.
        waiting: requests in the queues.
        running: requests in the batches.
        least: fewest replicas allowed.
        most: most replicas allowed.
        bounds: where both come from.
        ttft_p99: P99 of the time to first token.
        itl_p99: P99 of the inter-token latency.
        demand: rate of arrivals.
        capacity: rate that one replica carries in a burst, at the objective.
        expected: rate when a replica ordered now would serve.
        upper: the same with its reserve.
        lead: from an order to a replica that serves.
    """

    ordered: int
    ready: int
    starting: int
    unschedulable: int
    waiting: _Number
    running: _Number
    least: int
    most: int
    bounds: str
    ttft_p99: Annotated[_Number | None, Field(alias="ttftP99")] = None
    itl_p99: Annotated[_Number | None, Field(alias="itlP99")] = None
    demand: _Number | None = None
    capacity: _Number | None = None
    expected: _Number | None = None
    upper: _Number | None = None
    lead: _Number | None = None

    @classmethod
    def of(cls, ordered: int, signals: Signals, bounds: Bounds, decision: Decision) -> Self:
        """Return what `decision` was made of."""
        forecast = decision.forecast
        known = {} if forecast is None else {name: _short(value) for name, value in asdict(forecast).items()}
        return cls(
            ordered=ordered,
            ready=signals.ready,
            starting=signals.starting,
            unschedulable=signals.unschedulable,
            waiting=_short(signals.waiting),
            running=_short(signals.running),
            least=bounds.least,
            most=bounds.most,
            bounds=bounds.why,
            ttft_p99=None if signals.ttft is None else _short(signals.ttft.p99),
            itl_p99=None if signals.itl is None else _short(signals.itl.p99),
            **known,
        )


class Candidate(ApiModel):
    """What one cause asks for, in replicas as a fraction."""

    cause: str
    replicas: _Number


class Record(ApiModel):
    """One decision.

    Attributes:
        time: at which it was made, such as 2026-11-21T14:58:00Z.
        last: the same, at which it was last made again.
        repeated: how often it was made again.
        from_: replicas asked for before.
        to: replicas asked for since.
        reason: as in the status.
        sentence: the same in words and numbers.
        candidates: the largest first.
        inputs: what it was made of.
        traceparent: W3C reference of its span, if it is traced.
    """

    time: str
    last: str
    repeated: int = 0
    from_: Annotated[int, Field(alias="from")]
    to: int
    reason: str
    sentence: str
    candidates: tuple[Candidate, ...] = ()
    inputs: Inputs
    traceparent: str | None = None

    @property
    def answer(self) -> tuple[int, str, str]:
        """Number, reason and the cause that asks for most: what makes a decision another one."""
        return self.to, self.reason, self.candidates[0].cause if self.candidates else ""

    def again(self, last: str, times: int = 1) -> Self:
        """Return the record of the same decision, made again until `last`."""
        return self.model_copy(update={"last": last, "repeated": self.repeated + times})


_RECORDS: Final = TypeAdapter(list[Record])


@dataclass(slots=True)
class Ring:
    """The last records.

    Attributes:
        records: the newest last, at most `MOST`.
    """

    records: list[Record] = field(default_factory=list)

    def note(self, decision: Decision, look: Callable[[], Inputs], now: float) -> Record | None:
        """Take in the decision of one tick; return its record, or `None` if it is no news.

        Args:
            decision: of this tick.
            look: returns what it was made of; not asked for what is no news.
            now: Unix time.
        """
        time = rfc3339(now)
        last = self.records[-1] if self.records else None
        cause = decision.candidates[0][0] if decision.candidates else ""
        if last is not None and last.answer == (decision.to, decision.reason.value, cause):
            self.records[-1] = last.again(time)
            return None
        inputs = look()
        made = Record(
            time=time,
            last=time,
            from_=inputs.ordered if last is None else last.to,
            to=decision.to,
            reason=decision.reason.value,
            sentence=decision.message,
            candidates=tuple(
                Candidate(cause=name, replicas=_short(replicas)) for name, replicas in decision.candidates
            ),
            inputs=inputs,
            traceparent=decision.traceparent,
        )
        self.records.append(made)
        self._forget()
        return made

    def take(self, stored: Iterable[Record]) -> None:
        """Put what was written before one's own; for the time that both are about, what was written stays."""
        known = list(stored)
        written = {(record.time, record.answer) for record in known}
        for record in self.records:
            last = known[-1] if known else None
            if last is not None and record.answer == last.answer:
                if (record.last, record.repeated) > (last.last, last.repeated):
                    # The same decision, which went on. Ticks that both counted are counted once.
                    more = record.repeated + 1 if record.time > last.last else max(0, record.repeated - last.repeated)
                    known[-1] = last.again(record.last, more)
            elif last is None or (record.time >= last.last and (record.time, record.answer) not in written):
                known.append(record)
        self.records = known
        self._forget()

    def drop(self, before: float) -> None:
        """Drop what was last decided before that Unix time; the last record stays."""
        time = rfc3339(before)
        while len(self.records) > 1 and self.records[0].last < time:
            del self.records[0]

    def _forget(self) -> None:
        """Drop the oldest beyond those kept: of those that changed no number, as long as they are the more."""
        while len(self.records) > MOST:
            unchanged = [place for place, record in enumerate(self.records[:-1]) if record.from_ == record.to]
            del self.records[unchanged[0] if len(unchanged) > _MOST_UNCHANGED else 0]

    def documents(self) -> list[dict[str, Any]]:
        """Return the records as JSON, the oldest first."""
        return [record.model_dump(by_alias=True, exclude_none=True) for record in self.records]


def config_name(deployment: str) -> str:
    """Return the name of the ConfigMap of `deployment`."""
    return f"{deployment}-autoscaling"


def parse(documents: object) -> list[Record]:
    """Return the records that were stored, the oldest first.

    Raises:
        ValueError: it is no list of records; the message says where.
    """
    try:
        return _RECORDS.validate_python(documents)[-MOST:]
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{where or 'decisions'}: {first['msg']}") from error


def _short(value: float) -> float:
    """Return `value` with fewer digits; what is no number, or becomes none by that, as 0."""
    short = float(f"{value:.{_DIGITS}g}")
    return short if math.isfinite(short) else 0.0
