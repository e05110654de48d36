"""`kubectl autoglm replay`: what a policy would have done with recorded traffic."""

import argparse
import json
import math
import sys
import time
from dataclasses import asdict
from typing import Final, TextIO

from autoglm_operator.cli.replay_arguments import OURS
from autoglm_operator.cli.replay_law import LawPolicy
from autoglm_simulator.replay.arrivals import make_traffic
from autoglm_simulator.replay.fluid import FluidPlant, safe_rate
from autoglm_simulator.replay.path import HpaPath
from autoglm_simulator.replay.plant import Plant, Policy
from autoglm_simulator.replay.policies import PEERS, Conditions, PolicyError, make_policy
from autoglm_simulator.replay.request.calls import calls_for
from autoglm_simulator.replay.request.plant import RequestPlant
from autoglm_simulator.replay.request.serving import Serving
from autoglm_simulator.replay.run import Result, replay
from autoglm_simulator.replay.settings import ColdStart, Fleet
from autoglm_simulator.replay.traces import TOKENS, Trace, TraceError, Window, read_trace

_DAY: Final = 86_400
_QUIET_SECONDS: Final = 2.0
"""Time after which a replay shows how far it is."""


class ReplayError(Exception):
    """The replay cannot be run: says which argument, its value and what is expected."""


def run(options: argparse.Namespace, errors: TextIO | None = None) -> str:
    """Replay as `options` say and return the text to print; notes and progress go to `errors`, or standard error.

    Raises:
        ReplayError: An argument or the trace is not good.
    """
    try:
        result = _run(options, errors or sys.stderr)
    except (TraceError, PolicyError) as error:
        raise ReplayError(str(error)) from error
    if options.output == "json":
        return json.dumps(asdict(result), indent=2) + "\n"
    return "".join(f"{name:<28}{value:.6g}\n" for name, value in asdict(result).items())


def _run(options: argparse.Namespace, errors: TextIO) -> Result:
    fleet = Fleet(
        ColdStart(_numbers("--cold-start", options.cold_start, ",", "seconds, such as 240 or 30,120,90")),
        ttft=_positive("--ttft", options.ttft),
        itl=_positive("--itl", options.itl),
    )
    mean = None if options.mean_rps is None else _positive("--mean-rps", options.mean_rps)
    trace = read_trace(options.trace, _tokens(options.tokens))
    first, last = _span(options.days, trace, errors)
    traffic = make_traffic(trace, mean, last, options.seed)
    inputs, outputs = _mix(trace.windows)
    conditions = Conditions(fleet, traffic, inputs, outputs)
    per_replica = safe_rate(fleet, inputs, outputs)
    initial = max(1, math.ceil(traffic.rate[0] / per_replica / 0.7))
    plant: Plant = FluidPlant(fleet, traffic, initial, options.seed)
    if options.fidelity == "request":
        calls = calls_for(options.trace, trace, traffic, options.seed, scaled=mean is not None)
        plant = RequestPlant(fleet, Serving(), calls, initial, options.seed)
    policy = _policy(options, conditions)
    return replay(plant, policy, traffic.rate, per_replica, first, last, _Progress(errors).show)


def _policy(options: argparse.Namespace, conditions: Conditions) -> Policy:
    if options.policy != OURS:
        if options.policy not in PEERS:
            raise ReplayError(f"--policy {options.policy}: is not known; expected {OURS}, {', '.join(PEERS)}")
        return make_policy(options.policy, options.target, conditions)
    if options.target is not None:
        raise ReplayError(f"--target {options.target}: {OURS} has no target to tune; leave it out")
    return HpaPath(LawPolicy(conditions.fleet))


def _mix(windows: tuple[Window, ...]) -> tuple[float, float]:
    """Return prompt and output tokens per request over a trace."""
    requests = sum(window.rate * window.seconds for window in windows) or 1.0
    inputs = sum(window.rate * window.seconds * window.input_tokens for window in windows) / requests
    outputs = sum(window.rate * window.seconds * window.output_tokens for window in windows) / requests
    return max(1.0, inputs), max(1.0, outputs)


def _positive(name: str, value: float) -> float:
    if not math.isfinite(value) or value <= 0:
        raise ReplayError(f"{name} {value:g}: expected a number above 0")
    return value


def _numbers(name: str, text: str, separator: str, expected: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(separator))
    except ValueError:
        numbers = ()
    if not numbers or any(not math.isfinite(number) or number < 0 for number in numbers):
        raise ReplayError(f"{name} {text}: expected {expected}")
    return numbers


def _tokens(text: str | None) -> tuple[float, float]:
    if text is None:
        return TOKENS
    numbers = _numbers("--tokens", text, ":", "prompt and output tokens, such as 1000:250")
    if len(numbers) != 2 or min(numbers) < 1:  # noqa: PLR2004 (in and out)
        raise ReplayError(f"--tokens {text}: expected prompt and output tokens of at least 1, such as 1000:250")
    return numbers[0], numbers[1]


def _span(text: str | None, trace: Trace, errors: TextIO) -> tuple[int, int]:
    """Return the first second that counts and the second after the last."""
    whole = int(trace.seconds)
    if text is None:
        return 0, whole
    expected = "two numbers of days from the start of the trace, the first smaller, such as 7:14"
    numbers = _numbers("--days", text, ":", expected)
    if len(numbers) != 2 or numbers[0] >= numbers[1]:  # noqa: PLR2004 (from and to)
        raise ReplayError(f"--days {text}: expected {expected}")
    first, last = (round(number * _DAY) for number in numbers)
    if first >= whole:
        raise ReplayError(f"--days {text}: the trace has only {trace.seconds / _DAY:.3g} days")
    if last > whole:
        end = f"{trace.seconds / _DAY:.3g}"
        counted = f"days count from 0, so {first / _DAY:g}:{end} is measured"
        errors.write(f"note: --days {text}: the trace ends after {end} days; {counted}\n")
    return first, min(last, whole)


class _Progress:
    """A line on a terminal, after a while."""

    def __init__(self, errors: TextIO) -> None:
        self._errors = errors
        self._start = time.monotonic()
        self._shown = False

    def show(self, share: float) -> None:
        """Say how much of the replay is done (0-1)."""
        if not self._errors.isatty() or (time.monotonic() - self._start < _QUIET_SECONDS and not self._shown):
            return
        self._shown = True
        done = round(share * 40)
        end = "\n" if share >= 1 else ""
        self._errors.write(f"\rreplay [{'#' * done}{'.' * (40 - done)}] {share:4.0%}{end}")
        self._errors.flush()
