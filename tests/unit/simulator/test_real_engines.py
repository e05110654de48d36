"""The simulated engine stays as near to real ones as `bench/simulator/` found it: published tables and a recording."""

import sys
from importlib import import_module
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[3] / "bench/simulator"
#: Of users: beyond them a row takes seconds, and says nothing new.
MOST_USERS = 64
#: The table whose time to first token no engine alone explains; `docs/reference/replay-requests.md` lists it.
BUSY_HOST = "qwen2.5-0.5b-l4"


@pytest.fixture(scope="module")
def bench():
    """Return the modules of the folder by name, and leave no trace of them."""
    path, before = list(sys.path), set(sys.modules)
    sys.path.insert(0, str(BENCH))
    yield import_module
    sys.path[:] = path
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture(scope="module")
def published(bench):
    return bench("published")


@pytest.fixture(scope="module", params=["qwen3-8b-bf16-h100", "qwen3-8b-fp8-h100", BUSY_HOST])
def compared(published, request):
    table = next(table for table in published.TABLES if table.name == request.param)
    found = published.rows(table)
    server = published.fitted(table, found)
    return [published.against(table, server, row) for row in found if row.users <= MOST_USERS]


def test_steps_are_as_long_as_published(compared):
    assert len(compared) >= 6
    assert {item.row: item.itl_p50 for item in compared if abs(item.itl_p50 - 1) > 0.15} == {}


def test_as_many_requests_are_served_as_published(compared):
    rows = [item for item in compared if not item.cached]

    assert {item.row: item.rate for item in rows if abs(item.rate - 1) > 0.15} == {}


def test_rows_that_it_was_not_fitted_to_are_most(published):
    table = published.TABLES[0]
    found = published.rows(table)

    assert sum(row.workload not in table.decoding and row.users > 1 for row in found) > len(found) / 2


def test_the_recorded_vllm(bench):
    real = bench("real_vllm")
    compared = list(real.compare(real.load()))

    assert sum(not item.fitted for item in compared) >= 5
    assert real.off(compared) == real.LISTED


def test_a_fit_finds_the_speed_that_made_the_figures(bench):
    fitting = bench("fitting")
    a, b, c, p, q, outside = 7e-3, 2e-5, 4e-8, 2e-5, 2e-9, 4e-3
    decoding = [
        fitting.Decoding(batch, context, a + b * batch + c * batch * context)
        for batch, context in ((1, 200), (4, 1000), (16, 300), (64, 2000))
    ]
    alone = [fitting.Alone(n, outside + a + p * n + q * n * n / 2) for n in (100, 1000, 8000)]

    speed, found = fitting.fit(decoding, alone)

    assert (speed.decode_base, speed.decode_per_sequence) == pytest.approx((a, b))
    assert (speed.decode_per_context_token, speed.prefill_per_token) == pytest.approx((c, p))
    assert (speed.prefill_per_context_token, found) == pytest.approx((q, outside))


def test_a_part_that_would_be_negative_is_none(bench):
    fitting = bench("fitting")
    decoding = [fitting.Decoding(1, 100, 5e-3), fitting.Decoding(8, 100, 5e-3), fitting.Decoding(8, 4000, 4e-3)]

    speed, _ = fitting.fit(decoding, [fitting.Alone(100, 0.01), fitting.Alone(1000, 0.03)])

    assert min(speed.decode_per_sequence, speed.decode_per_context_token, speed.prefill_per_context_token) == 0.0
