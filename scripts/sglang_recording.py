"""Write tests/prometheus/recordings/: what SGLang's own metric collectors expose, without a GPU.

The classes are SGLang's; the load is made up here: requests with times and lengths drawn from a seeded generator. So
names, types, labels and buckets of the recording are those of the release, and its values mean nothing. Everything
else that the collectors' module imports is replaced by empty stand-ins. Two recordings, some minutes of load apart,
let a replay go on at the rate between them. Run it in an environment with msgspec and prometheus-client:

    pip download --no-deps sglang==0.5.23 && unzip sglang-0.5.23-*.whl -d wheel
    uv run --no-project --with msgspec --with prometheus-client scripts/sglang_recording.py wheel 0.5.23
"""

import argparse
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import random
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

from prometheus_client import REGISTRY, generate_latest

OUTPUT = Path(__file__).resolve().parents[1] / "tests/prometheus/recordings"
_REAL = {"metrics_collector", "utils", "scheduler_stage_metrics"}
_TOKENIZER = {"model_name": "autoglm-phone-9b", "engine_type": "unified"}
_SCHEDULER = {**_TOKENIZER, "tp_rank": "0", "pp_rank": "0", "moe_ep_rank": "0"}
#: As in SGLang's server_args.py 0.5.23; the collector is given them.
_TTFT = [0.1, 0.2, 0.4, 0.6, 0.8, 1, 2, 4, 6, 8, 10, 20, 40, 60, 80, 100, 200, 400]
_E2E = [*_TTFT, 600, 1200, 1800, 2400]
_ITL = [
    0.002, 0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.025, 0.03, 0.035, 0.04, 0.06, 0.08, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 2,
    4, 6, 8,
]  # fmt: skip
REQUESTS = 300


class Unset:
    """A group of settings of which none is set, but for the one that has a default in number."""

    prefill_delayer_max_delay_passes = 30

    def __getattr__(self, name: str) -> None:
        """Return what an option that was not given is."""


class StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives an empty module for every other part of SGLang."""

    def __init__(self, wheel: Path) -> None:
        self._folder = wheel / "sglang/srt/observability"

    def find_spec(self, name: str, path: Sequence[str] | None, target: Any = None) -> Any:
        """Return SGLang's own module where it is wanted, a stand-in for the rest of it, and nothing for others."""
        del path, target
        last = name.rpartition(".")[2]
        if name == f"sglang.srt.observability.{last}" and last in _REAL:
            return importlib.util.spec_from_file_location(name, self._folder / f"{last}.py")
        if name.partition(".")[0] == "sglang":
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        """Return the stand-in: whatever is asked of it is there."""

        class Module(types.ModuleType):
            def __getattr__(self, name: str) -> Any:
                if name.startswith("__"):
                    raise AttributeError(name)
                if name[0].isupper():
                    return MagicMock()  # a class
                return MagicMock(return_value=False if name == "get_bool_env_var" else Unset())

        return Module(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Do nothing."""


def main() -> None:
    """Record twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path, help="the unpacked wheel")
    parser.add_argument("version")
    arguments = parser.parse_args()
    sys.meta_path.insert(0, StandIns(arguments.wheel.resolve()))
    collectors = importlib.import_module("sglang.srt.observability.metrics_collector")
    scheduler = collectors.SchedulerMetricsCollector(_SCHEDULER, MagicMock())
    tokenizer = collectors.TokenizerMetricsCollector(MagicMock(), dict(_TOKENIZER), _TTFT, _ITL, _E2E)
    scheduler.emit_constants(
        max_total_num_tokens=400_000,
        max_total_num_tokens_swa=None,
        weight_memory_usage_gb=19.2,
        kv_cache_memory_usage_gb=44.0,
        graph_memory_usage_gb={"decode": 0.8},
        max_running_requests_under_SLO=None,
        page_size=1,
        num_pages=400_000,
        context_len=25_480,
        startup_available_gpu_memory_gb=10.5,
    )
    OUTPUT.mkdir(parents=True, exist_ok=True)
    chance = random.Random(7)
    for number in (1, 2):
        load(collectors, scheduler, tokenizer, chance)
        (OUTPUT / f"sglang-{arguments.version}-{number}.txt").write_text(exposition())


def load(collectors: Any, scheduler: Any, tokenizer: Any, chance: random.Random) -> None:
    """Make the collectors count some requests."""
    for _ in range(REQUESTS):
        first, tokens, prompt = chance.lognormvariate(-1.2, 0.6), chance.randint(20, 200), chance.randint(200, 4000)
        pace = chance.lognormvariate(-4, 0.3)
        cached = chance.choice((0, 0, prompt // 2))
        tokenizer.observe_time_to_first_token(_TOKENIZER, first, stream=True)
        for _ in range(tokens):
            tokenizer.observe_inter_token_latency(_TOKENIZER, pace * chance.uniform(0.8, 1.3), 1)
        tokenizer.observe_one_finished_request(
            _TOKENIZER, prompt, tokens, cached, first + tokens * pace, has_grammar=False,
            is_streaming=True, time_per_output_token=pace, cached_tokens_details={"device": cached},
        )  # fmt: skip
        if chance.random() < 0.02:  # noqa: PLR2004  # a few clients go away
            tokenizer.observe_one_aborted_request(_TOKENIZER)
        scheduler.observe_queue_time(first / 4)
        scheduler.observe_per_stage_req_latency("prefill_forward", first / 2)
        scheduler.observe_per_stage_req_latency("decode_forward", tokens * pace)
        if chance.random() < 0.03:  # noqa: PLR2004  # the KV cache is full now and then
            scheduler.num_retracted_reqs_total.labels(**_SCHEDULER).inc(1)
    stats = collectors.SchedulerStats(
        num_running_reqs=collectors.QueueCount(total=24),
        num_queue_reqs=collectors.QueueCount(total=3),
        gen_throughput=1450.0,
        cache_hit_rate=0.31,
        token_usage=0.62,
        full_token_usage=0.62,
        num_used_tokens=248_000,
    )
    scheduler.log_stats(stats)


def exposition() -> str:
    """Return SGLang's families: those of the process that wrote the recording are left out."""
    families = generate_latest(REGISTRY).decode().split("# HELP ")[1:]
    return "".join(
        f"# HELP {family}"
        for family in families
        if family.startswith("sglang:") and "_created" not in family.split(" ", 1)[0]
    )


if __name__ == "__main__":
    main()
