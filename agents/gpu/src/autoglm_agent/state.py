"""The state that every output shows, and its JSON form."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from autoglm_agent.engine import EngineStatus
from autoglm_agent.sampler import Snapshot

#: Version of the `/state` document; fields may be added within one version.
STATE_VERSION = 1


@dataclass(frozen=True, slots=True)
class State:
    """Snapshot and engine status at the monotonic time `now`."""

    snapshot: Snapshot
    engine: EngineStatus
    now: float


#: Returns the present state; touches neither GPU nor engine.
StateSource = Callable[[], State]


def document(state: State, wall_time: float) -> dict[str, Any]:
    """Return the `/state` document: version 1, ages in seconds, stale GPUs left out.

    Args:
        state: what to show.
        wall_time: Unix time of `state.now`.
    """
    engine = state.engine
    return {
        "version": STATE_VERSION,
        "time": round(wall_time, 3),
        "source": state.snapshot.source,
        "engine": {
            "alive": engine.alive(state.now),
            "state": engine.state.value,
            "reason": engine.reason,
            "sinceSeconds": round(state.now - engine.since, 3),
            "checkedSecondsAgo": None if engine.checked is None else round(state.now - engine.checked, 3),
        },
        "gpus": [
            {
                "index": sample.index,
                "uuid": sample.uuid,
                "name": sample.name,
                "memoryUsedBytes": sample.memory_used_bytes,
                "memoryTotalBytes": sample.memory_total_bytes,
                "utilization": sample.utilization,
                "sampleAgeSeconds": round(state.now - sample.taken, 3),
            }
            for sample in state.snapshot.fresh(state.now)
        ],
    }
