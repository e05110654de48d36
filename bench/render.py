"""From a spec to the objects that are applied: the pure part of a reconcile, for each file that users start from."""

import time
from typing import Any

import yaml
from harness import ROOT, record, spread

from autoglm_operator.decide.plan import make_plan
from autoglm_operator.observe.world import Deployment, Observed
from autoglm_operator.render.bundle import bundle
from autoglm_operator.settings import Images

RUNS = 500


def render(document: dict[str, Any]) -> None:
    """Do what a reconcile does between reading and writing."""
    observed = Observed(Deployment.parse(document), {}, (), frozenset(), 0.0)
    bundle(observed.deployment, make_plan(observed, Images()), Images())


def main() -> None:
    """Measure and record."""
    figures: dict[str, Any] = {}
    for path in sorted(ROOT.glob("examples/*.yaml")) + sorted(ROOT.glob("tests/golden/*.input.yaml")):
        document = yaml.safe_load(path.read_text())
        document["metadata"] |= {"namespace": "bench", "uid": "u", "generation": 1}
        # The tables of flags are read once in the life of a process.
        render(document)
        taken = []
        for _ in range(RUNS):
            start = time.perf_counter()
            render(document)
            taken.append((time.perf_counter() - start) * 1000)
        figures[f"{path.name}, ms (bar 2)"] = spread(taken)
        figures[f"raw {path.name}"] = taken
    record("render", figures)


if __name__ == "__main__":
    main()
