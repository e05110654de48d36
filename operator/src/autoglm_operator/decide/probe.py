"""Which engine version an image holds whose name does not say: asked once, by running it."""

import re
from dataclasses import dataclass
from typing import Final

from autoglm_operator.api.hashing import content_hash
from autoglm_operator.api.v1alpha1 import EngineType, Spec
from autoglm_operator.decide.engine_image import engine_version
from autoglm_operator.decide.reasons import Reason
from autoglm_operator.errors import Terminal
from autoglm_operator.observe.pod import Pod
from autoglm_operator.observe.world import ChildRef, Document, Observed, child_ref

PROBE_CONTAINER: Final = "probe"
#: A build of one's own calls itself 0.33.1.dev5+g1a2b3c4; what counts is the release it was made from.
_VERSION: Final = re.compile(r"[0-9]+\.[0-9]+(\.[0-9]+)?(\.?(rc|post)[0-9]+)?")
_SHOWN: Final = 300


@dataclass(frozen=True, slots=True)
class Probe:
    """What is known of the version.

    Attributes:
        version: empty until it is known.
        job: name of the Job that tells; empty if none is needed.
    """

    version: str = ""
    job: str = ""

    @property
    def pending(self) -> bool:
        """Return whether nothing can be rendered yet."""
        return bool(self.job)


def probe(spec: Spec, image: str, observed: Observed, before: str) -> Probe:
    """Return the version of the engine in `image`, or what has to run to learn it.

    Args:
        spec: of the deployment.
        image: that its pods run.
        observed: its Jobs and their pods.
        before: version of the workload that runs, made for the same spec; empty if there is none.

    Raises:
        Terminal: the image was run and did not tell.
    """
    version = engine_version(spec, image) or before
    if version or spec.engine.type is EngineType.SIMULATOR:
        return Probe(version)
    name = f"{observed.deployment.name}-probe-{content_hash({'image': image})[:8]}"
    job = next((child for child in observed.children.values() if _is(child, name)), None)
    ended = _ended(job)
    if ended is None:
        return Probe(job=name)
    said = _said(observed.fetch_pods.get(name))
    found = _VERSION.match(said)
    if ended and found:
        return Probe(found[0])
    raise Terminal(
        Reason.ENGINE_VERSION_UNKNOWN,
        f"spec.engine.image: {image} does not name its engine version, and running it did not tell "
        f"({said[:_SHOWN] or 'it said nothing'}): set spec.engine.version to the version of {spec.engine.type.value} "
        "inside",
    )


def kept_probe(probe: Probe, observed: Observed) -> frozenset[ChildRef]:
    """Return what is left as it is while the image is asked: everything, since nothing newer can be rendered."""
    return frozenset(map(child_ref, observed.children.values())) if probe.pending else frozenset()


def _is(child: Document, name: str) -> bool:
    return bool(child["kind"] == "Job" and child["metadata"]["name"] == name)


def _ended(job: Document | None) -> bool | None:
    """Return whether a Job has succeeded; `None` while it runs, or if there is none."""
    conditions = ((job or {}).get("status") or {}).get("conditions") or []
    held = {item["type"] for item in conditions if item["status"] == "True"}
    return "Complete" in held if held & {"Complete", "Failed"} else None


def _said(pod: Pod | None) -> str:
    for container in pod.containers if pod else ():
        if container.name == PROBE_CONTAINER and container.last_exit is not None:
            return container.last_exit.message.strip()
    return ""
