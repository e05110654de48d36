import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request

import pytest

from autoglm_agent.sampler import Sampler
from autoglm_agent.source import Request, SourceError, choose, exporter_address

GIB = 1 << 30


class Exporter:
    """A dcgm-exporter with one GPU for each pod that it knows."""

    def __init__(self):
        self.pods = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/metrics"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                connection.recv(4096)
                rows = (
                    f'DCGM_FI_DEV_GPU_UTIL{{gpu="{n}",UUID="GPU-{n}",namespace="serving",pod="{pod}"}} 40\n'
                    for n, pod in enumerate(self.pods)
                )
                connection.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + "".join(rows).encode())

    def close(self):
        self._socket.close()


@pytest.fixture
def exporter():
    made = Exporter()
    yield made
    made.close()


POD = {"POD_NAME": "phone-0", "POD_NAMESPACE": "serving"}


def test_auto_takes_nvml_where_it_shows_a_device(nvml, exporter, clock, tmp_path):
    nvml.gpus(2)
    exporter.pods = ["phone-0"]
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    request = Request("auto", dcgm_url=exporter.url, devices=tmp_path, environment={"NVIDIA_VISIBLE_DEVICES": "void"})

    source = choose(request, clock)

    assert source.name == "nvml"
    assert source.why == ("nvml: shows 2 device(s) (2 of /dev/nvidia* here, by CDI (a DRA claim or the device plugin))")
    assert len(source.read().samples) == 2
    assert nvml.calls("nvmlInitWithFlags") == 1
    source.close()
    assert nvml.depth == 0


def test_auto_takes_the_exporter_where_the_sidecar_has_no_device(nvml, exporter, clock, tmp_path):
    exporter.pods = ["other", "phone-0"]

    source = choose(Request("auto", dcgm_url=exporter.url, devices=tmp_path, environment=POD), clock)

    assert source.name == "dcgm"
    assert [sample.uuid for sample in source.read().samples] == ["GPU-1"]
    assert source.why == ("nvml: shows no device: its count is 0; dcgm: shows 1 device(s) (no /dev/nvidia* here)")
    assert nvml.depth == 0


def test_auto_takes_the_exporter_where_nvml_shows_more_than_the_pod_has(nvml, exporter, clock, tmp_path):
    nvml.gpus(8)
    exporter.pods = ["phone-0"]
    request = Request("auto", gpus=1, dcgm_url=exporter.url, devices=tmp_path, environment=POD)

    source = choose(request, clock)

    assert source.name == "dcgm"
    assert "nvml: shows 8 devices, and the pod has 1" in source.why
    assert nvml.depth == 0
    # Without the exporter nobody knows which of the eight are this pod's.
    assert choose(Request("auto", gpus=1, devices=tmp_path), clock).name == "none"


def test_auto_reads_only_the_devices_that_the_container_was_given(nvml, clock, tmp_path):
    nvml.gpus(4)
    environment = {"NVIDIA_VISIBLE_DEVICES": "GPU-1,GPU-3"}

    source = choose(Request("auto", devices=tmp_path, environment=environment), clock)

    assert [sample.uuid for sample in source.read().samples] == ["GPU-1", "GPU-3"]
    source.close()


@pytest.mark.parametrize("listed", ["all", "0,1", "void", "", "GPU-1,0"])
def test_list_without_uuids_restricts_nothing(listed):
    assert Request("auto", environment={"NVIDIA_VISIBLE_DEVICES": listed}).uuids == frozenset()


def test_auto_without_a_gpu_stays_up_says_so_and_takes_one_that_comes_later(nvml, exporter, clock, tmp_path, caplog):
    caplog.set_level("INFO")
    sampler = Sampler(choose(Request("auto", dcgm_url=exporter.url, devices=tmp_path, environment=POD), clock), clock)

    for _ in range(30):
        sampler.sample()
        clock.now += 1
    assert (sampler.snapshot.source, sampler.snapshot.samples) == ("none", {})
    assert "nvml: shows no device: its count is 0; dcgm: shows no device: no_series" in sampler.snapshot.why
    assert nvml.calls("nvmlInitWithFlags") == 3

    exporter.pods = ["phone-0"]
    for _ in range(15):
        sampler.sample()
        clock.now += 1
    assert sampler.snapshot.source == "dcgm"
    assert len(sampler.snapshot.fresh(clock.now)) == 1
    assert caplog.text.count("GPU source changed") == 1


def test_auto_never_ends_in_a_replay(nvml, clock, tmp_path):
    assert choose(Request("auto", devices=tmp_path), clock).name == "none"


def test_source_that_is_asked_for_is_taken_although_it_shows_nothing(nvml, clock, tmp_path):
    nvml.fail("nvmlInitWithFlags", 9)
    source = choose(Request("nvml", devices=tmp_path, environment={"NVIDIA_VISIBLE_DEVICES": "all"}), clock)

    assert source.why == "nvml was asked for; no /dev/nvidia* here, NVIDIA_VISIBLE_DEVICES=all"
    assert source.read().down == "driver_not_loaded"


def test_exporter_of_the_node_is_found_by_its_address(clock):
    source = choose(Request("dcgm", environment=POD | {"NODE_IP": "127.0.0.9"}), clock)

    assert source.why == "dcgm was asked for; http://127.0.0.9:9400/metrics shows the devices of pod serving/phone-0"
    assert "every device: POD_NAME is not set" in choose(Request("dcgm", environment={"NODE_IP": "::1"}), clock).why


def test_exporter_without_an_address_is_a_wrong_option(clock):
    with pytest.raises(SourceError, match="--source dcgm needs the exporter's address: set --dcgm-url or NODE_IP"):
        choose(Request("dcgm"), clock)


def test_recording_that_cannot_be_used_is_a_wrong_option(clock, tmp_path):
    for request in (
        Request("replay", recording=tmp_path / "none"),
        Request("replay", scenario=tmp_path / "none"),
        Request("replay", record=tmp_path / "no" / "folder"),
    ):
        with pytest.raises(SourceError, match=str(tmp_path)):
            choose(request, clock)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://10.0.0.5", ("http://10.0.0.5:9400", "/metrics")),
        ("http://10.0.0.5:9401/", ("http://10.0.0.5:9401", "/metrics")),
        ("http://[::1]:9400/x", ("http://[::1]:9400", "/x")),
    ],
)
def test_address_of_an_exporter(url, expected):
    assert exporter_address(url) == expected


@pytest.mark.parametrize(
    "url", ["", "10.0.0.5:9400", "https://x", "http://", "http://x:y", "http://x/a b", "http://x?y"]
)
def test_wrong_address_says_what_is_expected(url):
    with pytest.raises(ValueError, match="expected http://HOST:PORT/metrics"):
        exporter_address(url)


# ---- the whole agent, as a process, with the stand-in in the loader's path

AGENT = [sys.executable, "-m", "autoglm_agent"]


@pytest.fixture
def machine(standin_folder, tmp_path):
    """A machine whose NVML is the stand-in; `set` changes what it says when the library is opened next."""
    script = tmp_path / "script"
    script.write_text("")
    environment = {**os.environ, "LD_LIBRARY_PATH": str(standin_folder), "STANDIN_NVML": str(script)}
    return script, environment


TWO_GPUS = f"count 0 2\ntotal -1 {80 * GIB}\nused -1 {10 * GIB}\nreserved -1 {GIB}\nfield:230 -1 0\n"


def once(environment, *arguments):
    command = [*AGENT, "--once", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=30)


def test_agent_finds_the_library_shows_the_gpus_and_says_why(machine):
    script, environment = machine
    script.write_text(TWO_GPUS)

    done = once(environment)

    assert done.returncode == 0
    assert "source  nvml, driver 580.65.06" in done.stdout
    assert "GPU-1" in done.stdout
    chosen = json.loads(done.stderr.splitlines()[0])
    assert (chosen["message"], chosen["source"]) == ("GPU source chosen", "nvml")
    assert chosen["reason"].startswith("nvml: shows 2 device(s)")


def test_agent_says_with_its_exit_status_that_a_gpu_is_sick(machine):
    script, environment = machine
    script.write_text(TWO_GPUS + "field:230 1 1\n")

    done = once(environment, "-o", "json")
    shown = json.loads(done.stdout)

    assert done.returncode == 3
    assert [(fault["gpu"], fault["action"]) for fault in shown["faults"]] == [("GPU-1", "drain")]
    assert (shown["driver"], shown["source"]) == ("580.65.06", "nvml")


def test_agent_on_a_machine_without_nvml_says_so(tmp_path):
    environment = {key: value for key, value in os.environ.items() if key not in {"NODE_IP", "LD_LIBRARY_PATH"}}
    (tmp_path / "libnvidia-ml.so.1").write_text("no library")

    done = once({**environment, "LD_LIBRARY_PATH": str(tmp_path)})

    if "source  nvml" in done.stdout:
        pytest.skip("this machine has a GPU")
    assert done.returncode == 1
    assert "nvml: shows no device: library_not_found; dcgm: no address: set --dcgm-url or NODE_IP" in done.stdout


def test_agent_without_a_gpu_stays_up_and_says_so(tmp_path):
    (tmp_path / "libnvidia-ml.so.1").write_text("no library")
    environment = {key: value for key, value in os.environ.items() if key != "NODE_IP"}
    command = [*AGENT, "--gpus", "1", "--listen", "127.0.0.1:0", "--interval", "0.1"]
    environment["LD_LIBRARY_PATH"] = str(tmp_path)
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        lines = iter(json.loads(line) for line in process.stderr)
        chosen, serving = next(lines), next(lines)
        if chosen["source"] == "nvml":
            process.terminate()
            pytest.skip("this machine has a GPU")
        time.sleep(1)
        with urllib.request.urlopen(f"http://127.0.0.1:{serving['port']}/state", timeout=5) as answer:
            state = json.load(answer)
        up = process.poll() is None
        process.terminate()

    assert up
    assert (chosen["source"], state["source"], state["gpus"], state["faults"]) == ("none", "none", [], [])


def test_agent_survives_a_driver_reload_and_is_back_within_15_seconds(machine):
    script, environment = machine
    script.write_text(TWO_GPUS + "return:nvmlInitWithFlags -1 9\n")
    command = [*AGENT, "--source", "nvml", "--listen", "127.0.0.1:0", "--interval", "0.2"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        lines = iter(json.loads(line) for line in process.stderr)
        down = next(line for line in lines if line["message"] == "GPU source is down")
        script.write_text(TWO_GPUS + "return:nvmlInitWithFlags -1 0\n")
        began = time.monotonic()
        back = next(line for line in lines if line["message"] == "GPU source is back")
        took = time.monotonic() - began
        process.terminate()

    assert (down["source"], down["reason"], back["source"]) == ("nvml", "driver_not_loaded", "nvml")
    assert took < 15
