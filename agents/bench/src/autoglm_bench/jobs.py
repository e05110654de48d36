"""From the options to the job that they ask for."""

import argparse
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from autoglm_bench.files import read_lines
from autoglm_bench.load import lines, traces
from autoglm_bench.load.arrivals import DEFAULT_BURSTINESS, Arrivals, Phase, ramp, spike, steady, steps
from autoglm_bench.load.lengths import fixed
from autoglm_bench.load.plan import ClosedLoop, Plan, Search
from autoglm_bench.load.workload import PHONE_AGENT, Made, MadeWorkload, Workload
from autoglm_bench.run import Job
from autoglm_bench.wire.addresses import Endpoint
from autoglm_bench.wire.chat import Target
from autoglm_bench.wire.reading import Judge

API_KEY: Final = "AUTOGLM_API_KEY"
_HIGHEST_RATE: Final = 1000.0
_OUTPUT_TOKENS: Final = 64


def job(options: argparse.Namespace, environment: Mapping[str, str]) -> Job:
    """Return the job.

    Raises:
        ValueError: something does not fit; the message names the flag, its value and what is expected.
        FileError: a file cannot be read.
    """
    key = environment.get(API_KEY, "")
    try:
        Endpoint(options.url)
    except ValueError as error:
        raise ValueError(f"--url: {error}") from error
    expected = None
    if options.expected:
        expected = lines.read_answers(str(options.expected), read_lines("--expected", options.expected))
    workload = _workload(options, expected)
    return Job(
        target=Target(options.url, options.model, options.timeout, key, options.reuse_connections),
        plan=_plan(options, workload),
        objectives=options.objective,
        expected=expected,
        judge=Judge(options.judge_url, options.judge_model, key) if options.judge_url else None,
        metrics_urls=options.metrics_url,
        agent_urls=options.agent_url,
        otlp_endpoint=options.otlp_endpoint,
    )


def _plan(options: argparse.Namespace, workload: Workload) -> Plan:
    plan = Plan(options.profile, workload, options.seed)
    if options.profile == "concurrency":
        return replace(plan, closed=ClosedLoop(options.concurrency, options.duration))
    if options.profile == "find-limit":
        return replace(plan, search=Search(options.rate, options.highest_rate or _HIGHEST_RATE, options.duration))
    if options.profile == "trace":
        text = read_lines("--trace", options.trace)
        seconds = options.duration or float("inf")
        return replace(plan, trace=traces.read(options.trace.name, text, options.speed or 1.0, seconds))
    return replace(plan, phases=_phases(options))


def _phases(options: argparse.Namespace) -> list[Phase]:
    if options.profile == "step":
        return steps(options.rates, options.duration)
    if options.profile == "ramp":
        return ramp(options.rate, options.end_rate, options.duration)
    if options.profile == "spike":
        shape = (options.spike_rate, options.spike_start, options.spike_duration)
        return spike(options.rate, options.duration, *shape)
    burstiness = options.burstiness or DEFAULT_BURSTINESS
    return steady(options.rate, options.duration, Arrivals(options.profile), burstiness)


def _workload(options: argparse.Namespace, expected: Mapping[str, str] | None) -> Workload:
    if options.requests:
        found = lines.read_lines(str(options.requests), read_lines("--requests", options.requests))
        if expected and (unknown := sorted(expected.keys() - {line.id for line in found})):
            raise ValueError(
                f"--expected {options.expected} has the id {unknown[0]!r}, which no request in {options.requests} has"
            )
        most = int(options.output_tokens.numbers[0]) if options.output_tokens else _OUTPUT_TOKENS
        return lines.LinesWorkload(found, most, natural_end=options.natural_end, keeps_text=bool(expected))
    base = PHONE_AGENT if options.workload == PHONE_AGENT.name else Made(output_tokens=fixed(_OUTPUT_TOKENS))
    given = {
        "prompt_tokens": options.prompt_tokens,
        "output_tokens": options.output_tokens,
        "turns": options.turns,
        "think_seconds": options.think_time,
        "prefix_tokens": options.prefix_tokens,
        "prefixes": options.prefixes,
        "image": options.image,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    return MadeWorkload(replace(base, natural_end=options.natural_end, **changes), options.seed)
