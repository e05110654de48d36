"""Which nodes could give an engine pod its GPUs, and in words what is there instead: pure."""

import difflib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from autoglm_operator.api import names
from autoglm_operator.api.quantity import GIBIBYTE, MEBIBYTE, byte_count
from autoglm_operator.api.v1alpha1 import Scheduling, Spec, Toleration
from autoglm_operator.observe.cluster import Cluster, Compute, Node, Taint

PRODUCT_LABEL: Final = f"{names.GPU_RESOURCE}.product"
MEMORY_LABEL: Final = f"{names.GPU_RESOURCE}.memory"
#: More are not named; a message has to end.
_MOST_NAMED: Final = 6
_MOST_OBSTACLES: Final = 3
#: Ratio of equal letters from which a name may be a slip of the pen.
_ALIKE: Final = 0.8
_VENDOR: Final = names.GPU_RESOURCE.rpartition("/")[0]
#: Engine pods put up with the taint that GPU nodes commonly have.
GPU_TOLERATION: Final = Toleration(key=names.GPU_RESOURCE, operator="Exists", effect="NoSchedule")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one pod wants.

    Attributes:
        product: as the node label has it.
        memory_mib: least memory of each GPU.
        profile: MIG profile; empty for whole GPUs.
        count: GPUs of the pod.
    """

    product: str | None
    memory_mib: int
    profile: str
    count: int
    scheduling: Scheduling

    @classmethod
    def of(cls, spec: Spec) -> Self:
        """Return what each pod of a replica wants."""
        gpu = spec.resources.gpu
        return cls(
            product=gpu.product,
            memory_mib=-(-byte_count(gpu.memory) // MEBIBYTE) if gpu.memory else 0,
            profile=gpu.mig_profile or "",
            count=gpu.count // spec.resources.parallelism.nodes,
            scheduling=spec.scheduling,
        )

    def __str__(self) -> str:
        """Return it in words, such as `NVIDIA-A100-SXM4-80GB as MIG 3g.40gb with at least 40.0 GiB`."""
        words = self.product or "a GPU"
        words += f" as MIG {self.profile}" if self.profile else ""
        return words + (f" with at least {gibibytes(self.memory_mib)}" if self.memory_mib else "")


@dataclass(frozen=True, slots=True)
class Host:
    """Alike GPUs of one node.

    Attributes:
        obstacle: why no pod of ours would be placed there; empty if nothing is in the way.
    """

    node: str
    product: str
    memory_mib: int | None
    compute: Compute | None
    gpus: int
    obstacle: str = ""

    def fits(self, wanted: Wanted) -> bool:
        """Whether its GPUs are such as are wanted; memory that nobody tells does not count as enough."""
        if wanted.product not in (None, self.product):
            return False
        return not wanted.memory_mib or (self.memory_mib or 0) >= wanted.memory_mib


@dataclass(frozen=True, slots=True)
class Offer:
    """What one way of allocation has.

    Attributes:
        hosts: everything of the kind asked for, whole GPUs or slices of the profile.
        matching: those of the product and memory wanted.
        free: of these, the ones that nothing is in the way of.
    """

    hosts: tuple[Host, ...]
    matching: tuple[Host, ...]
    free: tuple[Host, ...]

    @classmethod
    def of(cls, hosts: Iterable[Host], wanted: Wanted) -> Self:
        """Sort out `hosts`."""
        found = tuple(hosts)
        matching = tuple(host for host in found if host.fits(wanted))
        return cls(found, matching, tuple(host for host in matching if not host.obstacle))

    @property
    def per_node(self) -> int | None:
        """Return the most GPUs that one usable node has."""
        return max((host.gpus for host in self.free), default=None)


def mig_resource(profile: str) -> str:
    """Return the resource of a MIG profile as the device plugin names it: `1g.10gb+me` becomes `mig-1g.10gb.me`."""
    return f"{_VENDOR}/mig-{profile.replace('+', '.')}"


def plugin_offer(wanted: Wanted, resource: str, cluster: Cluster) -> Offer | None:
    """Return what the device plugin offers as `resource`; `None` if nodes may not be read."""
    if cluster.nodes is None:
        return None
    sliced = resource != names.GPU_RESOURCE
    memory_label = f"{resource}.memory" if sliced else MEMORY_LABEL
    hosts = (
        Host(
            node.name,
            node.product or "an unnamed product",
            node.number(memory_label),
            node.compute,
            node.offers[resource],
            _obstacle(node, wanted.scheduling),
        )
        for node in cluster.nodes
        if resource in node.offers
    )
    return Offer.of(hosts, wanted)


def claim_offer(wanted: Wanted, cluster: Cluster) -> Offer | None:
    """Return what the DRA driver offers; `None` if its devices may not be read."""
    if cluster.devices is None:
        return None
    hosts = []
    for devices in cluster.devices:
        if devices.profile == wanted.profile:
            node = cluster.by_name.get(devices.node)
            obstacle = _obstacle(node, wanted.scheduling) if node else ""
            hosts.append(
                Host(devices.node, devices.product, devices.memory_mib, devices.compute, devices.count, obstacle)
            )
    return Offer.of(hosts, wanted)


def _obstacle(node: Node, scheduling: Scheduling) -> str:
    if any(node.labels.get(key) != value for key, value in (scheduling.node_selector or {}).items()):
        return "left out by scheduling.nodeSelector"
    if node.cordoned:
        return "cordoned"
    if not node.ready:
        return "not ready"
    tolerations = (GPU_TOLERATION, *scheduling.tolerations)
    for taint in node.taints:
        if not any(tolerates(one, taint) for one in tolerations):
            return f"tainted {taint}, which scheduling.tolerations does not tolerate"
    return ""


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """Whether a toleration covers a taint, by the rules of the scheduler."""
    if toleration.effect not in (None, taint.effect):
        return False
    if toleration.operator == "Exists":
        return toleration.key in (None, taint.key)
    return toleration.key == taint.key and (toleration.value or "") == taint.value


def describe(offer: Offer, wanted: Wanted, total: int | None) -> str:
    """Return a sentence about what there is for `wanted`.

    Args:
        offer: what was found.
        wanted: what is looked for.
        total: nodes of the cluster; `None` if not known.
    """
    free = {host.node for host in offer.free}
    blocked = _blocked(offer)
    if free:
        gpus = sum(host.gpus for host in offer.free)
        unit = f"slice{_s(gpus)}" if wanted.profile else f"GPU{_s(gpus)}"
        of = f" of {total}" if total is not None else ""
        verb = "offers" if len(free) == 1 else "offer"
        more = f"; {blocked} as well" if blocked else ""
        return f"{len(free)}{of} node{_s(total or len(free))} {verb} {wanted}, {gpus} {unit}{more}"
    if blocked:
        return f"no node can be used for {wanted}: {blocked}"
    return f"no node offers {wanted}: {_instead(offer, wanted)}"


def _blocked(offer: Offer) -> str:
    count = Counter(host.obstacle for host in offer.matching if host.obstacle)
    return ", ".join(
        f"{number} {'has it but is' if number == 1 else 'have it but are'} {why}"
        for why, number in count.most_common(_MOST_OBSTACLES)
    )


def _instead(offer: Offer, wanted: Wanted) -> str:
    if not offer.hosts:
        return f"there is no MIG slice {wanted.profile}" if wanted.profile else "there is no GPU"
    products = Counter(host.product for host in offer.hosts)
    if wanted.product in products:
        most = max((host.memory_mib or 0 for host in offer.hosts if host.product == wanted.product), default=0)
        known = gibibytes(most) if most else "memory that no label tells"
        return f"{wanted.product} has {known} here; lower resources.gpu.memory"
    named = sorted(products.items())[:_MOST_NAMED]
    there = ", ".join(f"{name} ({_memory(offer, name)}{n} node{_s(n)})" for name, n in named)
    close = nearest_product(wanted.product or "", products)
    return f"there is {there}" + (f"; did you mean {close}?" if close else "")


def nearest_product(wanted: str, products: Iterable[str]) -> str | None:
    """Return the product that `wanted` may have been meant to be; `None` if none is like it.

    `NVIDIA-H100` is more like `NVIDIA-H100-80GB-HBM3` than like `NVIDIA-L4`: words that they share count more than
    letters.
    """
    scored = (
        (len(_words(wanted) & _words(name)), difflib.SequenceMatcher(None, wanted.lower(), name.lower()).ratio(), name)
        for name in sorted(products)
    )
    shared, ratio, name = max(scored, default=(0, 0.0, ""))
    return name if shared or ratio >= _ALIKE else None


def _words(product: str) -> set[str]:
    """Return the words that tell products apart: neither the vendor nor an amount of memory does."""
    words = product.lower().split("-")
    return {word for word in words if word not in ("nvidia", "") and not re.fullmatch("[0-9]+gb", word)}


def _memory(offer: Offer, product: str) -> str:
    known = [host.memory_mib for host in offer.hosts if host.product == product and host.memory_mib]
    return f"{gibibytes(min(known))}, " if known else ""


def gibibytes(mebibytes: int) -> str:
    """Return an amount of memory in words, such as `79.6 GiB`."""
    return f"{mebibytes * MEBIBYTE / GIBIBYTE:.1f} GiB"


def _s(number: int) -> str:
    return "" if number == 1 else "s"
