"""The simulated engine beside figures that others have published of real ones.

The speed is fitted to some rows of a table: lone requests, and batches that nearly only decode. The other rows are then
predicted, in other shapes of traffic. `published/README.md` says where the tables are from.
"""

import csv
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from driving import Call, Server, closed_loop  # noqa: E402
from fitting import BAR, Alone, Decoding, fit  # noqa: E402
from harness import record  # noqa: E402

from autoglm_simulator.limits import Limits  # noqa: E402
from autoglm_simulator.profiles import BLOCK_TOKENS  # noqa: E402

#: Requests of a user, where the source does not tell: as many as in the other tables.
_REQUESTS: Final = 5


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table; latencies in seconds, `None` where the source does not tell."""

    workload: str
    prompt: int
    answer: int
    users: int
    requests: int
    rate: float
    ttft_p50: float | None
    ttft_p95: float | None
    itl_p50: float

    @property
    def alone(self) -> float:
        """Time to first token: of a request that nothing disturbs, any quantile is nearly the same."""
        return self.ttft_p50 or self.ttft_p95 or math.nan


@dataclass(frozen=True, slots=True)
class Table:
    """A published table.

    Attributes:
        limits: of the engine.
        decoding: workloads that nearly only decode, to whose rows the speed is fitted.
        cached: rows that the prefix cache made faster than a computation: workload and most users.
        waves: whether all users send at the same time, so that the prompts of all of them are one prompt for the fit of
            a table with a single length.
    """

    name: str
    limits: Limits
    decoding: frozenset[str]
    cached: tuple[str, int] = ("", 0)
    waves: bool = False


_SILYBENCH: Final = frozenset({"chat-128-128", "decode-128-1024"})
_CACHED: Final = ("prefill-1024-128", 32)
TABLES: Final = (
    # 1024 and 8192 are vLLM's defaults on a GPU of 80 GB; FP8 weights leave 8 GB more for the cache.
    Table("qwen3-8b-bf16-h100", Limits(1024, 8192, 377_024 // BLOCK_TOKENS), _SILYBENCH, _CACHED),
    Table("qwen3-8b-fp8-h100", Limits(1024, 8192, 430_000 // BLOCK_TOKENS), _SILYBENCH, _CACHED),
    Table("qwen2.5-0.5b-l4", Limits(256, 2048, 600_000 // BLOCK_TOKENS), frozenset({"closed-256-128"}), waves=True),
)


def rows(table: Table) -> list[Row]:
    """Return the lines of a table."""
    with (HERE / "published" / f"{table.name}.csv").open(newline="") as file:
        return [_row(line) for line in csv.DictReader(file)]


def _row(line: dict[str, str]) -> Row:
    def seconds(name: str) -> float | None:
        return float(line[name]) / 1000 if line[name] else None

    users = int(line["users"])
    return Row(
        workload=line["workload"],
        prompt=int(line["input_tokens"]),
        answer=int(line["output_tokens"]),
        users=users,
        requests=int(line["requests"] or _REQUESTS * users),
        rate=float(line["requests_per_second"]),
        ttft_p50=seconds("ttft_p50_ms"),
        ttft_p95=seconds("ttft_p95_ms"),
        itl_p50=float(line["itl_p50_ms"]) / 1000,
    )


def fitted(table: Table, found: list[Row]) -> Server:
    """Return the engine as the table's light rows tell it."""
    ends = found[:: len(found) - 1]
    alone = (
        [Alone(row.prompt * row.users, row.alone) for row in ends]
        if table.waves
        else [Alone(row.prompt, row.alone) for row in found if row.users == 1]
    )
    light = [row for row in found if row.workload in table.decoding]
    decoding = [Decoding.of(row.users, row.prompt, row.answer, row.itl_p50) for row in light]
    speed, outside = fit(decoding, alone)
    return Server(table.limits, speed, outside)


@dataclass(frozen=True, slots=True)
class Compared:
    """One row with what the simulated engine makes of it: each a ratio, simulated over published."""

    row: Row
    fitted: bool
    cached: bool
    itl_p50: float
    rate: float
    ttft_p50: float | None
    ttft_p95: float | None


def against(table: Table, server: Server, row: Row) -> Compared:
    """Return a row of a table beside the simulated engine."""
    measured = closed_loop(server, [Call(row.prompt, row.answer)] * row.requests, row.users)
    return Compared(
        row=row,
        fitted=row.workload in table.decoding,
        cached=row.workload == table.cached[0] and row.users <= table.cached[1],
        itl_p50=measured.itl_at(0.5) / row.itl_p50,
        rate=measured.ended / measured.end / row.rate,
        ttft_p50=None if row.ttft_p50 is None else measured.ttft_at(0.5) / row.ttft_p50,
        ttft_p95=None if row.ttft_p95 is None else measured.ttft_at(0.95) / row.ttft_p95,
    )


def main() -> None:
    """Print every speed and row, record the rows, and name the P50s outside the bar."""
    outside, raw = [], {}
    for table in TABLES:
        found = rows(table)
        server = fitted(table, found)
        compared = [against(table, server, row) for row in found]
        raw[table.name] = [_plain(item) for item in compared]
        print(f"\n{table.name}: {server.speed}, {server.outside * 1e3:.1f} ms of a request outside")
        print("\nsimulated over published\n")
        print(
            "| workload | users | fitted | ITL P50 | requests/s | TTFT P50 | TTFT P95 |\n|---|---|---|---|---|---|---|"
        )
        for item in compared:
            ratios = (item.itl_p50, item.rate, item.ttft_p50, item.ttft_p95)
            cells = " | ".join("" if ratio is None else f"{ratio:.2f}" for ratio in ratios)
            note = "yes" if item.fitted else "cached" if item.cached else ""
            print(f"| {item.row.workload} | {item.row.users} | {note} | {cells} |")
            p50 = (item.itl_p50, item.ttft_p50)
            outside += [(table.name, item.row.workload, item.row.users) for x in p50 if x and abs(x - 1) > BAR]
    record("simulator_published", raw)
    print(f"\n{len(outside)} P50s outside {BAR:.0%}: {outside}")


def _plain(item: Compared) -> dict[str, Any]:
    row = {"workload": item.row.workload, "users": item.row.users, "fitted": item.fitted, "cached": item.cached}
    return row | {name: getattr(item, name) for name in ("itl_p50", "rate", "ttft_p50", "ttft_p95")}


if __name__ == "__main__":
    main()
