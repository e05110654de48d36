"""Replays of peers, kept between runs: hours of sweeps that change only with the simulator, not with our law."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from cases import Case
from compiled import ROOT

from autoglm_simulator.replay.run import Result

_REPLAY = ROOT / "simulator/src/autoglm_simulator/replay"
_OURS = {"path.py"}
"""Modules that no peer uses."""


class Kept:
    """What is kept, by all that it depends on: the simulator's source, the case, the seed, the peer and its target.

    Args:
        path: File of JSON lines; made if it is not there. A line that cannot be read is left out.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._source = _digest("".join(file.read_text() for file in sorted(_sources())))
        self._cases: dict[str, str] = {}
        self._found: dict[str, Result] = {}
        if path.exists():
            for line in path.read_text().splitlines():
                try:
                    key, values = json.loads(line)
                    self._found[key] = Result(**values)
                except (ValueError, TypeError) as error:
                    print(f"{path}: a line was left out: {error}")

    def find(self, case: Case, seed: int, peer: str, target: tuple[float, ...]) -> Result | None:
        """Return the replay if it is kept."""
        return self._found.get(self._key(case, seed, peer, target))

    def add(self, case: Case, seed: int, peer: str, target: tuple[float, ...], result: Result) -> None:
        """Keep a replay."""
        key = self._key(case, seed, peer, target)
        self._found[key] = result
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a") as file:
            file.write(json.dumps([key, asdict(result)]) + "\n")

    def _key(self, case: Case, seed: int, peer: str, target: tuple[float, ...]) -> str:
        if case.label not in self._cases:
            self._cases[case.label] = _digest(repr((case.trace.windows, case.mean_rate, case.first, case.last)))
        numbers = ":".join(f"{number:.6g}" for number in target)
        return f"{self._source} {self._cases[case.label]} {case.cold_start:g} {seed} {peer} {numbers}"


def _sources() -> list[Path]:
    return [path for folder in (_REPLAY, _REPLAY / "peers") for path in folder.glob("*.py") if path.name not in _OURS]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
