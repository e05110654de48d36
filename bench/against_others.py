"""The load generator beside guidellm and AIPerf: the same prompts at the same rate to the same simulator, in turns.

The others are not dependencies of this project; give where they are installed:

    python bench/against_others.py --guidellm VENV/bin/guidellm --aiperf VENV/bin/aiperf

AIPerf wants a tokenizer though the server counts the tokens: one of whitespace is made beside it, without a download.
`--write` puts the table into docs/design/benchmark-checks.md.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any, Final

from client import MODEL, bench, simulator
from harness import ROOT, record

from autoglm_bench.figures.stats import percentile
from autoglm_bench.load.text import text

PAGE: Final = ROOT / "docs/design/benchmark-checks.md"
BEGIN, END = "<!-- table: made by bench/against_others.py -->\n", "<!-- end of table -->"
RATE: Final = 10
SECONDS: Final = 40
REQUESTS: Final = RATE * SECONDS
PROMPT_TOKENS: Final = 200
OUTPUT_TOKENS: Final = 32
QUANTITIES: Final = ("TTFT", "ITL", "E2E")
PERCENTILES: Final = (50, 99)
_TOKENIZER: Final = """
import sys
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
made = Tokenizer(models.WordLevel({"<unk>": 0, "</s>": 1}, unk_token="<unk>"))
made.pre_tokenizer = pre_tokenizers.Whitespace()
PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>", eos_token="</s>").save_pretrained(sys.argv[1])
"""

#: (quantity, percentile) → milliseconds.
Figures = dict[tuple[str, int], float]
Tool = Callable[[str, Path], Figures]


def main() -> int:
    """Run the tools in turns, and print and record what they found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--guidellm", type=Path, help="its executable")
    parser.add_argument("--aiperf", type=Path, help="its executable")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE.relative_to(ROOT)}")
    options = parser.parse_args()
    tools: dict[str, Tool] = {"autoglm-bench": ours}
    if options.guidellm:
        tools["guidellm"] = lambda url, folder: guidellm(options.guidellm, url, folder)
    if options.aiperf:
        tools["AIPerf"] = lambda url, folder: aiperf(options.aiperf, url, folder)
    found: dict[str, list[Figures]] = {name: [] for name in tools}
    with tempfile.TemporaryDirectory() as folder:
        write_prompts(Path(folder))
        # Without a prefix cache: the later tool would find the prompts of the earlier one in it.
        with simulator("--profile", "h100-autoglm-9b", "--no-enable-prefix-caching") as url:
            for number in range(options.rounds):
                for name, tool in tools.items():
                    print(f"round {number + 1}: {name}", flush=True)
                    found[name].append(tool(url, Path(folder)))
    versions = {name: version(getattr(options, name.lower(), None)) for name in tools}
    made = table({name: medians(rows) for name, rows in found.items()}, versions)
    print("\n" + made)
    record("against_others", {"rounds": options.rounds, "rows": found_rows(found)})
    if options.write:
        before, _, rest = PAGE.read_text().partition(BEGIN)
        PAGE.write_text(before + BEGIN + made + END + rest.partition(END)[2])
    return 0


def write_prompts(folder: Path) -> None:
    """Write the prompts in the form of each tool."""
    rng = Random(1)
    prompts = [text(PROMPT_TOKENS, f"against/{rng.random()}") for _ in range(REQUESTS)]
    forms: dict[str, list[dict[str, object]]] = {
        "ours.jsonl": [{"prompt": prompt} for prompt in prompts],
        "guidellm.jsonl": [{"prompt": prompt, "output_tokens_count": OUTPUT_TOKENS} for prompt in prompts],
        "aiperf.jsonl": [{"text": prompt} for prompt in prompts],
    }
    for name, rows in forms.items():
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def ours(url: str, folder: Path) -> Figures:
    """Run autoglm-bench."""
    load = ("--profile", "constant", "--rate", RATE, "--duration", SECONDS, "--reuse-connections")
    own = ("--requests", folder / "ours.jsonl", "--output-tokens", OUTPUT_TOKENS)
    samples = bench(url, *load, *own)["samples"]
    if any(samples["cause"]) or len(samples["due"]) != REQUESTS:
        raise SystemExit("autoglm-bench: not every request succeeded")
    return _percentiles(samples["ttft"], samples["itl"], samples["duration"])


def guidellm(executable: Path, url: str, folder: Path) -> Figures:
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
    if len(rows) != REQUESTS:
        raise SystemExit(f"guidellm: {len(rows)} of {REQUESTS} requests succeeded")
    return _percentiles(
        [row["time_to_first_token_ms"] / 1000 for row in rows],
        [row["inter_token_latency_ms"] / 1000 for row in rows],
        [row["request_latency"] for row in rows],
    )


def aiperf(executable: Path, url: str, folder: Path) -> Figures:
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
    if len(good) != REQUESTS:
        raise SystemExit(f"AIPerf: {len(good)} of {REQUESTS} requests succeeded")
    names = ("time_to_first_token", "inter_token_latency", "request_latency")
    return _percentiles(*([row[name]["value"] / 1000 for row in good] for name in names))


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


def _percentiles(*seconds: Sequence[float]) -> Figures:
    found: Figures = {}
    for quantity, values in zip(QUANTITIES, seconds, strict=True):
        ascending = sorted(values)
        found |= {(quantity, percent): 1000 * percentile(ascending, percent) for percent in PERCENTILES}
    return found


def medians(rows: Sequence[Figures]) -> Figures:
    """Return the median of each figure over the rounds."""
    return {key: statistics.median(row[key] for row in rows) for key in rows[0]}


def found_rows(found: dict[str, list[Figures]]) -> dict[str, Any]:
    """Return the figures of each round as they are recorded."""
    return {
        name: [{f"{q} P{p}": value for (q, p), value in row.items()} for row in rows] for name, rows in found.items()
    }


def table(found: dict[str, Figures], versions: dict[str, str]) -> str:
    """Return the table in Markdown: each figure, and by how much ours is above the other's."""
    own = found["autoglm-bench"]
    others = [name for name in found if name != "autoglm-bench"]
    head = ["", *(f"{name} {versions[name]}" for name in found), *(f"ours to {name}" for name in others)]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for (quantity, percent), value in own.items():
        cells = [f"{found[name][quantity, percent]:.2f} ms" for name in found]
        cells += [f"{100 * (value / found[name][quantity, percent] - 1):+.1f} %" for name in others]
        lines.append(f"| {quantity} P{percent} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
