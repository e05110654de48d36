"""What the demo runs, where, and for how long."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

ROOT: Final = Path(__file__).resolve().parents[3]
OUTPUT: Final = ROOT / ".local/demo"

RELEASE: Final = "autoglm"
SYSTEM_NAMESPACE: Final = "autoglm-system"
NAMESPACE: Final = "autoglm-demo"
EXAMPLE: Final = ROOT / "examples/autoglm.yaml"
CHART: Final = ROOT / "charts/autoglm-operator"
LOAD_JOB: Final = "load"
#: A scrape is cheap, and a demo of minutes should have more than a dozen of them.
SCRAPE_INTERVAL: Final = "5s"
IMAGE_TAG: Final = "dev"
LOCAL_REGISTRY: Final = "localhost/autoglm"


@dataclass(frozen=True, slots=True)
class Load:
    """The traffic: steady, then a spike, then quiet. Rates are requests per second, times are seconds.

    The spike is several times what one replica of the `tiny-demo` profile holds, and the quiet end is long enough for
    the hold of `examples/autoglm.yaml`, twice: replicas go by halves.
    """

    rate: float = 1.0
    spike_rate: float = 5.0
    spike_start: float = 20.0
    spike_duration: float = 60.0
    quiet_duration: float = 200.0
    prompt_tokens: int = 128
    output_tokens: int = 48
    seed: int = 7

    @property
    def duration(self) -> float:
        """Length of the whole, in seconds."""
        return self.spike_start + self.spike_duration + self.quiet_duration

    def phase_at(self, seconds: float) -> str:
        """Return the name of the phase that many seconds after the start."""
        if seconds < self.spike_start:
            return "steady"
        return "spike" if seconds < self.spike_start + self.spike_duration else "quiet"


@dataclass(frozen=True, slots=True)
class Target:
    """The cluster the demo runs on.

    Attributes:
        cluster: name of the local cluster.
        kubeconfig: path of its kubeconfig; `None` for the local cluster, which the demo brings up.
        registry: where its nodes find our images.
        agent_source: `replay` where the GPUs are fake.
    """

    kubeconfig: Path | None = None
    registry: str = LOCAL_REGISTRY
    agent_source: str = "replay"
    cluster: str = "autoglm"

    @classmethod
    def from_environ(cls) -> Self:
        """Return the cluster in KUBECONFIG if IMAGE_REGISTRY is set too, and else the local one.

        A KUBECONFIG alone is not taken as permission: most people have one set, and not for this.
        """
        registry, kubeconfig = os.environ.get("IMAGE_REGISTRY"), os.environ.get("KUBECONFIG")
        if registry and kubeconfig:
            return cls(Path(kubeconfig), registry, "auto")
        return cls()
