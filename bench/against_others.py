"""The load generator beside guidellm and AIPerf: the same prompts at the same rate to the same server, in turns.

The server's own times are known: each request has its time to first token and between tokens, evenly spread and the
same for every tool, so that what a tool finds beyond them is the tool's (and the server's few tenths of a millisecond).
Tools take turns there and back again (ABBA), so that a machine that gets slower or faster favours none. Exit status 1
if our P99 of TTFT or ITL is more than 5 % from guidellm's.

The others are not dependencies of this project; give where they are installed:

    python bench/against_others.py --guidellm VENV/bin/guidellm --aiperf VENV/bin/aiperf

AIPerf wants a tokenizer though the server counts the tokens: one of whitespace is made beside it, without a download.
`--write` puts the table into docs/design/benchmark-checks.md. Takes about four minutes on an idle machine.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

from client import MODEL, bench, fast_server
from fast_engine import planned
from harness import ROOT, record

from autoglm_bench.compare.tests import ratio_interval
from autoglm_bench.figures.stats import percentile
from autoglm_bench.load.text import text

PAGE: Final = ROOT / "docs/design/benchmark-checks.md"
BEGIN, END = "<!-- table: made by bench/against_others.py -->\n", "<!-- end of table -->"
RATE: Final = 40
SECONDS: Final = 25
REQUESTS: Final = RATE * SECONDS
PROMPT_TOKENS: Final = 200
OUTPUT_TOKENS: Final = 16
#: Of the server: seconds to the first token and between tokens, and how far they spread.
FIRST, INTERVAL, SPREAD = 0.3, 0.02, 1 / 3
QUANTITIES: Final = ("TTFT", "ITL", "E2E")
PERCENTILES: Final = (50, 99)
#: Our figure and the one it is held against, and how far it may be from it.
BAR: Final = 0.05
JUDGED: Final = (("TTFT", 99), ("ITL", 99))
#: Share of its requests that a tool may not lose.
LEAST: Final = 0.998
OURS, JUDGE, SERVER = "autoglm-bench", "guidellm", "the server's own"
_TOKENIZER: Final = """
import sys
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
made = Tokenizer(models.WordLevel({"<unk>": 0, "</s>": 1}, unk_token="<unk>"))
made.pre_tokenizer = pre_tokenizers.Whitespace()
PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>", eos_token="</s>").save_pretrained(sys.argv[1])
"""

#: quantity → seconds of each request.
Samples = dict[str, list[float]]
Tool = Callable[[str, Path], Samples]


def main() -> int:
    """Run the tools in turns, print and record what they found, and say whether the bar is kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--guidellm", type=Path, help="its executable")
    parser.add_argument("--aiperf", type=Path, help="its executable")
    parser.add_argument("--rounds", type=int, default=2, help="every second one in the opposite order")
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE.relative_to(ROOT)}")
    options = parser.parse_args()
    tools: dict[str, Tool] = {OURS: ours}
    if options.guidellm:
        tools[JUDGE] = lambda url, folder: guidellm(options.guidellm, url, folder)
    if options.aiperf:
        tools["AIPerf"] = lambda url, folder: aiperf(options.aiperf, url, folder)
    rounds: dict[str, list[Samples]] = {name: [] for name in tools}
    server = ("--first", str(FIRST), "--interval", str(INTERVAL), "--spread", str(SPREAD))
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder, fast_server(*server) as url:
        write_prompts(Path(folder))
        for number in range(options.rounds):
            for name in list(tools)[:: -1 if number % 2 else 1]:
                print(f"round {number + 1}: {name}", flush=True)
                rounds[name].append(tools[name](url, Path(folder)))
    pooled = {name: together(found) for name, found in rounds.items()}
    versions = {name: version(getattr(options, name.lower(), None)) for name in tools}
    made = table(pooled, versions) + "\n" + spreads(rounds)
    print(f"\n{made}\nload average before: {before:.1f}")
    record("against_others", {"rounds": options.rounds, "loadBefore": before, "rows": recorded(rounds)})
    if options.write:
        begin, _, rest = PAGE.read_text().partition(BEGIN)
        PAGE.write_text(begin + BEGIN + made + END + rest.partition(END)[2])
    return 1 if JUDGE in pooled and not kept(pooled[OURS], pooled[JUDGE]) else 0


def kept(own: Samples, other: Samples) -> bool:
    """Whether every judged figure is near enough, and say which is not."""
    ratios = {(q, p): at(own, q, p) / at(other, q, p) for q, p in JUDGED}
    missed = {key: ratio for key, ratio in ratios.items() if abs(ratio - 1) > BAR}
    for (quantity, percent), ratio in missed.items():
        print(f"MISSED: {quantity} P{percent} is {100 * (ratio - 1):+.1f} % from {JUDGE}'s, bar {100 * BAR:g} %")
    return not missed


def truth() -> Samples:
    """Return the server's own times of the requests of one round."""
    times = [planned(number, FIRST, INTERVAL, SPREAD) for number in range(REQUESTS)]
    return {
        "TTFT": [first for first, _ in times],
        "ITL": [gap for _, gap in times],
        "E2E": [first + (OUTPUT_TOKENS - 1) * gap for first, gap in times],
    }


def write_prompts(folder: Path) -> None:
    """Write the prompts in the form of each tool."""
    rng = Random(1)
    prompts = [f"request{number} {text(PROMPT_TOKENS, f'against/{rng.random()}')}" for number in range(REQUESTS)]
    forms: dict[str, list[dict[str, object]]] = {
        "ours.jsonl": [{"prompt": prompt} for prompt in prompts],
        "guidellm.jsonl": [{"prompt": prompt, "output_tokens_count": OUTPUT_TOKENS} for prompt in prompts],
        "aiperf.jsonl": [{"text": prompt} for prompt in prompts],
    }
    for name, rows in forms.items():
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def ours(url: str, folder: Path) -> Samples:
    """Run autoglm-bench."""
    load = ("--profile", "constant", "--rate", RATE, "--duration", SECONDS, "--reuse-connections")
    own = ("--requests", folder / "ours.jsonl", "--output-tokens", OUTPUT_TOKENS)
    samples = bench(url, *load, *own)["samples"]
    check(OURS, samples["cause"].count(None))
    return samples_of(samples["ttft"], samples["itl"], samples["duration"])


def guidellm(executable: Path, url: str, folder: Path) -> Samples:
    """Run guidellm."""
    output = folder / "guidellm.json"
    run(
        [
            "env",
            "HF_HUB_OFFLINE=1",
            str(executable),
            "run",
            "--backend",
            f"kind=openai_http,target={url},model={MODEL}",
        ],
        ["--profile", f"kind=constant,rate={RATE}", "--constraint", f"kind=max_requests,count={REQUESTS}"],
        ["--data", f"kind=json_file,path={folder / 'guidellm.jsonl'}"],
        ["--output", f"kind=json,path={output}", "--disable-console"],
    )
    (benchmark,) = json.loads(output.read_text())["benchmarks"]
    rows = benchmark["requests"]["successful"]
    check(JUDGE, len(rows))
    return samples_of(
        [row["time_to_first_token_ms"] / 1000 for row in rows],
        [row["inter_token_latency_ms"] / 1000 for row in rows],
        [row["request_latency"] for row in rows],
    )


def aiperf(executable: Path, url: str, folder: Path) -> Samples:
    """Run AIPerf."""
    tokenizer, output = folder / "tokenizer", folder / "aiperf"
    if not tokenizer.is_dir():
        run([str(executable.parent / "python"), "-c", _TOKENIZER, str(tokenizer)])
    run(
        [str(executable), "profile", "-m", MODEL, "--url", url.removesuffix("/v1"), "--endpoint-type", "chat"],
        ["--streaming", "--request-rate", str(RATE), "--arrival-pattern", "constant"],
        ["--request-count", str(REQUESTS), "--input-file", str(folder / "aiperf.jsonl")],
        ["--custom-dataset-type", "single_turn", "--dataset-sampling-strategy", "sequential"],
        ["--extra-inputs", f"max_tokens:{OUTPUT_TOKENS}", "--extra-inputs", "ignore_eos:true"],
        ["--use-server-token-count", "--tokenizer", str(tokenizer), "--ui-type", "none"],
        ["--output-artifact-dir", str(output)],
    )
    rows = [json.loads(line) for line in (output / "profile_export.jsonl").read_text().splitlines()]
    good = [row["metrics"] for row in rows if not row.get("error")]
    check("AIPerf", len(good))
    names = ("time_to_first_token", "inter_token_latency", "request_latency")
    return samples_of(*([row[name]["value"] / 1000 for row in good] for name in names))


def check(name: str, succeeded: int) -> None:
    """Say what did not succeed, and end where it is so much that percentiles of the rest mislead."""
    if succeeded < REQUESTS:
        print(f"{name}: {succeeded} of {REQUESTS} requests succeeded")
    if succeeded < LEAST * REQUESTS:
        raise SystemExit(f"{name} lost more than {1 - LEAST:.1%} of its requests: this machine is too busy")


def run(*parts: Sequence[str]) -> None:
    """Run another tool; what it prints is shown only if it fails."""
    command = [word for part in parts for word in part]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")


def version(executable: Path | None) -> str:
    """Return the version that a tool tells of itself."""
    if executable is None:
        command = [sys.executable, "-m", "autoglm_bench", "--version"]
    else:
        command = [str(executable), "--version"]
    return subprocess.check_output(command, text=True, stderr=subprocess.DEVNULL).split()[-1]


def samples_of(*seconds: Sequence[float]) -> Samples:
    """Return the seconds of each quantity, in the order of the requests."""
    return {quantity: list(values) for quantity, values in zip(QUANTITIES, seconds, strict=True)}


def together(rounds: Sequence[Samples]) -> Samples:
    """Return the requests of all rounds."""
    return {quantity: [value for found in rounds for value in found[quantity]] for quantity in QUANTITIES}


def at(samples: Samples, quantity: str, percent: int) -> float:
    """Return a percentile in milliseconds."""
    return 1000 * percentile(sorted(samples[quantity]), percent)


def recorded(rounds: Mapping[str, Sequence[Samples]]) -> dict[str, Any]:
    """Return the figures of each round as they are recorded."""
    return {
        name: [{f"{q} P{p}": at(found, q, p) for q in QUANTITIES for p in PERCENTILES} for found in each]
        for name, each in rounds.items()
    }


def spreads(rounds: Mapping[str, Sequence[Samples]]) -> str:
    """Return how far the rounds of each tool lie apart, in Markdown."""
    lines = ["| rounds, lowest to highest | " + " | ".join(rounds) + " |", "|---" * (len(rounds) + 1) + "|"]
    for quantity, percent in JUDGED:
        found = [[at(one, quantity, percent) for one in each] for each in rounds.values()]
        cells = [f"{min(values):.2f} to {max(values):.2f} ms" for values in found]
        lines.append(f"| {quantity} P{percent} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def table(found: Mapping[str, Samples], versions: Mapping[str, str]) -> str:
    """Return the table in Markdown: each figure, and ours over the other's with the interval that holds it at 95 %."""
    others = [name for name in found if name != OURS]
    head = ["", SERVER, *(f"{name} {versions[name]}" for name in found), *(f"ours to {name}" for name in others)]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for quantity in QUANTITIES:
        for percent in PERCENTILES:
            own = at(found[OURS], quantity, percent)
            cells = [f"{at(samples, quantity, percent):.2f} ms" for samples in (truth(), *found.values())]
            cells += [_difference(found, name, quantity, percent, own) for name in others]
            lines.append(f"| {quantity} P{percent} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _difference(found: Mapping[str, Samples], name: str, quantity: str, percent: int, own: float) -> str:
    other = at(found[name], quantity, percent)
    said = f"{100 * (own / other - 1):+.1f} %, {own - other:+.2f} ms"
    interval = ratio_interval(found[name][quantity], found[OURS][quantity], percent, 0.05)
    return said if interval is None else f"{said} ({' to '.join(f'{100 * (edge - 1):+.1f}' for edge in interval)} %)"


if __name__ == "__main__":
    sys.exit(main())
