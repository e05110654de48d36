"""The command line: its flags, and what they have to be."""

import argparse
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from autoglm_bench import __version__
from autoglm_bench.figures import objectives
from autoglm_bench.load import lengths
from autoglm_bench.load.arrivals import DEFAULT_BURSTINESS
from autoglm_bench.load.screenshot import parse_size
from autoglm_bench.places import DEFAULT_REGION, is_bucket

#: profile → the flags that it needs, and those that it may have.
PROFILES: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "constant": (("rate", "duration"), ()),
    "poisson": (("rate", "duration"), ()),
    "gamma": (("rate", "duration"), ("burstiness",)),
    "step": (("rates", "duration"), ()),
    "ramp": (("rate", "end_rate", "duration"), ()),
    "spike": (("rate", "duration", "spike_rate", "spike_start", "spike_duration"), ()),
    "concurrency": (("concurrency", "duration"), ()),
    "trace": (("trace",), ("speed", "duration")),
    "find-limit": (("rate", "duration", "objective"), ("highest_rate",)),
}
WORKLOADS: Final = ("text", "phone-agent")
#: Flags of a profile: each belongs to some and is refused with the others.
_OF_PROFILES: Final = tuple(
    dict.fromkeys(flag for needed, allowed in PROFILES.values() for flag in (*needed, *allowed) if flag != "objective")
)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    whole = argparse.ArgumentParser("autoglm-bench", description="Load tests of OpenAI-compatible engines.")
    whole.add_argument("--version", action="version", version=__version__)
    commands = whole.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="send one load and print its results")
    _target(run)
    _profile(run)
    _workload(run)
    _measures(run)
    _in_job(run)
    run.add_argument("-o", "--output", choices=("table", "json", "markdown", "html"), default="table")
    run.add_argument("--save", type=Path, metavar="FILE", help="write the result as JSON to a file as well")
    compare = commands.add_parser("compare", help="say whether two runs differ")
    compare.add_argument("a", type=Path, metavar="A.json", help="the baseline")
    compare.add_argument("b", type=Path, metavar="B.json")
    compare.add_argument("-o", "--output", choices=("table", "json", "markdown"), default="table")
    compare.add_argument(
        "--fail-on", choices=("never", "worse", "difference"), default="never", help="when the exit status is 1"
    )
    report = commands.add_parser("report", help="make a report of a result")
    report.add_argument("run", type=Path, metavar="RUN.json")
    report.add_argument("-o", "--output", choices=("html", "markdown", "table"), default="html")
    report.add_argument("--save", type=Path, metavar="FILE", help="default: RUN.html for HTML, else standard output")
    return whole


def _target(run: argparse.ArgumentParser) -> None:
    group = run.add_argument_group("target", "AUTOGLM_API_KEY in the environment is sent as a bearer token")
    group.add_argument("--url", required=True, help="base URL of the API, such as http://autoglm-phone:8000/v1")
    group.add_argument("--model", required=True, help="served name of the model")
    group.add_argument("--timeout", type=positive, default=300.0, help="seconds until a request is given up (300)")
    group.add_argument(
        "--reuse-connections",
        action="store_true",
        help="keep connections open; by default each request has its own, so that a Service spreads them over its pods",
    )


def _profile(run: argparse.ArgumentParser) -> None:
    group = run.add_argument_group("load")
    group.add_argument("--profile", choices=tuple(PROFILES), default="poisson", help="shape of the load (poisson)")
    group.add_argument("--rate", type=positive, help="sessions a second; find-limit begins with it")
    group.add_argument("--duration", type=positive, help="seconds; of each trial for find-limit")
    group.add_argument("--burstiness", type=positive, help=f"gamma: coefficient of variation ({DEFAULT_BURSTINESS:g})")
    group.add_argument("--rates", type=rates, metavar="R,R,…", help="step: rates, each for the same part of the time")
    group.add_argument("--end-rate", type=positive, help="ramp: rate at the end")
    group.add_argument("--spike-rate", type=positive, help="spike: rate in the spike")
    group.add_argument("--spike-start", type=positive, help="spike: seconds until the spike")
    group.add_argument("--spike-duration", type=positive, help="spike: seconds that it lasts")
    group.add_argument("--concurrency", type=count, help="concurrency: users, each waits for its answer")
    group.add_argument("--trace", type=Path, metavar="FILE", help="trace: Azure's CSV or Mooncake's .jsonl")
    group.add_argument("--speed", type=positive, help="trace: 2 plays it twice as fast (1)")
    group.add_argument("--highest-rate", type=positive, help="find-limit: where the search ends (1000)")
    group.add_argument("--seed", type=int, default=0, help="makes arrivals and requests repeatable (0)")


def _workload(run: argparse.ArgumentParser) -> None:
    group = run.add_argument_group(
        "workload", "LENGTHS: 512, uniform:100,900, normal:512,128, lognormal:512,0.6 or exponential:512"
    )
    group.add_argument("--workload", choices=WORKLOADS, help="made text, or the loop of the phone agent (text)")
    group.add_argument("--requests", type=Path, metavar="FILE", help="own requests: lines with messages or prompt")
    group.add_argument("--prompt-tokens", type=token_lengths, metavar="LENGTHS", help="new text of each request (512)")
    group.add_argument("--output-tokens", type=token_lengths, metavar="LENGTHS", help="answers (64)")
    group.add_argument("--turns", type=token_lengths, metavar="LENGTHS", help="requests of a session (1)")
    group.add_argument("--think-time", type=not_negative, help="mean seconds between answer and next request (0)")
    group.add_argument("--prefix-tokens", type=count, help="length of a system prompt that sessions share (none)")
    group.add_argument("--prefixes", type=count, help="number of different system prompts (1)")
    group.add_argument("--image", type=of(parse_size), metavar="WxH", help="a screenshot in each request (none)")
    group.add_argument(
        "--natural-end",
        action="store_true",
        help="the model ends its answers, at the latest at --output-tokens; by default they have exactly that length",
    )


def _measures(run: argparse.ArgumentParser) -> None:
    group = run.add_argument_group("measures")
    group.add_argument(
        "--objective",
        type=of(objectives.parse),
        action="append",
        default=[],
        help="such as ttft_p99=2s; may be repeated",
    )
    group.add_argument(
        "--expected", type=Path, metavar="FILE", help="expected answers to --requests: lines of id and answer"
    )
    group.add_argument("--judge-url", help="base URL of a model that grades the answers; default: exact match")
    group.add_argument("--judge-model", help="its served name")
    group.add_argument(
        "--metrics-url", action="append", default=[], help="an engine's metrics, for the latency split; may be repeated"
    )
    group.add_argument(
        "--agent-url",
        action="append",
        default=[],
        help="a GPU agent's /state or /metrics, for memory and energy; may be repeated",
    )
    group.add_argument("--otlp-endpoint", default="", help="collector for a span of each request, by OTLP over HTTP")


def _in_job(run: argparse.ArgumentParser) -> None:
    group = run.add_argument_group("as a Job", "how an AutoGLMBenchmark runs it")
    group.add_argument(
        "--report-dir",
        metavar="PLACE",
        help="write result.json, report.html and report.md to a folder, or to s3://BUCKET/PREFIX with the key pair in "
        "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    )
    group.add_argument("--baseline", metavar="PLACE", help="compare with the run whose --report-dir this was")
    group.add_argument("--s3-endpoint", metavar="URL", help="of a server that speaks S3's API; default: AWS's own")
    group.add_argument("--s3-region", metavar="NAME", help=f"that requests to it are signed for ({DEFAULT_REGION})")
    group.add_argument("--last-word", type=Path, metavar="FILE", help="write verdict and figures in 4 KiB")
    group.add_argument(
        "--progress", choices=("text", "json"), default="text", help="lines of JSON tell a program how far it is (text)"
    )


def check(options: argparse.Namespace) -> None:
    """Check what flags have to be together.

    Raises:
        ValueError: they do not fit; the message names the flag, its value and what is expected.
    """
    needed, allowed = PROFILES[options.profile]
    for name in needed:
        if getattr(options, name) in (None, []):
            flags = " and ".join(_flag(flag) for flag in needed)
            raise ValueError(f"--profile {options.profile} needs {flags}; {_flag(name)} is missing")
    for name in _OF_PROFILES:
        if getattr(options, name) is not None and name not in (*needed, *allowed):
            owners = ", ".join(profile for profile, parts in PROFILES.items() if name in (*parts[0], *parts[1]))
            value = getattr(options, name)
            raise ValueError(f"{_flag(name)} {value} belongs to --profile {owners}; the profile is {options.profile}")
    if options.profile == "find-limit" and (options.highest_rate or math.inf) < options.rate:
        raise ValueError(
            f"--highest-rate {options.highest_rate:g} is below --rate {options.rate:g}, where the search begins"
        )
    _check_workload(options)
    _check_judge(options)
    in_buckets = any(is_bucket(text or "") for text in (options.report_dir, options.baseline))
    for name in ("s3_endpoint", "s3_region"):
        if getattr(options, name) is not None and not in_buckets:
            raise ValueError(
                f"{_flag(name)} {getattr(options, name)} needs --report-dir or --baseline s3://BUCKET/PREFIX"
            )


def _check_workload(options: argparse.Namespace) -> None:
    made = ("workload", "prompt_tokens", "turns", "think_time", "prefix_tokens", "prefixes", "image")
    if options.requests:
        for name in made:
            if getattr(options, name) is not None:
                raise ValueError(f"{_flag(name)} {getattr(options, name)} shapes made text; --requests brings its own")
        if options.output_tokens is not None and options.output_tokens.kind != "fixed":
            raise ValueError(f"--output-tokens {options.output_tokens}: with --requests expected one number, the most")
    if options.prefixes is not None and options.prefix_tokens is None and options.workload != "phone-agent":
        raise ValueError(f"--prefixes {options.prefixes} needs --prefix-tokens")
    if options.think_time is not None and options.turns is None and options.workload != "phone-agent":
        raise ValueError(
            f"--think-time {options.think_time:g} needs --turns: it lies between the requests of a session"
        )
    if options.trace and options.requests:
        raise ValueError(f"--requests {options.requests} with --profile trace: a trace brings its own lengths")
    if options.trace and (options.prompt_tokens or options.output_tokens) and not options.turns:
        given = "--prompt-tokens" if options.prompt_tokens else "--output-tokens"
        raise ValueError(f"{given} with --profile trace: a trace brings its own lengths")


def _check_judge(options: argparse.Namespace) -> None:
    if options.expected and not options.requests:
        raise ValueError(f"--expected {options.expected} needs --requests: made text has no right answer")
    if options.expected and not options.natural_end:
        raise ValueError(
            f"--expected {options.expected} needs --natural-end: an answer of forced length is never right"
        )
    if bool(options.judge_url) != bool(options.judge_model):
        raise ValueError("--judge-url and --judge-model belong together; one is missing")
    if options.judge_url and not options.expected:
        raise ValueError(f"--judge-url {options.judge_url} needs --expected: a judge compares with it")


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def of(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return a type of argparse whose errors are told in the words of `parse`."""

    def read(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return read


token_lengths = of(lengths.parse)


def positive(text: str) -> float:
    """Read a number above 0."""
    number = _number(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def not_negative(text: str) -> float:
    """Read a number of 0 or more."""
    number = _number(text)
    if not 0 <= number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number; expected 0 or more")
    return number


def count(text: str) -> int:
    """Read a whole number of 1 or more."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number; expected 1 or more")
    return int(text)


def rates(text: str) -> Sequence[float]:
    """Read rates with commas between them."""
    found = [_number(part) for part in text.split(",")]
    if not found or not all(0 <= rate < math.inf for rate in found) or len(set(found)) < len(found):
        raise argparse.ArgumentTypeError(f"{text!r}: expected different rates of 0 or more, such as 2,5,10")
    return found


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
