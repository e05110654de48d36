import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from autoglm_agent.ticker import Ticker

COMMAND = [sys.executable, "-m", "autoglm_agent"]


@pytest.fixture
def agent():
    process = subprocess.Popen(
        [*COMMAND, "--source", "replay", "--gpus", "2", "--listen", "127.0.0.1:0", "--interval", "0.1"],
        stderr=subprocess.PIPE,
        text=True,
    )
    lines = iter(json.loads(line) for line in process.stderr)
    chosen, serving = next(lines), next(lines)
    process.chosen, process.base = chosen, f"http://127.0.0.1:{serving['port']}"
    yield process
    process.kill()
    process.wait()
    process.stderr.close()


def fetch(url):
    with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310  # our own address
        return response.read()


def test_serves_samples_within_40_megabytes(agent):
    deadline = time.monotonic() + 5
    while not (state := json.loads(fetch(f"{agent.base}/state")))["gpus"] and time.monotonic() < deadline:
        time.sleep(0.05)
    for _ in range(20):
        fetch(f"{agent.base}/metrics")
    status = Path(f"/proc/{agent.pid}/status").read_text()
    resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))

    assert len(state["gpus"]) == 2
    assert state["source"] == "replay"
    assert "synthetic" in agent.chosen["reason"]
    assert resident < 40_000


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_cleanly_within_a_second(agent, number):
    started = time.monotonic()
    os.kill(agent.pid, number)

    assert agent.wait(timeout=5) == 0
    assert time.monotonic() - started < 1


def test_hanging_engine_does_not_delay_the_exit_or_the_samples():
    with socket.create_server(("127.0.0.1", 0)) as engine:
        url = f"http://127.0.0.1:{engine.getsockname()[1]}"
        process = subprocess.Popen(
            [*COMMAND, "--source", "replay", "--listen", "127.0.0.1:0", "--interval", "0.1", "--engine-url", url],
            stderr=subprocess.PIPE,
            text=True,
        )
        with process.stderr:
            process.stderr.readline()
            base = f"http://127.0.0.1:{json.loads(process.stderr.readline())['port']}"
            time.sleep(1)
            state = json.loads(fetch(f"{base}/state"))
            started = time.monotonic()
            process.terminate()
            process.wait(timeout=5)

    assert state["gpus"][0]["sampleAgeSeconds"] < 0.5
    assert state["engine"]["reason"] == "not checked yet"
    assert time.monotonic() - started < 1


def test_once_prints_the_state_as_json():
    done = subprocess.run(
        [*COMMAND, "--once", "-o", "json", "--source", "replay"], capture_output=True, text=True, check=True
    )

    assert json.loads(done.stdout)["gpus"][0]["name"] == "NVIDIA H100 80GB HBM3"


def test_once_prints_a_table():
    done = subprocess.run([*COMMAND, "--once", "--source", "replay"], capture_output=True, text=True, check=True)

    assert "source  replay" in done.stdout
    assert "81559" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--source", "cuda"], "invalid choice: 'cuda'"),
        (["--tolerance", "elastic"], "expected one of Strict, Elastic, Recovery"),
        (["--gpus", "-1"], "expected 0 to 64"),
        (["--gpus", "9999999"], "expected 0 to 64"),
        (["--interval", "0"], "expected 0.1 to 5 seconds"),
        (["--interval", "nan"], "expected 0.1 to 5 seconds"),
        (["--listen", "9410"], "expected HOST:PORT"),
        (["--listen", "0.0.0.0:99999"], "expected HOST:PORT"),
        (["--engine-url", "unix:/x"], "expected http://HOST:PORT"),
    ],
)
def test_wrong_option_says_what_is_expected(arguments, message):
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert message in done.stderr


def test_port_in_use_is_one_line_and_status_1():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        done = subprocess.run(
            [*COMMAND, "--source", "replay", "--listen", address], capture_output=True, text=True, check=False
        )

    assert done.returncode == 1
    assert "choose another --listen" in json.loads(done.stderr.splitlines()[-1])["message"]


def test_thread_that_fails_is_reported_and_not_left_for_dead(caplog):
    deaths = []

    def fail():
        raise RuntimeError("boom")

    ticker = Ticker("test", 0.01, fail, lambda: deaths.append(1))
    ticker.start()
    ticker.stop(timeout=1)

    assert deaths == [1]
    assert "thread failed" in caplog.text


def until(found, seconds=20):
    """Return the first true answer of `found`, asked until then."""
    deadline = time.monotonic() + seconds
    while not (answer := found()):
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.2)
    return answer


def test_watches_the_engine_beside_it_from_its_start_to_its_end():
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    agent = subprocess.Popen(
        [*COMMAND, "--source", "replay", "--listen", "127.0.0.1:0", "--engine-url", url, "--tolerance", "Strict"],
        stderr=subprocess.PIPE,
        text=True,
    )
    simulator = [sys.executable, "-m", "autoglm_simulator", "serve", "org/model", "--served-model-name", "phone"]
    engine = subprocess.Popen([*simulator, "--host", "127.0.0.1", "--port", url.rsplit(":", 1)[1]])
    try:
        agent.stderr.readline()
        base = f"http://127.0.0.1:{json.loads(agent.stderr.readline())['port']}"

        def probe(name):
            try:
                return fetch(f"{base}/engine/{name}").decode().strip()
            except urllib.error.HTTPError as error:
                return f"{error.code} {error.read().decode().strip()}"

        until(lambda: probe("readyz") == "GET /health answered 200")
        state = until(lambda: (found := json.loads(fetch(f"{base}/state")))["engine"].get("kind") and found)
        assert state["engine"]["models"] == ["phone"]
        assert state["engine"]["kvCacheTokens"] > 0
        assert state["tolerance"]["mode"] == "Strict"
        assert b'autoglm_engine_info{engine="vllm"} 1.0' in fetch(f"{base}/metrics")

        engine.kill()
        engine.wait()
        until(lambda: probe("readyz").startswith("503 unreachable: nothing listens on"))
        assert probe("livez").startswith("unreachable")  # not for good yet
    finally:
        for process in (engine, agent):
            process.kill()
            process.wait()
        agent.stderr.close()
