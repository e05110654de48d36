"""Command line of the load generator."""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from typing import Final

from autoglm_bench import __version__
from autoglm_bench.client import Target
from autoglm_bench.preflight import problem
from autoglm_bench.profiles import Arrivals, Phase, spike, steady
from autoglm_bench.report import document, table
from autoglm_bench.run import Load, OnProgress, Outcome, Progress, generate
from autoglm_bench.stats import percentile

#: What a shell expects of a program that Ctrl-C ended.
_INTERRUPTED: Final = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one load and print its results; return the exit status: 1 if no request succeeded."""
    options = _parse(arguments)
    load = Load(
        target=Target(options.url, options.model, options.output_tokens),
        phases=options.phases,
        prompt_tokens=options.prompt_tokens,
        seed=options.seed,
    )
    shows_progress = sys.stderr.isatty()
    try:
        outcome = asyncio.run(_run(load, _show if shows_progress else None))
    except KeyboardInterrupt:
        return _INTERRUPTED
    if shows_progress:
        sys.stderr.write("\n")
    if isinstance(outcome, str):
        sys.stderr.write(f"autoglm-bench: {outcome}\n")
        return 1
    shown = document(load, outcome)
    sys.stdout.write(json.dumps(shown, indent=2) + "\n" if options.output == "json" else table(load, outcome))
    return _status(load, outcome)


async def _run(load: Load, on_progress: OnProgress | None) -> Outcome | str:
    return await problem(load.target) or await generate(load, on_progress)


def _status(load: Load, outcome: Outcome) -> int:
    if outcome.partial:
        return _INTERRUPTED
    if outcome.results and all(result.cause for result in outcome.results):
        last = outcome.results[-1]
        sys.stderr.write(
            f"autoglm-bench: none of {len(outcome.results)} requests to {load.target.url} succeeded; the last one: "
            f"{last.cause}, {last.detail}. Look at the engine's log.\n"
        )
        return 1
    return 0


def _show(progress: Progress) -> None:
    ttfts = sorted(result.ttft for result in progress.recent if result.ttft is not None)
    p99 = f"{1000 * percentile(ttfts, 99):.0f} ms" if ttfts else "-"
    sys.stderr.write(
        f"\r\033[K{progress.seconds:5.0f} s  sent {progress.sent}  in flight {progress.in_flight}  "
        f"failed {progress.failed}  late {progress.late}  TTFT P99 {p99}"
    )
    sys.stderr.flush()


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("autoglm-bench", description="Sends load to an OpenAI-compatible engine.")
    parser.add_argument("--version", action="version", version=__version__)
    run = parser.add_subparsers(required=True).add_parser("run", help="send one load and print its results")
    run.add_argument("--url", required=True, help="base URL of the API, such as http://autoglm-phone:8000/v1")
    run.add_argument("--model", required=True, help="served name of the model")
    run.add_argument("--profile", choices=("constant", "poisson", "spike"), default="poisson")
    run.add_argument("--rate", type=_positive, required=True, help="requests a second")
    run.add_argument("--duration", type=_positive, required=True, help="seconds")
    run.add_argument("--spike-rate", type=_positive, help="requests a second in the spike")
    run.add_argument("--spike-start", type=_positive, help="seconds until the spike")
    run.add_argument("--spike-duration", type=_positive, help="seconds that the spike lasts")
    run.add_argument("--prompt-tokens", type=_count, default=512, help="about how long a prompt is (default: 512)")
    run.add_argument("--output-tokens", type=_count, default=64, help="how long an answer is (default: 64)")
    run.add_argument("--seed", type=int, default=0, help="makes arrivals and prompts repeatable (default: 0)")
    run.add_argument("-o", "--output", choices=("json", "table"), default="table")
    options = parser.parse_args(arguments)
    try:
        options.phases = _phases(options)
    except ValueError as error:
        run.error(str(error))
    return options


def _phases(options: argparse.Namespace) -> list[Phase]:
    shape = (options.spike_rate, options.spike_start, options.spike_duration)
    if options.profile == "spike":
        if None in shape:
            raise ValueError("--profile spike needs --spike-rate, --spike-start and --spike-duration")
        return spike(options.rate, options.duration, *shape)
    if shape != (None, None, None):
        raise ValueError(f"--spike-… belongs to --profile spike; the profile is {options.profile}")
    return steady(options.rate, options.duration, Arrivals(options.profile))


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of tokens; expected 1 or more")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
