"""The watchdog on a real process: the simulator on loopback, with vLLM's metrics and its own faults."""

import concurrent.futures
import http.client
import json
import logging
import socket
import subprocess
import sys
import time

import pytest

from autoglm_agent.engine.watch import EngineWatch
from autoglm_agent.evidence import Evidence
from autoglm_agent.monitor import EngineMonitor
from autoglm_agent.probes import liveness, readiness
from autoglm_agent.sampler import Snapshot
from autoglm_agent.signals.progress import Limits
from autoglm_agent.state import State, document

#: The real limits, ten times shorter, so that the test is.
QUICK = Limits(least=3.0, most=60.0, unknown=6.0, prefill=12.0, factor=10.0, blind=5.0)


def learned(report):
    """Whether the watchdog knows the pace of an engine that only decodes."""
    return 0 < report.verdict.limit < QUICK.unknown


class Pod:
    """The simulator as a process, and a monitor that looks at it four times a second."""

    def __init__(self, folder, *flags):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        command = [sys.executable, "-m", "autoglm_simulator", "serve", "m", "--host", "127.0.0.1"]
        self.process = subprocess.Popen([*command, "--port", str(self.port), "--enable-fault-injection", *flags])
        watch = EngineWatch(f"http://127.0.0.1:{self.port}", time.monotonic)
        self.monitor = EngineMonitor(watch, time.monotonic, limits=QUICK)
        evidence = Evidence(watch.raw_metrics, lambda: document(self.state(), time.time()), folder)
        self.monitor._on_hang = evidence.capture

    def state(self):
        now = time.monotonic()
        return State(Snapshot("none"), self.monitor.watch.status, now, self.monitor.report)

    def look(self, seconds, until=lambda _: False):
        """Look until `until` holds; return whether it was ever found to hang."""
        hung, deadline = False, time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.monitor.check()
            hung |= not liveness(self.state()).ok
            if until(self.monitor.report):
                return hung
            time.sleep(0.25)
        return hung

    def post(self, path, **body):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            return connection.getresponse().read()
        finally:
            connection.close()

    def complete(self, prompt, tokens):
        return self.post("/v1/completions", model="m", prompt=prompt, max_tokens=tokens, ignore_eos=True)


@pytest.fixture
def pod(tmp_path):
    pods = []

    def start(*flags):
        pods.append(Pod(tmp_path, *flags))
        pods[-1].look(20, until=lambda report: report.figures is not None)
        return pods[-1]

    with concurrent.futures.ThreadPoolExecutor(8) as start.pool:
        yield start
        for each in pods:
            each.process.kill()
            each.process.wait()


@pytest.mark.timeout(120)
def test_hang_is_found_with_evidence_and_withdrawn_when_it_ends(pod, tmp_path, caplog):
    engine = pod("--profile", "tiny-demo")
    for _ in range(3):
        pod.pool.submit(engine.complete, "a b c", 800)
    assert not engine.look(20, until=learned)

    with caplog.at_level(logging.ERROR):
        engine.post("/faults", hang=7)
        assert engine.look(6, until=lambda report: report.verdict.hung)

    verdict = liveness(engine.state())
    assert not verdict.ok
    assert "3 requests are in the batch and no token was read or generated" in verdict.reason
    assert not readiness(engine.state()).ok
    (file,) = tmp_path.glob("autoglm-hang-*.json")
    found = json.loads(file.read_text())
    assert found["state"]["engine"]["hung"] is True
    assert "vllm:num_requests_running" in found["metrics"]
    assert str(file) in next(record.file for record in caplog.records if "evidence" in record.message)

    engine.look(15, until=lambda report: not report.verdict.hung)
    assert liveness(engine.state()).ok
    assert engine.monitor.report.hangs == 1


@pytest.mark.timeout(120)
def test_busy_engine_is_never_found_to_hang(pod):
    engine = pod("--profile", "tiny-demo")
    for _ in range(8):
        pod.pool.submit(engine.complete, "a b c d e f g h", 100)
    engine.post("/faults", slowdown=3)

    assert not engine.look(12)
    assert liveness(engine.state()).ok


@pytest.mark.timeout(120)
def test_long_prefill_at_slow_speed_is_no_hang(pod):
    # 30,000 tokens in one step of 8 s: longer than the least patience, and nothing is told before it ends.
    engine = pod("--max-num-batched-tokens", "32768", "--max-model-len", "32768", "--profile", "h100-autoglm-9b")
    pod.pool.submit(engine.complete, "a b c", 2000)
    assert not engine.look(20, until=learned)

    engine.post("/faults", slowdown=2)
    done = pod.pool.submit(engine.complete, "word " * 24_000, 5)  # four characters a token

    silent = []
    assert not engine.look(25, until=lambda report: silent.append(report.verdict.silent) or done.done())
    assert b"choices" in done.result()
    assert max(silent) > QUICK.least


@pytest.mark.timeout(120)
def test_process_that_is_killed_is_not_hung_but_unreachable(pod):
    engine = pod("--profile", "tiny-demo")
    engine.process.kill()
    engine.process.wait()

    assert not engine.look(7)
    assert "not reachable" in engine.monitor.report.verdict.reason
    assert not readiness(engine.state()).ok
