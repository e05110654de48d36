"""What was decided for the pods that run: kept until the spec asks for other pods.

Some values follow from what is learned or found at the time: the drain from traffic, the way to the GPUs from the
cluster. Were they decided anew at each reconcile, a change of traffic would restart every engine.
"""

import json
from dataclasses import asdict, dataclass, fields
from typing import Self

from autoglm_operator.api import names
from autoglm_operator.api.hashing import content_hash
from autoglm_operator.api.v1alpha1 import Spec
from autoglm_operator.observe.world import Observed

#: Fields of the spec that may change without changing a pod.
_NOT_OF_PODS = {"replicas", "autoscaling", "rollout"}


@dataclass(frozen=True, slots=True)
class Decided:
    """Decisions of the template that runs.

    Attributes:
        shape: hash of the spec's fields that shape pods.
        drain: seconds.
        startup: seconds.
        version: of the engine.
        released: why the GPUs were given up, as (reason, sentence); `None` while they are not.
    """

    shape: str
    drain: int
    startup: int
    version: str
    released: tuple[str, str] | None = None

    def text(self) -> str:
        """Return what the workload's annotation holds."""
        told = {name: value for name, value in asdict(self).items() if value is not None}
        return json.dumps(told, sort_keys=True, separators=(",", ":"))

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the decisions in an annotation; `None` if it is not one of ours."""
        try:
            found = json.loads(text)
            known = {item.name: found[item.name] for item in fields(cls) if item.name in found}
            released = known.pop("released", None)
            return cls(**known, released=released and (str(released[0]), str(released[1])))
        except (ValueError, TypeError, LookupError):
            return None


def shape(spec: Spec) -> str:
    """Return the hash of what shapes pods; a field that a newer operator adds does not change it until it is used."""
    return content_hash(spec.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude=_NOT_OF_PODS))


def decided_before(observed: Observed, spec: Spec) -> Decided | None:
    """Return the decisions of the workload that runs, if it was made for the same pods."""
    live = observed.workload
    annotations = (live["metadata"].get("annotations") or {}) if live else {}
    before = Decided.parse(annotations.get(names.ANNOTATION_DECIDED, ""))
    return before if before is not None and before.shape == shape(spec) else None
