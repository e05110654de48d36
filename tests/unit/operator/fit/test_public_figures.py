"""The estimate beside what engines logged and publishers state, each with its source."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from autoglm_operator.api.quantity import GIBIBYTE
from autoglm_operator.api.v1alpha1 import Spec
from autoglm_operator.decide.allocated import GpuFacts
from autoglm_operator.decide.fit import Architecture, Fit, assess
from autoglm_operator.decide.fit.estimate import kv_per_token
from autoglm_operator.decide.fit.models import known_config
from autoglm_operator.decide.fit.weights import Weights

ROWS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "public_figures.json").read_text())
PERCENT = 5.0
MOST_OFF = 1
#: For rows whose GPU is not named, or is not in the table: what they state does not depend on it.
BIG = GpuFacts(memory_mib=1 << 20, compute=(9, 0))


@dataclass(frozen=True)
class Figure:
    row: int
    what: str
    stated: float
    ours: float

    @property
    def error(self) -> float:
        return 100 * (self.ours - self.stated) / self.stated

    def __str__(self) -> str:
        row = ROWS[self.row]
        of = f"{row['model']} {row['quantization']} TP={row['tensor']} {row['engine']} {row['gpu']}"
        return f"{of}: {self.what}: stated {self.stated:,.2f}, ours {self.ours:,.2f} ({self.error:+.2f} %)"


def spec_of(row: dict[str, Any]) -> Spec:
    states = row["states"]
    cache = {"utilizationPercent": states.get("utilizationPercent"), "dtype": states.get("kvDtype", "auto")}
    return Spec.model_validate(
        {
            "model": {
                "source": {"huggingFace": row["model"]},
                "contextLength": states.get("contextLength"),
            },
            "engine": {
                "type": row["engine"],
                "kvCache": cache,
                "quantization": states.get("specQuantization"),
                "batching": {
                    "maxNumSeqs": states.get("maxNumSeqs"),
                    "maxBatchedTokens": states.get("maxBatchedTokens"),
                },
            },
            "resources": {"gpu": {"count": row["tensor"]}, "parallelism": {"tensor": row["tensor"]}},
        }
    )


def model_of(row: dict[str, Any]) -> Architecture:
    config = dict(known_config(row["model"]) or {})
    if (given := row["states"].get("quantizationConfig")) is not None:
        config["quantization_config"] = given
    return Architecture.parse(config)


def fit_of(row: dict[str, Any]) -> Fit:
    facts = GpuFacts(product=row["gpu"])
    known = assess(spec_of(row), facts, model_of(row), row["version"])
    return known if known.parts is not None else assess(spec_of(row), BIG, model_of(row), row["version"])


def figures() -> list[Figure]:
    found = []
    for index, row in enumerate(ROWS):
        states, fit, model = row["states"], fit_of(row), model_of(row)
        parts = fit.parts
        assert parts is not None, row
        if "weightsGiB" in states:
            found.append(Figure(index, "weights GiB", states["weightsGiB"], parts.weights / GIBIBYTE))
        if "availableGiB" in states:
            found.append(Figure(index, "KV cache GiB", states["availableGiB"], parts.kv / GIBIBYTE))
        if "kvTokens" in states:
            found.append(Figure(index, "KV tokens", states["kvTokens"], fit.tokens))
        if "perAvailable" in states:
            each = kv_per_token(spec_of(row), model) * model.layers
            given = states["perAvailable"]
            found.append(Figure(index, "KV tokens in stated GiB", given["tokens"], given["gib"] * GIBIBYTE / each))
        if "checkpointGiB" in states or "checkpointGB" in states:
            assert fit.checkpoint_bytes is not None
            stated = states.get("checkpointGiB", 0) * GIBIBYTE or states["checkpointGB"] * 1e9
            ours = fit.checkpoint_bytes
            if states.get("withoutMtp"):
                ours = model_without_mtp(model)
            found.append(Figure(index, "files GB", stated / 1e9, ours / 1e9))
    return found


def model_without_mtp(model: Architecture) -> int:
    plain = replace(model, mtp_layers=0)
    return Weights(plain, plain.checkpoint, plain.value_bytes).checkpoint_bytes()


FIGURES = figures()


def test_there_are_enough_rows_and_each_has_a_source() -> None:
    assert len({(row["model"], row["gpu"], row["quantization"], row["engine"], row["source"]) for row in ROWS}) >= 30
    assert all(row["source"] and row["says"] for row in ROWS)
    assert {figure.row for figure in FIGURES} == set(range(len(ROWS)))


def case(figure: Figure) -> Any:
    known = ROWS[figure.row].get("missed", {}).get(figure.what)
    marks = [pytest.mark.xfail(strict=True, reason=known)] if known else []
    return pytest.param(figure, id=str(figure), marks=marks)


def test_few_figures_are_missed() -> None:
    assert sum(abs(figure.error) > PERCENT for figure in FIGURES) <= MOST_OFF


@pytest.mark.parametrize("figure", [case(figure) for figure in FIGURES])
def test_the_estimate_is_within_five_percent(figure: Figure) -> None:
    assert abs(figure.error) <= PERCENT, str(figure)
