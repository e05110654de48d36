"""What only a machine with an NVIDIA GPU can show; elsewhere these tests name what is missing and are skipped."""

import csv
import json
import shutil
import subprocess
import sys
import time

import pytest

MIB = 1 << 20
SMI = shutil.which("nvidia-smi")
pytestmark = pytest.mark.skipif(SMI is None, reason="needs an NVIDIA GPU with nvidia-smi")

FIELDS = ("uuid", "memory.total", "memory.used", "power.draw", "temperature.gpu", "pcie.link.width.max")


@pytest.fixture(scope="module")
def smi():
    """What nvidia-smi says of each GPU, by UUID."""
    command = [SMI, f"--query-gpu={','.join(FIELDS)}", "--format=csv,noheader,nounits"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = csv.reader(done.stdout.splitlines(), skipinitialspace=True)
    return {row[0]: dict(zip(FIELDS, row, strict=True)) for row in rows}


def agent(*arguments):
    command = [sys.executable, "-m", "autoglm_agent", "--source", "nvml", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_agent_agrees_with_nvidia_smi(smi):
    done = agent("--once", "-o", "json")
    gpus = {gpu["uuid"]: gpu for gpu in json.loads(done.stdout)["gpus"] if gpu["uuid"].startswith("GPU-")}

    assert done.returncode in {0, 3}
    assert set(gpus) == set(smi)
    for uuid, gpu in gpus.items():
        said = smi[uuid]
        assert gpu["memoryTotalBytes"] == pytest.approx(float(said["memory.total"]) * MIB, rel=0.001)
        assert gpu["memoryUsedBytes"] == pytest.approx(float(said["memory.used"]) * MIB, abs=2048 * MIB)
        assert gpu["powerWatts"] == pytest.approx(float(said["power.draw"]), rel=0.5)
        assert gpu["temperatureCelsius"] == pytest.approx(float(said["temperature.gpu"]), abs=5)
        assert gpu["pcieWidthMax"] == int(said["pcie.link.width.max"])


def test_pass_over_the_gpus_is_short_and_asking_for_events_does_not_wait(smi):
    script = (
        "import time, pynvml, json\n"
        "from autoglm_agent.nvml import NvmlSource\n"
        "source = NvmlSource(pynvml, time.monotonic)\n"
        "source.read()\n"
        "times = []\n"
        "for _ in range(20):\n"
        "    time.sleep(0.2)\n"
        "    began = time.perf_counter()\n"
        "    reading = source.read()\n"
        "    times.append(time.perf_counter() - began)\n"
        "print(json.dumps([sorted(times), reading.errors]))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    times, errors = json.loads(done.stdout)

    assert errors == []
    assert times[len(times) // 2] < 0.05 * len(smi)


def test_recording_of_this_machine_can_be_replayed(tmp_path):
    path = tmp_path / "gpu.jsonl"
    command = [sys.executable, "-m", "autoglm_agent", "--source", "nvml", "--record", path, "--interval", "0.2"]
    with subprocess.Popen([*command, "--listen", "127.0.0.1:0"], stderr=subprocess.DEVNULL) as process:
        time.sleep(3)
        process.terminate()

    replayed = [sys.executable, "-m", "autoglm_agent", "--once", "--source", "replay", "--recording", path]
    done = subprocess.run(replayed, capture_output=True, text=True, check=False)
    assert done.returncode in {0, 3}, done.stderr
    assert "GPU figures are recorded" in done.stdout
