"""Which GPUs are sick and what the pod should do about it: a pure judgement over readings.

Three kinds of faults:

- conditions of a sample, such as a thermal slowdown: they hold once they have lasted, and end once they have been gone
  for a while, so that a figure on the edge does not flap;
- events: XID errors and new uncorrected memory errors. What a restart of the engine cures is over when the engine has
  restarted, or has proved unhurt by going on; what only a reset cures stays, because no reset happens under a running
  pod;
- fewer GPUs than expected.

Where the driver tells its recovery action, that is trusted over the table of XID errors: it knows what led to the
error, the table does not. A source that is down is no fault: losing sight of a GPU does not make it sick.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from autoglm_agent.device import GpuSample, Reading, RecoveryAction
from autoglm_agent.rules import RULES, Rule
from autoglm_agent.xid import MEANINGS, Action, Remedy, Severity, remedy

#: An event that asks for nothing is shown for this long.
_SHOWN_SECONDS: Final = 300.0
#: A restart that nobody confirms is asked for no longer: longer than six failing probes at 30 s.
_RESTART_SECONDS: Final = 300.0
#: An engine that still generates this long after an error was not hit by it; shorter than any probe takes to fail.
_UNHURT_SECONDS: Final = 10.0
#: The driver takes a moment to make up its mind after an error; until then the table decides.
_ADVICE_SECONDS: Final = 5.0
#: NVML is opened again within 15 s; a GPU that is still not there is missing.
_MISSING_SECONDS: Final = 15.0
#: A device that has not answered for an hour is forgotten, so that changes of MIG layout do not pile up.
_REMEMBERED_SECONDS: Final = 3600.0
#: A driver that spews errors must not cost memory.
_MOST_EVENTS: Final = 256


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that holds now.

    Attributes:
        gpu: UUID of the device; empty if it is the machine's.
        severity: how much it weighs.
        code: which one, such as `xid-79`.
        action: what the pod should do.
        message: what it is, with its figures, and what to do, for people.
        since: monotonic time from which it holds.
    """

    gpu: str
    severity: Severity
    code: str
    action: Action
    message: str
    since: float


def worst(faults: Iterable[Fault]) -> Action:
    """Return the strongest action that any of the faults asks for."""
    return max((fault.action for fault in faults), key=lambda action: action.rank, default=Action.NONE)


@dataclass(frozen=True, slots=True)
class Setting:
    """What the judgement needs to know besides the readings.

    Attributes:
        expected: devices that the pod has; `None` if nobody said: then as many as have been seen at once.
        sees_all: whether the source shows every device that is there; an exporter may lose the pod instead.
        engine_restarted: monotonic time at which the engine last came up again; `None` if it has not.
        engine_progressed: monotonic time at which it was last seen to generate tokens; `None` if it has not.
    """

    expected: int | None = None
    sees_all: bool = True
    engine_restarted: float | None = None
    engine_progressed: float | None = None


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of a device: when it was last seen, when the driver last asked for nothing, its memory errors."""

    seen: float
    calm: float | None
    uncorrected: int | None


@dataclass(frozen=True, slots=True)
class _Condition:
    """A rule that holds, or held a moment ago.

    Attributes:
        since: when it began to hold without a break.
        last: when it held last.
        active: whether it has lasted long enough to be a fault.
        fault: what to show.
    """

    since: float
    last: float
    active: bool
    fault: Fault


@dataclass(frozen=True, slots=True)
class _Event:
    """Something that happened: when first and last, how often, what it was and what to do about it."""

    first: float
    last: float
    count: int
    words: str
    remedy: Remedy


_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class FaultState:
    """The faults that hold now, and what is remembered between two readings.

    Attributes:
        faults: ordered by UUID and code.
        conditions: rules that hold, or did a moment ago, by UUID and code.
        events: errors that happened, by UUID and code.
        known: the devices, and the GPUs of MIG devices, by UUID.
        most: the most GPUs that were seen at once.
        short_since: from when there are fewer devices than expected; `None` if there are not.
    """

    faults: tuple[Fault, ...] = ()
    conditions: Mapping[_Key, _Condition] = field(default_factory=dict)
    events: Mapping[_Key, _Event] = field(default_factory=dict)
    known: Mapping[str, _Known] = field(default_factory=dict)
    most: int = 0
    short_since: float | None = None


def advance(state: FaultState, reading: Reading, setting: Setting, now: float) -> FaultState:
    """Return the state after a reading that ended at the monotonic time `now`."""
    conditions = _conditions(state.conditions, reading.samples, now)
    known = _known(state.known, reading.samples, now)
    events = _events(state, reading, now)
    events = {key: event for key, event in events.items() if _lasts(event, known.get(key[0]), setting, now)}
    most = max(state.most, _gpus(reading))
    wanted = most if setting.expected is None else setting.expected
    have = _gpus(reading) if setting.expected is None else len(reading.samples)
    # Without a GPU that was seen once, the source may simply not show them: a sidecar without devices, say.
    is_short = have < wanted and most > 0 and not reading.down
    short_since = (now if state.short_since is None else state.short_since) if is_short else None
    found = [condition.fault for condition in conditions.values() if condition.active]
    found += [_event_fault(key, event, known.get(key[0])) for key, event in events.items()]
    if short_since is not None and now - short_since >= _MISSING_SECONDS:
        found.append(_missing(have, wanted, setting, short_since))
    found.sort(key=lambda fault: (fault.gpu, fault.code))
    return FaultState(tuple(found), conditions, events, known, most, short_since)


def _gpus(reading: Reading) -> int:
    """Return the number of GPUs, those of MIG devices counted once."""
    return len({sample.parent_uuid or sample.uuid for sample in reading.samples})


def _missing(have: int, wanted: int, setting: Setting, since: float) -> Fault:
    message = f"{have} of {wanted} GPUs answer"
    if setting.sees_all:
        advice = "a GPU may have fallen off the bus; drain the node and look at its kernel log"
        return Fault("", Severity.CRITICAL, "gpu-missing", Action.DRAIN, f"{message}: {advice}", since)
    advice = "see whether the exporter knows this pod"
    return Fault("", Severity.WARNING, "gpu-missing", Action.NONE, f"{message}: {advice}", since)


def _known(before: Mapping[str, _Known], samples: Iterable[GpuSample], now: float) -> dict[str, _Known]:
    after = {uuid: known for uuid, known in before.items() if now - known.seen < _REMEMBERED_SECONDS}
    for sample in samples:
        for uuid in filter(None, (sample.uuid, sample.parent_uuid)):
            last = before.get(uuid, _Known(now, None, None))
            calm = now if sample.recovery_action == RecoveryAction.NONE else last.calm
            uncorrected = last.uncorrected if sample.ecc_uncorrected is None else sample.ecc_uncorrected
            after[uuid] = _Known(now, calm, uncorrected)
    return after


def _conditions(before: Mapping[_Key, _Condition], samples: Iterable[GpuSample], now: float) -> dict[_Key, _Condition]:
    """Return the conditions after a reading; those of a device that does not answer end as if they were gone."""
    holding = {(sample.uuid, rule.code): (sample, rule) for sample in samples for rule in RULES if rule.holds(sample)}
    after = {key: _held(before.get(key), *pair, now) for key, pair in holding.items()}
    for key, condition in before.items():
        if key not in after and condition.active and now - condition.last < _UNTIL[condition.fault.code]:
            after[key] = condition
    return after


_UNTIL: Final = {rule.code: rule.until for rule in RULES}


def _held(before: _Condition | None, sample: GpuSample, rule: Rule, now: float) -> _Condition:
    since = before.since if before else now
    remedy_now = rule.remedy(sample)
    message = f"{rule.words(sample)}: {remedy_now.advice}"
    fault = Fault(sample.uuid, remedy_now.severity, rule.code, remedy_now.action, message, since)
    return _Condition(since, now, now - since >= rule.after, fault)


def _events(state: FaultState, reading: Reading, now: float) -> dict[_Key, _Event]:
    """Return the events with those of the reading added."""
    events = dict(state.events)
    for key, words, what in _happened(state, reading):
        if key in events:
            events[key] = replace(events[key], last=now, count=events[key].count + 1)
        elif len(events) < _MOST_EVENTS:
            events[key] = _Event(now, now, 1, words, what)
    return events


#: The error itself asks for nothing: whether work was hit is for the XID to say that comes with it.
_UNCORRECTED: Final = Remedy(Severity.CRITICAL, Action.NONE, "watch for XID 48, 94 or 95, which says what to do")


def _happened(state: FaultState, reading: Reading) -> Iterator[tuple[_Key, str, Remedy]]:
    for each in reading.xids:
        meaning = MEANINGS.get(each.xid)
        yield (each.uuid, f"xid-{each.xid}"), f"XID {each.xid}{f', {meaning}' if meaning else ''}", remedy(each.xid)
    for sample in reading.samples:
        known, count = state.known.get(sample.uuid), sample.ecc_uncorrected
        # A counter that has fallen was reset with the driver.
        if known and known.uncorrected is not None and count is not None and count > known.uncorrected:
            yield (sample.uuid, "ecc-uncorrected"), "uncorrected memory errors", _UNCORRECTED


def _is_overruled(event: _Event, known: _Known | None) -> bool:
    """Tell whether the driver has asked for nothing since the error, where the table asks for a reset."""
    if event.remedy.action is not Action.DRAIN or known is None or known.calm is None:
        return False
    return known.calm - event.last >= _ADVICE_SECONDS


def _lasts(event: _Event, known: _Known | None, setting: Setting, now: float) -> bool:
    """Tell whether an event still counts."""
    if event.remedy.action is Action.RESTART:
        restarted = setting.engine_restarted is not None and setting.engine_restarted > event.last
        # An engine whose context the error hit generates nothing more: the error was another process's on this GPU.
        unhurt = setting.engine_progressed is not None and setting.engine_progressed - event.last >= _UNHURT_SECONDS
        return not (restarted or unhurt) and now - event.last < _RESTART_SECONDS
    if event.remedy.action is Action.DRAIN and not _is_overruled(event, known):
        return True
    return now - event.last < _SHOWN_SECONDS


def _event_fault(key: _Key, event: _Event, known: _Known | None) -> Fault:
    times = f" ({event.count} times)" if event.count > 1 else ""
    if _is_overruled(event, known):
        message = f"{event.words}{times}: the driver asks for no recovery, so the pod goes on"
        return Fault(key[0], Severity.WARNING, key[1], Action.NONE, message, event.first)
    message = f"{event.words}{times}: {event.remedy.advice}"
    return Fault(key[0], event.remedy.severity, key[1], event.remedy.action, message, event.first)
