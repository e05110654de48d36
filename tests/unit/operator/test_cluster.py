"""What the cluster has, read from nodes and ResourceSlices, and followed as far as the operator may."""

import asyncio

import pytest

from autoglm_operator.observe import cluster_cache as module
from autoglm_operator.observe.cluster import Cluster, Devices, Node, Slice, Taint, newest
from autoglm_operator.observe.cluster_cache import ClusterCache, other_kinds

NODES, CLASSES, SLICES = (
    "/api/v1/nodes",
    "/apis/resource.k8s.io/v1/deviceclasses",
    "/apis/resource.k8s.io/v1/resourceslices",
)
H100 = {
    "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3",
    "nvidia.com/gpu.memory": "81559",
    "nvidia.com/gpu.compute.major": "9",
    "nvidia.com/gpu.compute.minor": "0",
}


def node(name="a", labels=H100, taints=(), ready="True", **allocatable):
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels, "resourceVersion": "1"},
        "spec": {"taints": list(taints)},
        "status": {
            "allocatable": {"cpu": "64", "amd.com/gpu": "8"} | allocatable,
            "conditions": [{"type": "Ready", "status": ready}],
        },
    }


def device(name, taints=(), **changes):
    attributes = {
        "type": {"string": "gpu"},
        "productName": {"string": "NVIDIA H100 80GB HBM3"},
        "cudaComputeCapability": {"version": "9.0.0"},
    }
    return {
        "name": name,
        "attributes": attributes | changes,
        "capacity": {"memory": {"value": "81559Mi"}},
        "taints": list(taints),
    }


def slice_of(*devices, driver="gpu.nvidia.com", generation=1, pool="a"):
    return {
        "metadata": {"name": f"{pool}-{generation}", "resourceVersion": "1"},
        "spec": {
            "driver": driver,
            "nodeName": pool,
            "pool": {"name": pool, "generation": generation, "resourceSliceCount": 1},
            "devices": list(devices),
        },
    }


def test_node():
    taints = [
        {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"},
        {"key": "cheap", "effect": "PreferNoSchedule"},
        {"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"},
    ]
    found = Node.parse(node(taints=taints, ready="False", **{"nvidia.com/gpu": "8", "nvidia.com/mig-1g.10gb": "0"}))
    assert (found.product, found.compute, found.number("nvidia.com/gpu.memory")) == (
        "NVIDIA-H100-80GB-HBM3",
        (9, 0),
        81559,
    )
    assert found.offers == {"nvidia.com/gpu": 8}, "GPUs of other vendors run none of the engines"
    assert found.taints == (Taint("nvidia.com/gpu", "present", "NoSchedule"),)
    assert str(found.taints[0]) == "nvidia.com/gpu=present:NoSchedule"
    assert not found.ready
    assert not found.cordoned


def test_labels_that_are_no_numbers_are_as_good_as_none():
    found = Node.parse(node(labels={"nvidia.com/gpu.memory": "lots", "nvidia.com/gpu.compute.major": "9"}))
    assert (found.number("nvidia.com/gpu.memory"), found.compute, found.product) == (None, None, None)


def test_what_others_write_in_another_way_is_not_known_and_stops_nobody():
    assert Node.parse(node(**{"nvidia.com/gpu": "1k", "nvidia.com/mig-1g.10gb": "7"})).offers == {
        "nvidia.com/mig-1g.10gb": 7
    }
    odd = device("gpu-0", cudaComputeCapability={"version": "nine"}, productName={"int": 1})
    odd["capacity"]["memory"]["value"] = "8e10"
    found = Slice.parse(slice_of(odd, {"name": "bare"}))
    assert found is not None
    assert found.devices == (Devices("a", "", None, None, "", 1),)


def test_devices_that_are_alike_are_counted_together():
    mig = {"type": {"string": "mig"}, "gpu.nvidia.com/profile": {"string": "3g.40gb"}}
    tainted = [{"key": "gpu.nvidia.com/xid", "effect": "NoSchedule"}]
    told = [{"key": "gpu.nvidia.com/unmonitored", "effect": "None"}]
    found = Slice.parse(
        slice_of(
            device("gpu-0"),
            device("gpu-1", told),
            device("gpu-2", tainted),
            device("mig-0", **mig),
            device("vfio-0", type={"string": "vfio"}),
        )
    )
    assert found is not None
    product = "NVIDIA-H100-80GB-HBM3"
    assert found.devices == (
        Devices("a", product, 81559, (9, 0), "", 2),
        Devices("a", product, 81559, (9, 0), "3g.40gb", 1),
    )


def test_slices_of_other_drivers_are_left_out():
    assert Slice.parse(slice_of(device("net-0"), driver="dra.net")) is None


def test_only_the_newest_generation_of_a_pool_counts():
    old, new, other = (
        Slice.parse(slice_of(device("gpu-0"), device("gpu-1"))),
        Slice.parse(slice_of(device("gpu-0"), generation=2)),
        Slice.parse(slice_of(device("gpu-0"), pool="b")),
    )
    assert [(devices.node, devices.count) for devices in newest([new, old, other])] == [("a", 1), ("b", 1)]
    assert newest([old, new, other]) == newest([new, old, other])


@pytest.mark.parametrize(("version", "mounts"), [(None, None), ((1, 34), False), ((1, 35), True), ((2, 0), True)])
def test_image_volumes(version, mounts):
    assert Cluster(version=version).image_volumes is mounts


def test_kinds_that_were_not_looked_for_are_unknown():
    assert Cluster().serves("LeaderWorkerSet") is None
    assert Cluster(kinds=frozenset()).serves("LeaderWorkerSet") is False
    assert Cluster(kinds=frozenset({"LeaderWorkerSet"})).serves("LeaderWorkerSet") is True


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    for name in ("_LOOK_AGAIN_SECONDS", "_FIRST_LOOK_SECONDS", "_ANNOUNCE_SECONDS", "_KINDS_SECONDS"):
        monkeypatch.setattr(module, name, 0.01)


@pytest.fixture
def served(api):
    """Let the API server have nodes, DRA and a version."""

    def collection(path, *items):
        api.objects[path] = {"items": list(items), "metadata": {"resourceVersion": "100"}}

    collection(NODES, node(**{"nvidia.com/gpu": "8"}))
    collection(CLASSES, {"metadata": {"name": "gpu.nvidia.com", "resourceVersion": "1"}})
    collection(SLICES, slice_of(device("gpu-0")), slice_of(device("nic-0"), driver="dra.net", pool="n"))
    api.objects["/version"] = {"major": "1", "minor": "36+"}
    return collection


@pytest.fixture
async def start(client):
    tasks, announced = [], []

    async def begin():
        cache = ClusterCache(client, [("v1", "LeaderWorkerSet")], lambda: announced.append(cache.picture()))
        tasks.append(asyncio.create_task(cache.run()))
        await asyncio.wait_for(cache.wait_settled(), 5)
        return cache, announced

    yield begin
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.usefixtures("served")
async def test_everything_is_known(start):
    cache, _ = await start()
    picture = cache.picture()
    assert [node.name for node in picture.nodes] == ["a"]
    assert picture.devices == (Devices("a", "NVIDIA-H100-80GB-HBM3", 81559, (9, 0), "", 1),)
    assert picture.device_classes == {"gpu.nvidia.com"}
    assert picture.kinds == {"LeaderWorkerSet"}
    assert (picture.version, picture.unknown) == ((1, 36), "")


@pytest.mark.usefixtures("served")
async def test_a_change_is_announced_once_and_a_heartbeat_is_not(api, start, wait_until):
    cache, announced = await start()
    await wait_until(lambda: len(announced) == 1 and api.streams)
    beat = node(**{"nvidia.com/gpu": "8"}) | {"kind": "Node"}
    beat["metadata"]["resourceVersion"] = "101"
    beat["status"]["conditions"].append({"type": "MemoryPressure", "status": "False"})
    api.send(NODES, {"type": "MODIFIED", "object": beat})
    more = node("b", **{"nvidia.com/gpu": "4"})
    more["metadata"]["resourceVersion"] = "102"
    api.send(NODES, {"type": "ADDED", "object": more})
    await wait_until(lambda: len(cache.picture().nodes) == 2)
    await wait_until(lambda: len(announced) > 1)
    await asyncio.sleep(0.05)
    assert [len(picture.nodes) for picture in announced] == [1, 2]


@pytest.mark.usefixtures("served")
async def test_what_came_and_went_again_is_no_change(api, start, wait_until, monkeypatch):
    cache, announced = await start()
    await wait_until(lambda: len(announced) == 1 and api.streams)
    monkeypatch.setattr(module, "_ANNOUNCE_SECONDS", 0.1)
    passing = node("b", **{"nvidia.com/gpu": "4"})
    for version, change in (("101", "ADDED"), ("102", "DELETED")):
        meta = passing["metadata"] | {"resourceVersion": version}
        api.send(NODES, {"type": change, "object": passing | {"metadata": meta}})
        await wait_until(lambda expected=change: (len(cache.picture().nodes) == 2) is (expected == "ADDED"))
    await asyncio.sleep(0.2)
    assert len(announced) == 1


async def test_what_may_not_be_read_is_unknown_and_said_once(api, served, start, error_status, caplog):
    refused = "nodes is forbidden"
    api.answer(f"GET {NODES}", lambda: error_status(403, "Forbidden", refused), times=50)
    del served
    caplog.set_level("INFO")
    cache, _ = await start()
    await asyncio.sleep(0.1)
    assert cache.picture().nodes is None
    assert cache.picture().devices, "the rest is known all the same"
    assert cache.picture().unknown == "the operator may not list nodes"
    assert [record.refused for record in caplog.records if "may not list" in record.message] == ["nodes"]
    assert not api.requests[f"GET {NODES}?watch"]


@pytest.mark.usefixtures("served")
async def test_without_any_right_everything_is_unknown(api, start, error_status):
    for path in (NODES, CLASSES, SLICES):
        api.answer(f"GET {path}", lambda: error_status(403, "Forbidden", "no"), times=50)
    cache, _ = await start()
    picture = cache.picture()
    assert (picture.nodes, picture.devices, picture.device_classes) == (None, None, None)
    assert picture.unknown == "the operator may not list nodes, deviceclasses, resourceslices"


@pytest.mark.usefixtures("served")
async def test_rights_that_are_given_later_are_noticed(api, start, error_status, wait_until):
    api.answer(f"GET {NODES}", lambda: error_status(403, "Forbidden", "no"), times=3)
    cache, announced = await start()
    assert cache.picture().nodes is None
    await wait_until(lambda: cache.picture().nodes)
    await wait_until(lambda: announced and announced[-1].nodes)
    assert cache.picture().unknown == ""


@pytest.mark.usefixtures("served")
async def test_rights_that_are_taken_away_end_the_watch(api, start, error_status, wait_until):
    cache, _ = await start()
    await wait_until(lambda: api.requests[f"GET {NODES}?watch"])
    api.answer(f"GET {NODES}", lambda: error_status(403, "Forbidden", "no"), times=1000)
    await wait_until(lambda: cache.picture().nodes is None)
    watches = api.requests[f"GET {NODES}?watch"]
    await asyncio.sleep(0.1)
    assert api.requests[f"GET {NODES}?watch"] == watches


async def test_a_cluster_without_dra_has_no_devices(api, served, start):
    del served, api.objects[CLASSES], api.objects[SLICES]
    cache, _ = await start()
    assert cache.picture().devices == ()
    assert cache.picture().device_classes == frozenset()
    assert cache.picture().unknown == ""


async def test_an_api_server_that_is_away_is_waited_for(api, served, start, error_status):
    api.answer(f"GET {NODES}", lambda: error_status(503, "ServiceUnavailable", "starting"), times=3)
    api.answer("GET /version", lambda: error_status(503, "ServiceUnavailable", "starting"), times=2)
    del served
    cache, _ = await start()
    assert cache.picture().nodes
    assert cache.picture().version == (1, 36)


async def test_an_api_that_is_installed_later_is_noticed(api, client, error_status):
    group = ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet")
    path = f"GET /apis/{group[0]}"
    api.answer(path, lambda: error_status(404, "NotFound", "no"), times=2)
    api.answer(path, lambda: error_status(503, "ServiceUnavailable", "busy"), times=1)
    api.objects[path.removeprefix("GET ")] = {"resources": [{"kind": "LeaderWorkerSet"}]}
    await asyncio.wait_for(other_kinds(client, [group], []), 5)
    assert api.requests[path] == 4
