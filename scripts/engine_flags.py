"""Write the flag tables of the engines from their released wheels.

    python scripts/engine_flags.py                     write render/engines/{vllm,sglang}_flags.json anew
    python scripts/engine_flags.py sglang              only SGLang's
    python scripts/engine_flags.py --compare FILE      say how a release differs from the list of flags in FILE
    python scripts/engine_flags.py --parse vllm 0.33.0 give arguments to its parser: JSON lists in, JSON objects out

A person runs it when a release came out: add the version to RELEASES, run it, read the difference, run
`make test-flags`. It needs a package index that answers range requests; sources are kept in ~/.cache/autoglm/flags.

Each flag has a list of spans. A span says from which release (`from`) until which (`until`, the last that had it; none
if the newest has it) the flag was as described: `kind` none, one, many or optional (an argument that may be left out),
`aliases` (with `--no-x` for a flag that can be negated), `choices` where they are fixed, `form` (int, float, amount,
json, list) where a value must look like that.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import engine_sources

ROOT: Final = Path(__file__).resolve().parent.parent
TABLES: Final = ROOT / "operator/src/autoglm_operator/render/engines"
#: Every minor release of vLLM that the index has since the first that serves AutoGLM, and every release of SGLang.
RELEASES: Final = {
    "vllm": tuple(f"0.{minor}.0" for minor in range(12, 34)),
    "sglang": [
        "0.5.6",
        "0.5.6.post1",
        "0.5.6.post2",
        "0.5.7",
        "0.5.8",
        "0.5.8.post1",
        "0.5.9",
        "0.5.10",
        "0.5.10.post1",
        "0.5.11",
        "0.5.12",
        "0.5.12.post1",
        "0.5.13",
        "0.5.13.post1",
        "0.5.14",
        "0.5.15",
        "0.5.15.post1",
        "0.5.16",
        "0.5.17",
        "0.5.18",
        "0.5.19",
        "0.5.20",
        "0.5.21",
        "0.5.22",
        "0.5.23",
    ],
}
Flag = dict[str, Any]


def main(arguments: list[str]) -> int:
    """Write the tables, or compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engines", nargs="*", help="vllm, sglang; both if left out")
    parser.add_argument("--compare", type=Path, metavar="FILE", help='JSON with "source" and "flags"')
    parser.add_argument("--parse", nargs=2, metavar=("ENGINE", "VERSION"), help="JSON lines on stdin and stdout")
    options = parser.parse_args(arguments)
    if options.parse:
        engine, version = options.parse
        command = _parser_command(engine, version, "parse")
        return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode
    if options.compare:
        return _compare(json.loads(options.compare.read_text()))
    for engine in options.engines or RELEASES:
        releases = RELEASES[engine]
        table = spans({version: dump(engine, version) for version in releases}, tuple(releases))
        target = TABLES / f"{engine}_flags.json"
        target.write_text(written(tuple(releases), table))
        print(f"{target.relative_to(ROOT)}: {len(table)} flags of {len(releases)} releases")
    return 0


def dump(engine: str, version: str) -> list[Flag]:
    """Return every option of a release, from its own parser."""
    done = subprocess.run(_parser_command(engine, version, "dump"), capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{engine} {version}: its parser could not be built:\n{done.stderr[-2000:]}")
    options: list[Flag] = json.loads(done.stdout)
    return options


def _parser_command(engine: str, version: str, mode: str) -> list[str]:
    script = Path(__file__).with_name("engine_parser.py")
    return [str(engine_sources.interpreter()), str(script), engine, str(engine_sources.sources(engine, version)), mode]


def spans(flags_of: dict[str, list[Flag]], releases: tuple[str, ...]) -> dict[str, list[Flag]]:
    """Return for each flag its definitions over `releases`, joined as long as they stay the same."""
    table: dict[str, list[Flag]] = {}
    for index, version in enumerate(releases):
        for option in flags_of[version]:
            if not option["name"].startswith("--"):
                continue  # the positional model
            definition = {key: value for key, value in option.items() if key != "name" and value != []}
            history = table.setdefault(option["name"], [])
            before = releases[index - 1] if index else None
            if history and history[-1]["until"] == before and _same(history[-1], definition):
                history[-1]["until"] = version
            else:
                history.append({"from": version, "until": version} | definition)
    return dict(sorted(table.items()))


def _same(span: Flag, definition: Flag) -> bool:
    return {key: value for key, value in span.items() if key not in {"from", "until"}} == definition


def written(releases: tuple[str, ...], table: dict[str, list[Flag]]) -> str:
    """Return the file's text: one line for each flag, so that a difference can be read."""
    lines = []
    for name, history in table.items():
        told = [
            {key: value for key, value in span.items() if (key, value) != ("until", releases[-1])} for span in history
        ]
        lines.append(f"{json.dumps(name)}: {json.dumps(told, separators=(',', ':'))}")
    return f'{{"releases": {json.dumps(releases)},\n"flags": {{\n' + ",\n".join(lines) + "\n}}\n"


def _compare(facts: dict[str, Any]) -> int:
    engine, version = facts["source"].split()[:2]
    ours = {word: flag for flag in dump(engine, version) for word in (flag["name"], *flag["aliases"])}
    theirs = {word: flag for flag in facts["flags"] for word in (flag["flag"], *flag.get("aliases", ()))}
    print(f"{engine} {version}: {len(ours)} spellings here, {len(theirs)} there")
    print("only here: ", " ".join(sorted(set(ours) - set(theirs))) or "-")
    print("only there:", " ".join(sorted(set(theirs) - set(ours))) or "-")
    for word in sorted(set(ours) & set(theirs)):
        here, there = ours[word].get("choices"), theirs[word].get("choices")
        if isinstance(there, list) and here != [str(choice) for choice in there]:
            print(f"choices of {word}: here {here}, there {there}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
