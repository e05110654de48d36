"""One reconcile per key at a time, the newest state wins, failures back off."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from autoglm_operator.metrics import Metrics
from autoglm_operator.workqueue import WorkQueue

ONE, TWO = ("team-a", "one"), ("team-a", "two")


class Work:
    """Records what it is called with; waits while `gate` is closed."""

    def __init__(self):
        self.calls = []
        self.running = set()
        self.overlap = False
        self.gate = asyncio.Event()
        self.gate.set()
        self.answers = []

    async def __call__(self, key):
        self.overlap |= key in self.running
        self.running.add(key)
        self.calls.append(key)
        await self.gate.wait()
        self.running.discard(key)
        return self.answers.pop(0) if self.answers else None


@asynccontextmanager
async def workers(queue, work, number=3):
    tasks = [asyncio.create_task(queue.work(work)) for _ in range(number)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def queue():
    return WorkQueue(settle_seconds=0.01)


@pytest.fixture
async def work():
    return Work()


async def settle(seconds=0.06):
    await asyncio.sleep(seconds)


async def test_a_burst_is_one_reconcile(queue, work):
    async with workers(queue, work):
        for _ in range(100):
            queue.add(ONE)
        queue.add(TWO)
        await settle()
    assert sorted(work.calls) == [ONE, TWO]


async def test_a_key_that_waits_is_merged(queue, work):
    queue.add(ONE)
    await settle()
    queue.add(ONE)
    await settle()
    assert queue.depth == 1
    async with workers(queue, work):
        await settle()
    assert work.calls == [ONE]
    assert queue.depth == 0


async def test_a_change_during_the_work_is_worked_on_after_and_never_beside(queue, work):
    work.gate.clear()
    async with workers(queue, work):
        queue.add(ONE)
        await settle()
        for _ in range(5):
            queue.add(ONE)
            await settle(0.02)
        assert work.calls == [ONE]
        work.gate.set()
        await settle()
    assert work.calls == [ONE, ONE]
    assert not work.overlap


async def test_keys_do_not_wait_for_each_other(queue, work):
    work.gate.clear()
    async with workers(queue, work):
        queue.add(ONE)
        queue.add(TWO)
        await settle()
        assert sorted(work.calls) == [ONE, TWO]
        work.gate.set()


async def test_the_delay_that_the_work_returns(queue, work):
    work.answers = [0.1]
    async with workers(queue, work):
        queue.add(ONE)
        await settle()
        assert work.calls == [ONE]
        await settle(0.1)
    assert work.calls == [ONE, ONE]


async def test_a_delay_of_nothing_is_again(queue, work):
    work.answers = [0.0]
    async with workers(queue, work):
        queue.add(ONE)
        await settle()
    assert work.calls == [ONE, ONE]


async def test_an_event_shortens_the_delay_and_takes_its_place(queue, work):
    queue.add(ONE, 0.1)
    async with workers(queue, work):
        queue.add(ONE)
        await settle()
        assert work.calls == [ONE]
        await settle(0.1)
    assert work.calls == [ONE]


async def test_a_later_delay_does_not_push_the_key_back(queue, work):
    async with workers(queue, work):
        queue.add(ONE)
        queue.add(ONE, 10)
        await settle()
    assert work.calls == [ONE]


async def test_a_delay_that_ends_during_the_work(queue, work):
    work.gate.clear()
    async with workers(queue, work):
        queue.add(ONE)
        await settle()
        queue.add(ONE, 0.01)
        await settle()
        work.gate.set()
        await settle()
    assert work.calls == [ONE, ONE]
    assert not work.overlap


async def test_age_of_the_oldest(queue):
    assert queue.oldest_seconds() == 0
    queue.add(ONE)
    await settle()
    assert 0.03 < queue.oldest_seconds() < 1


async def test_backoff_doubles_with_jitter_up_to_a_minute_and_is_forgotten(queue):
    pauses = [queue.backoff(ONE) for _ in range(30)]
    for number, pause in enumerate(pauses):
        middle = min(0.05 * 2**number, 60)
        assert 0.5 * middle <= pause <= 1.5 * middle
    assert queue.backoff(TWO) < 0.1
    queue.succeeded(ONE)
    assert queue.backoff(ONE) < 0.1
    queue.succeeded(("team-a", "never failed"))


async def test_adds_waits_and_retries_are_counted(work):
    metrics = Metrics()
    queue = WorkQueue(metrics, settle_seconds=0.0)
    work.gate.clear()
    async with workers(queue, work, number=1):
        queue.add(ONE)
        queue.add(ONE)
        await settle()
        queue.add(TWO)
        await settle()
        work.gate.set()
        await settle()
    queue.backoff(TWO)
    value = metrics.registry.get_sample_value
    assert value("autoglm_operator_workqueue_adds_total") == 2
    assert value("autoglm_operator_workqueue_retries_total") == 1
    assert value("autoglm_operator_workqueue_queue_duration_seconds_count") == 2
    assert 0.05 < value("autoglm_operator_workqueue_queue_duration_seconds_sum") < 0.5
