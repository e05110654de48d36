"""The way in which pods get their GPUs, and the sentence that says so."""

import pytest

from autoglm_operator.api.v1alpha1 import Spec, Toleration
from autoglm_operator.decide.allocated import Method, Present, Requirement, kept_claims, present_of
from autoglm_operator.decide.allocation import allocate
from autoglm_operator.decide.gpu_offers import nearest_product, tolerates
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.errors import Waiting
from autoglm_operator.observe.cluster import UNKNOWN_CLUSTER, Cluster, Devices, Node, Taint

H100, A100, L4 = "NVIDIA-H100-80GB-HBM3", "NVIDIA-A100-SXM4-80GB", "NVIDIA-L4"
MEMORY = {H100: 81559, A100: 81920, L4: 23034}
COMPUTE = {H100: ("9", "0"), A100: ("8", "0"), L4: ("8", "9")}
DRA = frozenset({"ResourceClaimTemplate"})
CLASSES = frozenset({"gpu.nvidia.com", "mig.nvidia.com"})
PLUGIN, CLAIMS = Method.DEVICE_PLUGIN, Method.DYNAMIC_RESOURCE_ALLOCATION


def node(name, product=H100, gpus=8, labels=(), offers=None, **changes):
    major, minor = COMPUTE.get(product, ("8", "0"))
    known = {
        "nvidia.com/gpu.product": product,
        "nvidia.com/gpu.memory": str(MEMORY.get(product, 40192)),
        "nvidia.com/gpu.compute.major": major,
        "nvidia.com/gpu.compute.minor": minor,
    }
    return Node(name, known | dict(labels), {"nvidia.com/gpu": gpus} if offers is None else offers, **changes)


def plain(name):
    return Node(name, {}, {})


def devices(name, product=H100, count=8, profile="", memory=None):
    return Devices(name, product, memory or MEMORY[product], (9, 0), profile, count)


def cluster(*nodes, claims=(), classes=frozenset(), kinds=frozenset()):
    return Cluster(nodes, tuple(claims), classes, kinds, (1, 36))


def spec(scheduling=None, parallelism=None, numa=False, **gpu):
    if gpu.get("count", 1) > 1 and parallelism is None:
        parallelism = {"tensor": gpu["count"]}
    return Spec.model_validate(
        {
            "model": {"source": {"huggingFace": "zai-org/AutoGLM-Phone-9B"}},
            "resources": {"gpu": gpu, "parallelism": parallelism or {}, "numaAligned": numa},
            "scheduling": scheduling or {},
        }
    )


def test_no_gpu_needs_nothing():
    found = allocate(spec(count=0), cluster())
    assert (found.method, found.status, found.reason) == (Method.NONE, "True", Reason.NO_GPU_WANTED)


def test_the_device_plugin_where_there_is_no_dra():
    found = allocate(
        spec(product=H100, count=2, memory="40Gi"), cluster(*map(node, "abc"), plain("d"), node("e", L4), kinds=DRA)
    )
    assert (found.method, found.resource, found.count) == (PLUGIN, "nvidia.com/gpu", 2)
    assert found.node_selector == {"nvidia.com/gpu.product": H100}
    assert found.requirements == (Requirement("nvidia.com/gpu.memory", "Gt", ("40959",)),)
    assert (found.device_class, found.selectors) == ("", ())
    assert (found.gpu_facts.product, found.gpu_facts.memory_mib, found.gpu_facts.compute) == (H100, 81559, (9, 0))
    assert found.gpus_per_node == 8
    assert (found.status, found.reason) == ("True", Reason.DEVICE_PLUGIN)
    assert found.message == (
        f"3 of 5 nodes offer {H100} with at least 40.0 GiB, 24 GPUs; "
        "allocated through the device plugin because the DeviceClass gpu.nvidia.com does not exist"
    )


def test_dra_where_its_devices_match():
    there = cluster(plain("a"), plain("b"), claims=[devices("a", count=4)], classes=CLASSES, kinds=DRA)
    found = allocate(spec(product=H100, count=2, memory="40Gi", numa=True), there)
    assert (found.method, found.device_class, found.count, found.aligned) == (CLAIMS, "gpu.nvidia.com", 2, True)
    assert found.selectors == (
        f'device.attributes["gpu.nvidia.com"].productName.replace(" ", "-") == "{H100}"',
        'device.capacity["gpu.nvidia.com"].memory.compareTo(quantity("40960Mi")) >= 0',
    )
    assert (found.resource, found.node_selector, found.requirements) == ("", {}, ())
    assert (found.status, found.reason) == ("True", Reason.DYNAMIC_RESOURCE_ALLOCATION)
    assert found.message == (
        f"1 of 2 nodes offers {H100} with at least 40.0 GiB, 4 GPUs; "
        "allocated through DRA because its driver gpu.nvidia.com offers them"
    )


def test_one_gpu_is_aligned_with_itself():
    there = cluster(plain("a"), claims=[devices("a")], classes=CLASSES, kinds=DRA)
    assert not allocate(spec(numa=True), there).aligned


def test_with_the_device_plugin_alignment_is_the_kubelets():
    assert "Topology Manager" in allocate(spec(count=2, numa=True), cluster(node("a"))).message
    assert "Topology Manager" not in allocate(spec(count=2), cluster(node("a"))).message


@pytest.mark.parametrize(
    ("there", "why"),
    [
        (cluster(node("a")), "the cluster does not serve resource.k8s.io/v1"),
        (cluster(node("a"), kinds=DRA), "the DeviceClass gpu.nvidia.com does not exist"),
        (
            cluster(node("a"), kinds=DRA, classes=CLASSES, claims=[devices("a", L4)]),
            f"no ResourceSlice of gpu.nvidia.com has {H100}",
        ),
        (
            Cluster((node("a"),), None, None, DRA, None, unknown="the operator may not list deviceclasses"),
            "whether DRA offers them is unknown: the operator may not list deviceclasses",
        ),
    ],
    ids=["not served", "no class", "no device", "unknown"],
)
def test_auto_says_why_it_is_not_dra(there, why):
    found = allocate(spec(product=H100), there)
    assert found.method is PLUGIN
    assert found.message.endswith(f"allocated through the device plugin because {why}")


def test_gpus_to_come_are_of_the_kind_that_the_cluster_has():
    there = cluster(plain("a"), claims=[devices("a", L4)], classes=CLASSES, kinds=DRA)
    found = allocate(spec(product=H100), there)
    assert (found.method, found.status, found.reason) == (CLAIMS, "False", Reason.NO_MATCHING_GPU)
    assert f"no node offers {H100}: there is {L4} (22.5 GiB, 1 node)" in found.message


def test_what_was_decided_for_running_pods_stays_while_it_works():
    both = cluster(node("a"), claims=[devices("a")], classes=CLASSES, kinds=DRA)
    for method in (PLUGIN, CLAIMS):
        found = allocate(spec(), both, Present(method, "nvidia.com/gpu"))
        assert found.method is method
        assert "as for the pods that run" in found.message


def test_a_driver_that_is_away_for_a_moment_moves_no_pod():
    gone = cluster(plain("a"), classes=CLASSES, kinds=DRA)
    assert allocate(spec(), gone, Present(CLAIMS)).method is CLAIMS
    unknown = Cluster((node("a"),), None, None, DRA, None, "?")
    assert allocate(spec(), unknown, Present(CLAIMS)).method is CLAIMS


def test_what_works_no_longer_is_left():
    only_plugin = cluster(node("a"), kinds=DRA)
    assert allocate(spec(), only_plugin, Present(CLAIMS)).method is PLUGIN
    only_claims = cluster(plain("a"), claims=[devices("a")], classes=CLASSES, kinds=DRA)
    assert allocate(spec(), only_claims, Present(PLUGIN, "nvidia.com/gpu")).method is CLAIMS


@pytest.mark.parametrize(("asked", "method"), [("DevicePlugin", PLUGIN), ("DynamicResourceAllocation", CLAIMS)])
def test_what_the_spec_asks_for_is_taken(asked, method):
    both = cluster(node("a"), claims=[devices("a")], classes=CLASSES, kinds=DRA)
    found = allocate(spec(allocation=asked), both, Present(PLUGIN if method is CLAIMS else CLAIMS))
    assert found.method is method
    assert found.message.endswith("as the spec says")


def test_dra_by_name_without_its_class_says_what_to_install():
    found = allocate(spec(allocation="DynamicResourceAllocation"), cluster(node("a"), kinds=DRA))
    assert (found.method, found.status) == (CLAIMS, "False")
    assert "the DeviceClass gpu.nvidia.com does not exist: install NVIDIA's DRA driver" in found.message


def test_dra_by_name_waits_for_a_cluster_that_serves_it():
    with pytest.raises(Waiting, match="set it to DevicePlugin") as refused:
        allocate(spec(allocation="DynamicResourceAllocation"), cluster(node("a")))
    assert refused.value.reason == Reason.NO_DYNAMIC_RESOURCE_ALLOCATION


def test_nothing_known_is_the_device_plugin_and_unknown():
    found = allocate(spec(product=H100), UNKNOWN_CLUSTER)
    assert (found.method, found.status, found.reason) == (PLUGIN, "Unknown", Reason.CLUSTER_UNKNOWN)
    assert (found.gpu_facts.product, found.gpu_facts.memory_mib, found.gpus_per_node) == (H100, None, None)
    assert "what the cluster has is unknown: no cluster was asked" in found.message


def test_a_product_that_no_node_has_is_said_with_what_there_is():
    found = allocate(spec(product="NVIDIA-H100"), cluster(node("a"), node("b"), node("c", L4), plain("d")))
    assert (found.status, found.reason, found.gpus_per_node) == ("False", Reason.NO_MATCHING_GPU, None)
    assert found.node_selector == {"nvidia.com/gpu.product": "NVIDIA-H100"}, "a node with it may still come"
    assert found.message.startswith(
        f"no node offers NVIDIA-H100: there is {H100} (79.6 GiB, 2 nodes), {L4} (22.5 GiB, 1 node); "
        f"did you mean {H100}?"
    )


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [("H100", H100), ("NVIDIA-A100", A100), ("nvidia-l4", L4), ("NVIDIA-H10O-80GB-HBM3", H100), ("NVIDIA-B200", None)],
)
def test_a_product_is_guessed_by_its_words(wanted, meant):
    assert nearest_product(wanted, [H100, A100, L4]) == meant
    assert nearest_product(wanted, []) is None


def test_memory_that_the_product_does_not_have():
    found = allocate(spec(product=H100, memory="80Gi"), cluster(node("a")))
    assert f"no node offers {H100} with at least 80.0 GiB: {H100} has 79.6 GiB here" in found.message


def test_exactly_the_memory_wanted_is_enough():
    assert allocate(spec(product=H100, memory="81559Mi"), cluster(node("a"))).status == "True"
    assert allocate(spec(product=H100, memory="81560Mi"), cluster(node("a"))).status == "False"


def test_a_cluster_without_gpus():
    assert "no node offers a GPU: there is no GPU" in allocate(spec(), cluster(plain("a"))).message


def test_many_products_do_not_fill_the_condition():
    there = cluster(*(node(str(number), f"NVIDIA-{number}" * 5) for number in range(40)))
    assert len(allocate(spec(product=H100), there).message) < 1024
    tainted = (node(str(number), taints=(Taint(f"team-{number}" * 5, "x", "NoSchedule"),)) for number in range(40))
    assert len(allocate(spec(product=H100), cluster(*tainted)).message) < 1024


def test_more_gpus_than_a_node_has():
    found = allocate(spec(product=H100, count=8), cluster(node("a", gpus=4), node("b", gpus=2)))
    assert (found.status, found.reason, found.gpus_per_node) == ("False", Reason.TOO_FEW_GPUS_PER_NODE, 4)
    assert (
        "each pod wants 8 GPUs and no node has more than 4: "
        "set resources.parallelism to nodes 2, pipeline 2, tensor 4, or lower resources.gpu.count to 4 or less"
    ) in found.message


def test_gpus_are_counted_for_each_pod_of_a_group():
    two = spec(product=H100, count=8, parallelism={"tensor": 4, "pipeline": 2, "nodes": 2})
    found = allocate(two, cluster(node("a", gpus=4)))
    assert (found.count, found.status) == (4, "True")


@pytest.mark.parametrize(
    ("changes", "scheduling", "why"),
    [
        ({"cordoned": True}, {}, "1 has it but is cordoned"),
        ({"ready": False}, {}, "1 has it but is not ready"),
        (
            {"taints": (Taint("team", "vision", "NoSchedule"),)},
            {},
            "1 has it but is tainted team=vision:NoSchedule, which scheduling.tolerations does not tolerate",
        ),
        ({}, {"nodeSelector": {"zone": "eu"}}, "1 has it but is left out by scheduling.nodeSelector"),
    ],
    ids=["cordoned", "not ready", "tainted", "node selector"],
)
def test_nodes_that_cannot_be_used(changes, scheduling, why):
    found = allocate(spec(scheduling, product=H100), cluster(node("a", **changes)))
    assert (found.status, found.reason) == ("False", Reason.NO_MATCHING_GPU)
    assert found.message.startswith(f"no node can be used for {H100}: {why}")
    beside = allocate(spec(scheduling, product=H100), cluster(node("a", **changes), node("b", labels={"zone": "eu"})))
    assert beside.message.startswith(f"1 of 2 nodes offers {H100}, 8 GPUs; {why} as well")
    assert beside.status == "True"


def test_taints_that_are_tolerated_are_nothing_in_the_way():
    taints = (Taint("nvidia.com/gpu", "present", "NoSchedule"), Taint("team", "vision", "NoSchedule"))
    scheduling = {"tolerations": [{"key": "team", "operator": "Equal", "value": "vision"}]}
    assert allocate(spec(scheduling), cluster(node("a", taints=taints))).status == "True"


@pytest.mark.parametrize(
    ("toleration", "tolerated"),
    [
        ({"operator": "Exists"}, True),
        ({"key": "team", "operator": "Exists"}, True),
        ({"key": "team", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "team", "value": "vision"}, True),
        ({"key": "team", "value": "speech"}, False),
        ({"key": "other", "operator": "Exists"}, False),
    ],
)
def test_tolerations(toleration, tolerated):
    assert tolerates(Toleration.model_validate(toleration), Taint("team", "vision", "NoSchedule")) is tolerated


def test_obstacles_hold_for_dra_too():
    there = cluster(
        Node("a", {}, {}, cordoned=True), claims=[devices("a"), devices("elsewhere")], classes=CLASSES, kinds=DRA
    )
    found = allocate(spec(), there)
    assert "1 of 1 node offers a GPU, 8 GPUs; 1 has it but is cordoned as well" in found.message


def mig_node(name, profile="3g.40gb", count=2):
    offers = {f"nvidia.com/mig-{profile.replace('+', '.')}": count}
    labels = {f"nvidia.com/mig-{profile.replace('+', '.')}.memory": "40192"}
    return node(name, labels=labels, offers=offers)


def test_mig_slices_of_the_mixed_strategy():
    found = allocate(spec(product=H100, migProfile="3g.40gb", memory="39Gi"), cluster(mig_node("a"), node("b")))
    assert (found.resource, found.count) == ("nvidia.com/mig-3g.40gb", 1)
    assert found.node_selector == {"nvidia.com/gpu.product": H100}
    assert found.requirements == (Requirement("nvidia.com/mig-3g.40gb.memory", "Gt", ("39935",)),)
    assert found.gpu_facts.memory_mib == 40192
    assert found.message.startswith(f"1 of 2 nodes offers {H100} as MIG 3g.40gb with at least 39.0 GiB, 2 slices")


def test_a_plus_in_the_profile_is_a_dot_in_the_resource():
    found = allocate(spec(migProfile="1g.10gb+me"), cluster(mig_node("a", "1g.10gb+me")))
    assert (found.resource, found.status) == ("nvidia.com/mig-1g.10gb.me", "True")


def test_mig_slices_of_the_single_strategy():
    single = node("a", f"{A100}-MIG-3g.40gb", gpus=2)
    found = allocate(spec(product=A100, migProfile="3g.40gb"), cluster(single, node("b", A100)))
    assert found.resource == "nvidia.com/gpu"
    assert found.node_selector == {"nvidia.com/gpu.product": f"{A100}-MIG-3g.40gb"}
    assert (found.status, found.gpus_per_node) == ("True", 2)
    kept = allocate(spec(product=A100, migProfile="3g.40gb"), cluster(), Present(PLUGIN, "nvidia.com/gpu"))
    assert kept.resource == "nvidia.com/gpu", "nodes that are away for a moment move no pod"


def test_mig_slices_through_dra():
    there = cluster(plain("a"), claims=[devices("a", profile="3g.40gb")], classes=CLASSES, kinds=DRA)
    found = allocate(spec(migProfile="3g.40gb"), there)
    assert (found.method, found.device_class) == (CLAIMS, "mig.nvidia.com")
    assert found.selectors == ('device.attributes["gpu.nvidia.com"].profile == "3g.40gb"',)
    whole = allocate(spec(), there)
    assert whole.method is PLUGIN, "a slice is no whole GPU"
    assert whole.status == "False"


def test_no_slice_of_the_profile():
    assert "there is no MIG slice 3g.40gb" in allocate(spec(migProfile="3g.40gb"), cluster(node("a"))).message


def test_facts_are_the_least_of_what_may_be_given():
    found = allocate(spec(), cluster(node("a"), node("b", L4)))
    assert (found.gpu_facts.product, found.gpu_facts.memory_mib, found.gpu_facts.compute) == (None, 23034, (8, 9))


def container(**limits):
    return {"name": "engine", "resources": {"limits": {"memory": "1Gi"} | limits}}


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        ({"containers": [container()]}, None),
        ({"containers": [container(**{"nvidia.com/gpu": "2"})]}, Present(PLUGIN, "nvidia.com/gpu")),
        ({"containers": [container()], "resourceClaims": [{"name": "gpu"}]}, Present(CLAIMS)),
    ],
)
def test_the_way_of_the_pods_that_run(pod, expected):
    assert present_of(None) is None
    assert present_of({"spec": {"template": {"spec": pod}}}) == expected
    assert present_of({"spec": {"leaderWorkerTemplate": {"leaderTemplate": {"spec": pod}}}}) == expected


def test_templates_of_earlier_specs_are_kept_while_their_pods_run():
    def template(name):
        meta = {"name": name, "namespace": "n", "uid": "u", "resourceVersion": "7", "annotations": {"a": "b"}}
        return {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaimTemplate", "metadata": meta, "spec": {"x": 1}}

    children = [template("old"), template("new"), {"kind": "Service", "metadata": {"name": "old"}}]
    assert kept_claims(children, "new", replacing=False) == ()
    kept = kept_claims(children, "new", replacing=True)
    assert [item["metadata"] for item in kept] == [{"name": "old", "namespace": "n", "annotations": {"a": "b"}}]
    assert kept[0]["spec"] == {"x": 1}
