"""Leader election over real HTTP, with a clock that the test moves."""

import asyncio

import pytest

from autoglm_operator.kube import lease as module
from autoglm_operator.kube.lease import LeaderElector, LeadershipLost

PATH = "/apis/coordination.k8s.io/v1/namespaces/system/leases/operator"


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def elector(client, clock):
    return lambda identity: LeaderElector(client, "system", "operator", identity, clock)


def holder(api):
    return api.objects[PATH]["spec"]["holderIdentity"]


async def test_the_first_takes_it_and_the_second_waits(api, elector):
    one, two = elector("one"), elector("two")
    await one._try_once()
    await two._try_once()
    assert (one.is_leader, two.is_leader) == (True, False)
    spec = api.objects[PATH]["spec"]
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == ("one", 15, 0)


async def test_renewal_keeps_the_time_of_acquisition(api, elector, clock):
    one = elector("one")
    await one._try_once()
    acquired = api.objects[PATH]["spec"]["acquireTime"]
    clock.now += 8
    await one._try_once()
    clock.now += 8
    assert one.is_leader
    assert api.objects[PATH]["spec"]["acquireTime"] == acquired


async def test_after_a_crash_the_other_takes_over_within_17_seconds(api, elector, clock):
    one, two = elector("one"), elector("two")
    await one._try_once()
    start = clock.now
    while not two.is_leader:
        await two._try_once()
        clock.now += 2.0
    assert clock.now - 2.0 - start <= 17
    assert clock.now - 2.0 - start > 15
    assert api.objects[PATH]["spec"]["leaseTransitions"] == 1


async def test_a_lease_that_is_renewed_is_never_taken_whatever_its_clock_says(api, elector, clock):
    one, two = elector("one"), elector("two")
    await one._try_once()
    for _ in range(30):
        clock.now += 2
        await one._try_once()
        # The holder's clock is a day behind.
        api.objects[PATH]["spec"]["renewTime"] = "2000-01-01T00:00:00.000000Z"
        await two._try_once()
        assert not two.is_leader
    assert one.is_leader


async def test_who_was_stopped_no_longer_leads_before_anybody_else_does(elector, clock):
    one, two = elector("one"), elector("two")
    await one._try_once()
    await two._try_once()
    clock.now += 10  # SIGSTOP: nothing of `one` runs
    assert not one.is_leader
    await two._try_once()
    assert not two.is_leader
    clock.now += 6
    await two._try_once()
    assert two.is_leader
    with pytest.raises(LeadershipLost, match="taken by two"):
        await one._try_once()


async def test_the_deadline_counts_from_before_the_request(elector, clock):
    one = elector("one")
    request = one._client.request

    async def slow(*arguments, **options):
        clock.now += 4
        return await request(*arguments, **options)

    one._client.request = slow
    await one._try_once()
    clock.now += 3
    assert not one.is_leader


async def test_not_renewed_in_time_ends_the_process(api, elector, clock, error_status, monkeypatch):
    monkeypatch.setattr(module, "RETRY_SECONDS", 0.01)
    one = elector("one")
    task = asyncio.create_task(one.run())
    await asyncio.wait_for(one.wait_elected(), 5)
    api.answer(f"GET {PATH}", lambda: error_status(500, "InternalError", "etcd"), times=10_000)
    await asyncio.sleep(0.05)
    assert not task.done(), "failing renewals are no loss before the deadline"
    clock.now += 11
    with pytest.raises(LeadershipLost, match="not renewed within 10 s"):
        await asyncio.wait_for(task, 5)
    assert holder(api) == "one", "what is no longer ours is not released"


async def test_stopping_releases_it_for_the_other_at_once(api, elector, clock):
    one, two = elector("one"), elector("two")
    task = asyncio.create_task(one.run())
    await asyncio.wait_for(one.wait_elected(), 5)
    await two._try_once()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert not one.is_leader
    assert not holder(api)
    await two._try_once()
    assert two.is_leader


async def test_release_does_not_take_it_from_a_successor(api, elector):
    one = elector("one")
    await one._try_once()
    api.objects[PATH]["spec"]["holderIdentity"] = "two"
    await one._release()
    assert holder(api) == "two"


async def test_release_gives_up_on_a_server_that_hangs(api, elector, monkeypatch):
    monkeypatch.setattr(module, "_RELEASE_SECONDS", 0.05)
    one = elector("one")
    await one._try_once()

    async def hang(*_, **__):
        await asyncio.sleep(30)

    one._client.request = hang
    await asyncio.wait_for(one._release(), 2)


async def test_of_two_that_try_at_once_one_wins(api, elector, clock):
    electors = [elector(str(number)) for number in range(5)]
    await asyncio.gather(*(one._try_once() for one in electors))
    assert sum(one.is_leader for one in electors) == 1
    clock.now += 20
    later = [elector(f"later-{number}") for number in range(5)]
    await asyncio.gather(*(one._try_once() for one in later))
    clock.now += 16
    await asyncio.gather(*(one._try_once() for one in later))
    assert sum(one.is_leader for one in later) == 1


async def test_a_restarted_container_of_the_same_pod_goes_on(api, elector):
    await elector("one")._try_once()
    again = elector("one")
    await again._try_once()
    assert again.is_leader
    assert api.objects[PATH]["spec"]["leaseTransitions"] == 0
