"""Whatever the cluster has: what is said of it is what the scheduler will find, and a decision stands."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from autoglm_operator.api.v1alpha1 import GpuAllocation, Spec
from autoglm_operator.decide.allocated import Allocation, Method, Present
from autoglm_operator.decide.allocation import allocate
from autoglm_operator.errors import Waiting
from autoglm_operator.observe.cluster import Cluster, Devices, Node, Taint

PRODUCTS = ("NVIDIA-H100-80GB-HBM3", "NVIDIA-A100-SXM4-40GB", "NVIDIA-L4")
#: A machine that is busy draws slowly, which says nothing about what is tested.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
PROFILES = ("", "3g.40gb", "1g.10gb+me")
MEMORIES = (23034, 40960, 81559)


@st.composite
def nodes(draw, name):
    profile = draw(st.sampled_from(PROFILES))
    resource = f"nvidia.com/mig-{profile.replace('+', '.')}" if profile else "nvidia.com/gpu"
    memory = str(draw(st.sampled_from(MEMORIES)))
    labels = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "nvidia.com/gpu.product": st.sampled_from(PRODUCTS),
                f"{resource}.memory": st.just(memory),
                "zone": st.sampled_from("ab"),
            },
        )
    )
    taints = draw(st.lists(st.builds(Taint, st.just("team"), st.sampled_from("xy"), st.just("NoSchedule")), max_size=1))
    offers = draw(st.sampled_from([{}, {resource: 1}, {resource: 8}]))
    return Node(name, labels, offers, tuple(taints), draw(st.booleans()), draw(st.booleans()))


@st.composite
def clusters(draw):
    names = [f"n{number}" for number in range(draw(st.integers(0, 3)))]
    alike = st.builds(
        Devices,
        st.sampled_from([*names, "elsewhere"]),
        st.sampled_from(PRODUCTS),
        st.sampled_from((None, *MEMORIES)),
        st.just((9, 0)),
        st.sampled_from(PROFILES),
        st.integers(1, 8),
    )
    return Cluster(
        nodes=tuple(draw(nodes(name)) for name in names) if draw(st.integers(0, 3)) else None,
        devices=draw(st.none() | st.lists(alike, max_size=3).map(tuple)),
        device_classes=draw(st.none() | st.sets(st.sampled_from(("gpu.nvidia.com", "mig.nvidia.com"))).map(frozenset)),
        kinds=draw(st.none() | st.sets(st.just("ResourceClaimTemplate")).map(frozenset)),
        unknown="the operator may not look",
    )


@st.composite
def specs(draw):
    profile = draw(st.sampled_from(PROFILES))
    tensor = 1 if profile else draw(st.sampled_from((1, 2, 8)))
    stages = 1 if profile else draw(st.sampled_from((1, 2)))
    gpu = {"count": tensor * stages, "allocation": draw(st.sampled_from(["Auto", "DevicePlugin"]))}
    if profile:
        gpu["migProfile"] = profile
    if draw(st.booleans()):
        gpu["product"] = draw(st.sampled_from((*PRODUCTS, "NVIDIA-B200")))
    if draw(st.booleans()):
        gpu["memory"] = draw(st.sampled_from(("20Gi", "40Gi", "41.5G", "79Gi")))
    parallelism = {"tensor": tensor, "pipeline": stages, "nodes": draw(st.sampled_from((1, stages)))}
    return Spec.model_validate(
        {
            "model": {"source": {"huggingFace": "zai-org/AutoGLM-Phone-9B"}},
            "resources": {"gpu": gpu, "parallelism": parallelism, "numaAligned": draw(st.booleans())},
            "scheduling": {
                "tolerations": draw(st.sampled_from(([], [{"key": "team", "operator": "Exists"}]))),
                "nodeSelector": draw(st.sampled_from((None, {"zone": "a"}))),
            },
        }
    )


def takes(node: Node, spec: Spec, found: Allocation) -> bool:
    """Whether the scheduler would place a pod of the device plugin there, by its selector, affinity and limits."""
    selector = {**(spec.scheduling.node_selector or {}), **found.node_selector}
    if any(node.labels.get(key) != value for key, value in selector.items()):
        return False
    for requirement in found.requirements:
        value = node.labels.get(requirement.key, "")
        if not value.isdecimal() or not int(value) > int(requirement.values[0]):
            return False
    tolerated = bool(spec.scheduling.tolerations) or not node.taints
    return tolerated and node.ready and not node.cordoned and node.offers.get(found.resource, 0) >= found.count


@PATIENT
@given(spec=specs(), cluster=clusters())
def test_what_is_said_is_what_the_scheduler_finds(spec, cluster):
    found = allocate(spec, cluster)
    if found.method is Method.DEVICE_PLUGIN and cluster.nodes is not None:
        placed = any(takes(node, spec, found) for node in cluster.nodes)
        assert found.status == ("True" if placed else "False"), found.message


@PATIENT
@given(spec=specs(), cluster=clusters())
def test_a_decision_stands_while_nothing_changes(spec, cluster):
    first = allocate(spec, cluster)
    second = allocate(spec, cluster, Present(first.method, first.resource))
    assert (second.method, second.resource, second.selectors, second.node_selector, second.requirements) == (
        first.method,
        first.resource,
        first.selectors,
        first.node_selector,
        first.requirements,
    )


@PATIENT
@given(spec=specs(), before=clusters(), after=clusters())
def test_running_pods_are_moved_only_to_gpus_that_are_there(spec, before, after):
    first = allocate(spec, before)
    second = allocate(spec, after, Present(first.method, first.resource))
    if second.method is not first.method:
        assert second.status != "Unknown", second.message
        assert "no node offers" not in second.message


@PATIENT
@given(spec=specs(), cluster=clusters())
def test_every_allocation_is_whole(spec, cluster):
    found = allocate(spec, cluster)
    assert found.count * spec.resources.parallelism.nodes == spec.resources.gpu.count
    assert found.message
    assert len(found.message) <= 1024, "the limit of a condition's message"
    by_plugin = found.method is Method.DEVICE_PLUGIN
    assert bool(found.resource) is by_plugin
    assert bool(found.device_class) is not by_plugin
    assert (found.status == "Unknown") is (found.reason.value == "ClusterUnknown")


@PATIENT
@given(cluster=clusters(), spec=specs())
def test_dra_by_name_is_never_something_else(cluster, spec):
    gpu = spec.resources.gpu.model_copy(update={"allocation": GpuAllocation.DYNAMIC_RESOURCE_ALLOCATION})
    asked = spec.model_copy(update={"resources": spec.resources.model_copy(update={"gpu": gpu})})
    try:
        found = allocate(asked, cluster)
    except Waiting:
        assert cluster.serves("ResourceClaimTemplate") is False
    else:
        assert found.method is Method.DYNAMIC_RESOURCE_ALLOCATION
