"""Who else scales: what is kept of each HorizontalPodAutoscaler and ScaledObject, and of who serves custom metrics."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self

from autoglm_operator.api import names
from autoglm_operator.kube.client import Client
from autoglm_operator.kube.reflector import Key, Reflector
from autoglm_operator.observe.owner import controller_of

Document = Mapping[str, Any]

HPA: Final = ("autoscaling/v2", "HorizontalPodAutoscaler")
SCALED_OBJECT: Final = ("keda.sh/v1alpha1", "ScaledObject")
#: What the API of custom metrics is called; HPAs read it through the APIService of its preferred version.
CUSTOM_METRICS: Final = "custom.metrics.k8s.io"
API_SERVICE: Final = ("apiregistration.k8s.io/v1", "APIService")
#: Kinds that an autoscaler of an AutoGLMDeployment may act on: itself, or what its operator makes of it.
_SCALED: Final = frozenset(
    {
        (names.GROUP, names.KIND),
        ("apps", "Deployment"),
        ("leaderworkerset.x-k8s.io", "LeaderWorkerSet"),
    }
)


@dataclass(frozen=True, slots=True)
class Scaler:
    """What matters of an HPA or a ScaledObject; there may be thousands that have nothing to do with us.

    Attributes:
        group: API group of what it scales.
        target_kind: of what it scales.
        target: name of what it scales.
        maker: kind and name of its controller; empty if it has none.
    """

    kind: str
    namespace: str
    name: str
    group: str
    target_kind: str
    target: str
    maker: tuple[str, str] = ("", "")

    @classmethod
    def keep(cls, document: Document) -> Self:
        """Return the autoscaler in `document`, with KEDA's defaults for what a ScaledObject leaves out."""
        meta = document["metadata"]
        reference = document["spec"]["scaleTargetRef"]
        maker = controller_of(document)
        return cls(
            document["kind"],
            meta["namespace"],
            meta["name"],
            (reference.get("apiVersion") or "apps/v1").rpartition("/")[0],
            reference.get("kind") or "Deployment",
            reference["name"],
            (maker["kind"], maker["name"]) if maker else ("", ""),
        )

    @property
    def place(self) -> Key | None:
        """Return namespace and name of the AutoGLMDeployment that it may act on; `None` if it acts on another kind."""
        known = (self.group, self.target_kind) in _SCALED
        return (self.namespace, self.target) if known else None


class Scalers:
    """Follows all autoscalers in scope, and knows which act on a deployment.

    Args:
        client: of the API server.
        namespaces: to look into; empty for all.
        optional: (apiVersion, kind) of optional kinds that the cluster serves.
        changed: called with the key of each deployment whose autoscalers changed.

    Attributes:
        reflectors: to be run as tasks.
    """

    def __init__(
        self,
        client: Client,
        namespaces: Iterable[str],
        optional: Iterable[tuple[str, str]],
        changed: Callable[[Key], None],
    ) -> None:
        scopes = tuple(namespaces)
        self._everywhere = not scopes
        self._changed = changed
        self._on: dict[Key, dict[tuple[str, str], Scaler]] = defaultdict(dict)
        kinds = [HPA, *(item for item in optional if item == SCALED_OBJECT)]
        self.reflectors = [
            Reflector(client, version, kind, scopes, keep=Scaler.keep, on_change=self._scaler_changed)
            for version, kind in kinds
        ]

    def on(self, key: Key) -> tuple[Scaler, ...]:
        """Return the autoscalers that act on a deployment, or on a child that bears its name."""
        return tuple(self._on.get(key, {}).values())

    @property
    def hpas(self) -> int | None:
        """Return how many HPAs the controller-manager has to visit; `None` if not all of them can be seen."""
        return len(self.reflectors[0].items) if self._everywhere and self.reflectors[0].synced else None

    def _scaler_changed(self, _key: Key, old: Scaler | None, new: Scaler | None) -> None:
        for scaler in (old, new):
            if scaler is None or (place := scaler.place) is None:
                continue
            if scaler is new:
                self._on[place][scaler.kind, scaler.name] = scaler
            else:
                self._on[place].pop((scaler.kind, scaler.name), None)
                if not self._on[place]:
                    del self._on[place]
            self._changed(place)


@dataclass(frozen=True, slots=True)
class Backend:
    """An APIService of custom metrics.

    Attributes:
        version: such as v1beta2.
        priority: among the versions; HPAs read from the highest.
        service: namespace and name of the Service behind it, joined by a slash; empty if it has none.
    """

    version: str
    priority: int
    service: str

    @property
    def name(self) -> str:
        """Return the name of the APIService."""
        return f"{self.version}.{CUSTOM_METRICS}"

    @classmethod
    def keep(cls, document: Document) -> Self | None:
        """Return the backend in `document`; `None` if it serves another API."""
        spec = document["spec"]
        if spec.get("group") != CUSTOM_METRICS:
            return None
        service = spec.get("service") or {}
        where = f"{service.get('namespace', '')}/{service.get('name', '')}" if service else ""
        return cls(spec["version"], spec.get("versionPriority", 0), where)
