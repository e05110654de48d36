"""What registries, the scheduler and admission say when they give no pod, and what to do."""

import re
from typing import Final, NamedTuple

from autoglm_operator.decide.signatures import Outlook


class PullFailure(NamedTuple):
    """Why an image was not pulled. The texts are containerd's and CRI-O's."""

    pattern: re.Pattern[str]
    outlook: Outlook
    what: str
    cure: str


_OTHER_IMAGE: Final = "correct spec.engine.image or spec.engine.version"

PULL_FAILURES: Final = (
    PullFailure(
        re.compile(r"toomanyrequests|429 Too Many Requests|pull rate limit"),
        Outlook.PASSING,
        "the registry limits the rate of pulls",
        "wait, pull from a mirror (spec.engine.image), or pull with an account",
    ),
    PullFailure(
        re.compile(r"no match for platform|no matching manifest|no image found in \S+ for architecture"),
        Outlook.OUTSIDE,
        "it is not made for the node's processor",
        _OTHER_IMAGE,
    ),
    PullFailure(
        re.compile(r"pull access denied|[Uu]nauthorized|authorization failed|insufficient_scope|403 Forbidden|denied:"),
        Outlook.OUTSIDE,
        "the registry refuses it: it does not exist there, or a login is needed",
        f"add a pull secret to the ServiceAccount of the pods, or {_OTHER_IMAGE}",
    ),
    PullFailure(
        re.compile(r"manifest unknown|not found|name unknown|repository does not exist"),
        Outlook.OUTSIDE,
        "the registry has no such image",
        _OTHER_IMAGE,
    ),
    PullFailure(
        re.compile(r"x509: |certificate signed by unknown authority|failed to verify certificate"),
        Outlook.OUTSIDE,
        "the node does not trust the registry's certificate",
        "add its authority to the nodes, or pull from another registry (spec.engine.image)",
    ),
    PullFailure(
        re.compile(
            r"no such host|i/o timeout|connection refused|network is unreachable|TLS handshake timeout|deadline ex"
        ),
        Outlook.PASSING,
        "the node does not reach the registry",
        "check DNS and egress of the nodes, or pull from a mirror (spec.engine.image)",
    ),
    PullFailure(
        re.compile(r"no space left on device"),
        Outlook.OUTSIDE,
        "the node's disk is full",
        "free space on the node",
    ),
)

#: Words of the scheduler → what to do. Several can be true at once, each of other nodes.
_SCHEDULER: Final = (
    (
        re.compile(r"Insufficient (?P<resource>nvidia\.com/\S*\w)"),
        "{resource}: free one, add a node, or lower spec.replicas or spec.resources.gpu.count",
    ),
    (
        re.compile(r"cannot allocate all claims|[Rr]esource[Cc]laim|claim to be (?:created|allocated)"),
        "no free device is as spec.resources.gpu asks: see the cluster's ResourceSlices",
    ),
    (
        re.compile(r"didn't match Pod's node (?:affinity|selector)|didn't match node selector"),
        "no node has the labels that spec.resources.gpu (product, memory) and spec.scheduling ask for",
    ),
    (
        re.compile(r"untolerated taint(?:\(s\))? ?(?P<taint>\{[^}]*\})?"),
        "tolerate the taint {taint} in spec.scheduling.tolerations",
    ),
    (
        re.compile(r"unbound immediate PersistentVolumeClaims|persistentvolumeclaim|volume node affinity conflict"),
        "see why the claim of spec.model.source.pvc or spec.warmStart.cache is not bound (kubectl describe pvc)",
    ),
    (
        re.compile(r"Insufficient (?P<resource>cpu|memory|ephemeral-storage)"),
        "lower spec.resources.{resource}, or add a node",
    ),
    (
        re.compile(r"topology spread constraints"),
        "relax spec.scheduling.topologySpread",
    ),
    (
        re.compile(r"anti-affinity rules|affinity rules"),
        "relax spec.scheduling.affinity",
    ),
)
_REJECTIONS: Final = (
    (
        re.compile(r"exceeded quota"),
        "raise the ResourceQuota of the namespace, or lower spec.replicas or spec.resources",
    ),
    (re.compile(r"violates PodSecurity"), "the namespace allows fewer rights than the pod takes: see its labels"),
    (re.compile(r"admission webhook"), "ask whoever runs that webhook, or change what it objects to"),
    (re.compile(r"LimitRange|(?:maximum|minimum) \S+ usage per"), "stay within the LimitRange of the namespace"),
    (re.compile(r"no PriorityClass|PriorityClass with name"), "correct spec.scheduling.priorityClassName"),
    (re.compile(r"RuntimeClass"), "correct spec.scheduling.runtimeClassName"),
)


def pull_failure(message: str) -> PullFailure | None:
    """Return why an image was not pulled; `None` if the message does not say."""
    return next((item for item in PULL_FAILURES if item.pattern.search(message)), None)


def unschedulable_cures(message: str) -> list[str]:
    """Return what can be done about each obstacle that the scheduler names."""
    found = ((pattern.search(message), cure) for pattern, cure in _SCHEDULER)
    return [
        cure.format_map({key: value or "" for key, value in match.groupdict().items()})
        for match, cure in found
        if match
    ]


def rejection_cure(message: str) -> str:
    """Return what can be done about pods that the API server refuses; empty if it is not known."""
    return next((cure for pattern, cure in _REJECTIONS if pattern.search(message)), "")
