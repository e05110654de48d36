"""The argument parsers of released engines, each in a process of its own."""

import json
import os
import subprocess
import sys
from collections import Counter

import pytest

PARSED = pytest.StashKey[Counter]()


def pytest_configure(config):
    config.stash[PARSED] = Counter()


class Parser:
    """The parser of one release: the process that `scripts/engine_flags.py --parse` starts."""

    def __init__(self, root, engine, version):
        command = [sys.executable, str(root / "scripts/engine_flags.py"), "--parse", engine.lower(), version]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root)

    def parse(self, arguments):
        """Return the values that differ from their defaults.

        Raises:
            AssertionError: the parser refused them, or ended.
        """
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, f"the parser ended with {self._process.wait(5)}"
        answer = json.loads(line)
        assert answer["error"] is None, f"{answer['error']}: {arguments}"
        return answer["values"]

    def close(self):
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(30)


@pytest.fixture
def parser_of(pytestconfig):
    """Start the parser of a release."""
    started = []

    def start(engine, version):
        started.append(Parser(pytestconfig.rootpath, engine, version))
        return started[-1]

    yield start
    for parser in started:
        parser.close()


@pytest.fixture
def count_parsed(pytestconfig):
    """Note how many command lines a release took."""
    return pytestconfig.stash[PARSED].update


def pytest_terminal_summary(terminalreporter, config):
    parsed = config.stash[PARSED]
    if parsed:
        terminalreporter.section("command lines that the engines' own parsers took", "-")
    for release, number in sorted(parsed.items()):
        terminalreporter.write_line(f"{release}: {number}")


@pytest.fixture(autouse=True)
def same_everywhere(monkeypatch):
    """Keep the environment of this machine out of the parsers."""
    for name in list(os.environ):
        if name.startswith(("VLLM_", "SGLANG_", "SGL_")):
            monkeypatch.delenv(name)
