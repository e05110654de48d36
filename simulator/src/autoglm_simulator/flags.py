"""The command line: vLLM's own flags for what is simulated, and a few of the simulator's own.

As with vLLM, an unknown flag ends the process with exit code 2. Names, types and defaults are those of vLLM 0.33.0.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from autoglm_simulator.limits import Limits, blocks_for
from autoglm_simulator.profiles import PROFILES, Profile

_SUFFIXES: Final = {"k": 10**3, "K": 2**10, "m": 10**6, "M": 2**20, "g": 10**9, "G": 2**30}
_FP8_CACHE: Final = "fp8"


@dataclass(frozen=True, slots=True)
class Settings:
    """What one engine was started with; the fields are named as the flags."""

    model: str
    served_model_names: tuple[str, ...]
    host: str | None
    port: int
    max_model_len: int
    limits: Limits
    gpu_memory_utilization: float
    kv_cache_dtype: str
    max_num_queued_reqs: int | None
    shutdown_timeout: float
    profile: Profile
    startup_seconds: float
    seed: int
    enable_fault_injection: bool
    otlp_traces_endpoint: str | None


def tokens(text: str) -> int:
    """Return the number in `text`, with vLLM's suffixes: `1k` is 1,000 and `1K` is 1,024."""
    if text and text[-1] in _SUFFIXES:
        return int(float(text[:-1]) * _SUFFIXES[text[-1]])
    return int(text)


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds, 0 or more")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share above 0 and at most 1")
    return value


def _positive(text: str) -> int:
    value = tokens(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return value


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    root = argparse.ArgumentParser(prog="autoglm-simulator", description=__doc__, allow_abbrev=False)
    serve = root.add_subparsers(dest="command", required=True).add_parser(
        "serve", help="serve a simulated model over HTTP", allow_abbrev=False
    )
    serve.add_argument("model", help="model id; nothing is loaded from it")
    serve.add_argument("--served-model-name", nargs="+", help="names clients may use; metrics carry the first")
    serve.add_argument("--host", help="address to bind (default: all)")
    serve.add_argument("--port", type=int, default=8000)
    serve.add_argument("--max-model-len", type=_positive, help="prompt and output tokens per request")
    serve.add_argument("--max-num-seqs", type=_positive, help="requests that run at once")
    serve.add_argument("--max-num-batched-tokens", type=_positive, help="tokens per iteration")
    serve.add_argument("--max-num-queued-reqs", type=_positive, help="more waiting requests get HTTP 503")
    serve.add_argument("--gpu-memory-utilization", type=_share, default=0.92)
    serve.add_argument("--kv-cache-dtype", choices=["auto", _FP8_CACHE], default="auto")
    serve.add_argument("--quantization", "-q", help="weights to load; the profile says which are known")
    serve.add_argument("--tensor-parallel-size", "-tp", type=_positive, default=1)
    serve.add_argument("--enable-prefix-caching", action=argparse.BooleanOptionalAction, default=True)
    serve.add_argument("--shutdown-timeout", type=_seconds, default=0, help="seconds to drain; 0 aborts (default: 0)")
    serve.add_argument("--otlp-traces-endpoint", metavar="URL", help="collector for a span of each request")
    serve.add_argument("--seed", type=int, default=0)
    own = serve.add_argument_group("simulator", "flags that vLLM does not have")
    own.add_argument("--profile", choices=sorted(PROFILES), default="h100-autoglm-9b")
    own.add_argument("--startup-seconds", type=_seconds, default=0, help="cold start: the port opens after it")
    own.add_argument("--enable-fault-injection", action="store_true", help="serve POST /faults")
    return root


def parse(arguments: Sequence[str] | None = None) -> Settings:
    """Return the settings of a command line; exits with code 2 where vLLM would refuse to start."""
    root = parser()
    given = root.parse_args(arguments)
    try:
        return _settings(given)
    except ValueError as error:
        root.error(str(error))


def _settings(given: argparse.Namespace) -> Settings:
    profile = PROFILES[given.profile]
    max_model_len = given.max_model_len or profile.model.max_model_len
    # Where only one of the two is given, the other's default makes way, as with vLLM.
    batched = given.max_num_batched_tokens or max(profile.max_num_batched_tokens, given.max_num_seqs or 0)
    limits = Limits(
        max_num_seqs=given.max_num_seqs or min(profile.max_num_seqs, batched),
        max_num_batched_tokens=batched,
        kv_blocks=_kv_blocks(given, profile, max_model_len),
        prefix_caching=given.enable_prefix_caching,
    )
    return Settings(
        model=given.model,
        served_model_names=tuple(given.served_model_name or [given.model]),
        host=given.host,
        port=given.port,
        max_model_len=max_model_len,
        limits=limits,
        gpu_memory_utilization=given.gpu_memory_utilization,
        kv_cache_dtype=given.kv_cache_dtype,
        max_num_queued_reqs=given.max_num_queued_reqs,
        shutdown_timeout=given.shutdown_timeout,
        profile=profile,
        startup_seconds=given.startup_seconds,
        seed=given.seed,
        enable_fault_injection=given.enable_fault_injection,
        otlp_traces_endpoint=given.otlp_traces_endpoint,
    )


def _kv_blocks(given: argparse.Namespace, profile: Profile, max_model_len: int) -> int:
    known = profile.model.weights_gib
    quantization = given.quantization or ""
    if quantization not in known:
        choices = ", ".join(sorted(name for name in known if name)) or "none"
        raise ValueError(
            f"--quantization {quantization}: profile {given.profile} knows {choices}; leave it out or use one"
        )
    blocks = profile.kv_blocks(
        given.gpu_memory_utilization,
        quantization,
        given.tensor_parallel_size,
        kv_bytes_per_element=1 if given.kv_cache_dtype == _FP8_CACHE else 2,
    )
    if blocks < 1:
        raise ValueError(
            f"No available memory for the cache blocks: profile {given.profile} has {profile.gpu.memory_gib:.1f} GiB "
            f"per GPU, weights and reserve take more than {given.gpu_memory_utilization:.0%} of it. Increase "
            "--gpu-memory-utilization or --tensor-parallel-size."
        )
    needed = blocks_for(max_model_len)
    if needed > blocks:
        raise ValueError(
            f"--max-model-len {max_model_len} needs {needed} KV blocks, but the KV cache of profile {given.profile} "
            f"has {blocks}. Decrease --max-model-len, or increase --gpu-memory-utilization."
        )
    return blocks
