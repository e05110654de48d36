"""Writes the recording of a GPU that the agent ships: synthetic, made from published figures."""

import json
import math
import random
import sys
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parents[1] / "agents/gpu/src/autoglm_agent/synthetic_h100_autoglm_phone_9b.jsonl"

MIB = 1 << 20
GIB = 1 << 30
#: NVIDIA H100 SXM data sheet: 700 W. nvidia-smi on such a GPU: 81559 MiB, clocks up to 1980 and 2619 MHz, about 70 W
#: idle. torch.cuda on it: 79.11 GiB; the rest is what the driver reserves.
TOTAL = 81559 * MIB
RESERVED = TOTAL - int(79.11 * GIB)
LIMIT_WATTS, IDLE_WATTS = 700.0, 70.0
CLOCKS = {"smClockHertz": 1980e6, "memoryClockHertz": 2619e6}
#: Temperatures of a data-centre GPU in a cold aisle: at rest and at full power. Assumed.
CELSIUS = (32.0, 68.0)
#: AutoGLM-Phone-9B in BF16, and the share of the memory that vLLM takes.
WEIGHTS = 10_292_777_472 * 2
TAKEN = 0.92
CONTEXT = 620 * MIB
STEP = 2
ENDS = {"start": 4, "load": 24, "profile": 32, "graphs": 48, "idle": 60, "serve": 360}
SERVED = TAKEN * TOTAL

ABOUT = (
    "AutoGLM-Phone-9B, BF16, on one H100 80GB. Not measured: made by scripts/synthetic_recording.py from published"
    " figures, which it names."
)


def phase(second: int, noise: random.Random) -> tuple[float, float]:
    """Return memory in use and utilization at a second: start, load, profile, capture of graphs, rest, traffic."""
    if second < ENDS["start"]:
        return CONTEXT, 0.0
    if second < ENDS["load"]:
        return CONTEXT + WEIGHTS * (second - ENDS["start"] + STEP) / (ENDS["load"] - ENDS["start"]), 0.02
    if second < ENDS["profile"]:
        return CONTEXT + WEIGHTS + 2 * GIB, 0.85
    if second < ENDS["graphs"]:
        return SERVED - GIB * (ENDS["graphs"] - second) / (ENDS["graphs"] - ENDS["profile"]), 0.55
    if second < ENDS["idle"]:
        return SERVED, 0.0
    share = (second - ENDS["idle"]) / (ENDS["serve"] - ENDS["idle"])
    return SERVED + noise.randrange(4) * 2 * MIB, 0.45 + 0.2 * math.sin(2 * math.pi * share) + noise.uniform(
        -0.05, 0.05
    )


def gpu(second: int, used: int, load: float, joules: float) -> dict[str, Any]:
    """Return the figures of a GPU under a load; the shares of the profiler's figures in it are assumed."""
    watts = IDLE_WATTS + (LIMIT_WATTS - IDLE_WATTS) * 0.8 * load
    heat = (watts - IDLE_WATTS) / (LIMIT_WATTS - IDLE_WATTS)
    temperature = CELSIUS[0] + (CELSIUS[1] - CELSIUS[0]) * heat
    return {
        "memoryUsedBytes": used,
        "memoryFreeBytes": TOTAL - RESERVED - used,
        "utilization": round(load, 2),
        "memoryUtilization": round(0.6 * load, 2),
        "smUtilization": round(0.8 * load, 3),
        "smOccupancy": round(0.25 * load, 3),
        "tensorUtilization": round(0.15 * load, 3),
        "dramUtilization": round(0.7 * load, 3),
        "powerWatts": round(watts, 1),
        "energyJoules": round(joules + watts * STEP, 1),
        "temperatureCelsius": round(temperature),
        "memoryTemperatureCelsius": round(temperature + 8),
        "clockEvents": 0 if load else 1,
        "pcieSentBytes": int(second * 1e6),
        "pcieReceivedBytes": int(second * 4e6 + min(second, ENDS["load"]) * WEIGHTS / ENDS["load"]),
    }


STATIC = {
    "name": "NVIDIA H100 80GB HBM3",
    "memoryTotalBytes": TOTAL,
    "memoryReservedBytes": RESERVED,
    "powerLimitWatts": LIMIT_WATTS,
    **CLOCKS,
    **dict.fromkeys(("eccCorrected", "eccUncorrected", "rowsRemappedCorrected", "rowsRemappedUncorrected"), 0),
    **dict.fromkeys(("rowRemapPending", "rowRemapFailed"), 0),
    **dict.fromkeys(("pcieGeneration", "pcieGenerationMax"), 5),
    **dict.fromkeys(("pcieWidth", "pcieWidthMax"), 16),
    **dict.fromkeys(("pcieReplays", "nvlinkErrors", "nvlinkSentBytes", "nvlinkReceivedBytes", "recoveryAction"), 0),
}


def recording() -> str:
    """Return the recording."""
    header = {"format": "autoglm-gpu-recording", "version": 1, "synthetic": True, "about": ABOUT}
    lines = [header | {"repeatFromSeconds": ENDS["idle"]}]
    noise = random.Random(9)
    last: dict[str, Any] = {}
    for second in range(0, ENDS["serve"], STEP):
        used, load = phase(second, noise)
        now = STATIC | gpu(second, int(used), load, last.get("energyJoules", 0.0))
        lines.append({"second": second, "gpus": {"0": {k: v for k, v in now.items() if last.get(k) != v}}})
        last = now
    return "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)


def main() -> int:
    """Write the recording."""
    TARGET.write_text(recording(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
