"""OTLP as a collector gets it: over HTTP on a real socket, decoded with OpenTelemetry's own messages."""

import gzip
import http.server
import json
import os
import subprocess
import sys
import threading
import time
from array import array
from dataclasses import replace

import pytest
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk.resources import Resource

from autoglm_agent.device import FIGURES, GpuSample
from autoglm_agent.engine.health import EngineState, EngineStatus
from autoglm_agent.engine.histograms import Histogram
from autoglm_agent.engine.names import EngineKind, Latency
from autoglm_agent.engine.sample import EngineSample, Total
from autoglm_agent.engine.view import Figures
from autoglm_agent.faults import Fault
from autoglm_agent.otlp import GPU_NAMES, OtlpExport, metrics_data
from autoglm_agent.otlp_setting import Setting, setting
from autoglm_agent.report import EngineReport
from autoglm_agent.sampler import Snapshot
from autoglm_agent.state import State
from autoglm_agent.xid import Action, Severity

NOW = 1000.0


def state(faults=()):
    told = dict.fromkeys(FIGURES, 0.5) | {"memory_used_bytes": 10, "memory_total_bytes": 80, "clock_events": 0}
    gpu = GpuSample(index=0, uuid="GPU-a", name="NVIDIA H100", taken=NOW, **told)
    sample = EngineSample(
        taken=NOW,
        kind=EngineKind.VLLM,
        running=4.0,
        waiting=0.0,
        kv_cache=0.25,
        histograms={Latency.TTFT: Histogram((0.1, 1.0), array("d", [3.0, 5.0, 6.0]))},
        totals={Latency.TTFT: Total(6.0, 2.5)},
    )
    report = EngineReport(figures=Figures(sample), models=("m",))
    return State(
        Snapshot("nvml", {"GPU-a": gpu}, driver="580.1", faults=faults),
        EngineStatus(EngineState.ALIVE, "", 0.0, NOW),
        NOW,
        report,
    )


class Collector:
    """Takes what is posted to it."""

    def __init__(self):
        self.requests = []
        self.status = 200
        received, outer = self.requests, self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                received.append((self.path, ExportMetricsServiceRequest.FromString(body)))
                self.send_response(outer.status)
                self.end_headers()

            def log_message(self, *_):
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def metrics(self):
        found = {}
        for _, request in self.requests:
            for metric in request.resource_metrics[0].scope_metrics[0].metrics:
                found[metric.name] = metric
        return found


@pytest.fixture
def collector():
    result = Collector()
    yield result
    result.close()


def attributes(point):
    return {each.key: each.value.string_value for each in point.attributes}


def exported(collector, of):
    export = OtlpExport(
        OTLPMetricExporter(f"{collector.url}/v1/metrics", timeout=2), lambda: of, lambda: 1_800_000_000.0
    )
    export.export()
    return export


def test_collector_gets_the_conventions_names_units_and_kinds(collector):
    assert exported(collector, state()).failures == 0
    found = collector.metrics()

    usage = found["hw.gpu.memory.usage"]
    assert (usage.unit, usage.sum.is_monotonic) == ("By", False)
    assert usage.sum.data_points[0].as_double == 10 or usage.sum.data_points[0].as_int == 10
    assert attributes(usage.sum.data_points[0]) == {
        "hw.id": "GPU-a",
        "hw.type": "gpu",
        "hw.name": "NVIDIA H100",
        "hw.vendor": "NVIDIA",
        "hw.driver_version": "580.1",
    }
    assert found["hw.gpu.memory.utilization"].gauge.data_points[0].as_double == 0.125
    assert found["hw.energy"].sum.is_monotonic
    assert {attributes(point)["network.io.direction"] for point in found["hw.gpu.io"].sum.data_points} == {
        "transmit",
        "receive",
    }
    resource = {
        each.key: each.value.string_value for each in collector.requests[0][1].resource_metrics[0].resource.attributes
    }
    assert resource["service.name"] == "autoglm-agent"


def test_histograms_of_the_engine_go_out_as_they_are(collector):
    exported(collector, state())
    point = collector.metrics()["gen_ai.server.time_to_first_token"].histogram.data_points[0]

    assert list(point.bucket_counts) == [3, 2, 1]
    assert list(point.explicit_bounds) == [0.1, 1.0]
    assert (point.count, point.sum) == (6, 2.5)
    assert not point.HasField("min")
    assert attributes(point) == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "vllm",
        "gen_ai.request.model": "m",
    }


@pytest.mark.parametrize(("action", "expected"), [(None, "ok"), (Action.NONE, "degraded"), (Action.DRAIN, "failed")])
def test_status_is_that_of_the_worst_fault(action, expected):
    faults = () if action is None else (Fault("GPU-a", Severity.CRITICAL, "xid-79", action, "", NOW),)
    data = metrics_data(state(faults), Resource({}), 1)
    (status,) = [each for each in data.resource_metrics[0].scope_metrics[0].metrics if each.name == "hw.status"]

    assert {point.attributes["hw.state"]: point.value for point in status.data.data_points} == {
        each: int(each == expected) for each in ("ok", "degraded", "failed")
    }


def test_stale_state_sends_nothing_of_gpu_and_engine():
    data = metrics_data(replace(state(), now=NOW + 60), Resource({}), 1)

    assert data.resource_metrics[0].scope_metrics[0].metrics == []


def test_every_exported_figure_is_one_of_a_gpu():
    assert set(GPU_NAMES) <= set(FIGURES)


def test_collector_that_is_away_costs_a_bounded_time_and_nothing_is_kept(caplog):
    export = OtlpExport(OTLPMetricExporter("http://127.0.0.1:9/v1/metrics", timeout=0.3), state, time.time)
    started = time.monotonic()
    for _ in range(3):
        export.export()

    assert time.monotonic() - started < 5
    assert export.failures == 3
    assert [each.message for each in caplog.records].count("OTLP collector takes no metrics") == 1


def test_collector_that_comes_back_is_said_once(collector, caplog):
    caplog.set_level("INFO")
    exporter = OTLPMetricExporter(f"{collector.url}/v1/metrics", timeout=1)
    export = OtlpExport(exporter, state, time.time)
    collector.status = 400
    export.export()
    export.export()
    collector.status = 200
    export.export()

    said = [each.message for each in caplog.records if each.name == "autoglm_agent.otlp"]
    assert said == ["OTLP collector takes no metrics", "OTLP collector takes metrics again"]
    assert export.failures == 2


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317"}, Setting("http://c:4317", True, 15.0)),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, Setting("http://c:4318", False, 15.0)),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"},
            Setting("http://c:4317", False, 15.0),
        ),
        (
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://traces:4318",
                "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://metrics:9/x",
                "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "grpc",
                "OTEL_METRIC_EXPORT_INTERVAL": "5000",
            },
            Setting("http://metrics:9/x", True, 5.0),
        ),
    ],
)
def test_setting_is_read_from_opentelemetrys_variables(environment, expected):
    assert setting(environment) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "thrift"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "5"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "1s"),
    ],
)
def test_wrong_variable_is_named(name, value):
    with pytest.raises(ValueError, match=f"{name} is '{value}'; expected"):
        setting({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318", name: value})


def modules_of_an_agent(**environment):
    code = (
        "import sys, threading, autoglm_agent.__main__ as main\n"
        "import autoglm_agent.server, autoglm_agent.ticker as ticker\n"
        "main.threading.Event.wait = lambda self, timeout=None: __import__('time').sleep(0.2)\n"
        "main.main(['--source', 'replay', '--listen', '127.0.0.1:0'])\n"
        "import json; print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(json.loads(done.stdout.splitlines()[-1])), done.stderr


def test_sdk_is_imported_only_when_an_endpoint_is_given(collector):
    without, _ = modules_of_an_agent()
    assert not [name for name in without if name.startswith(("opentelemetry", "grpc", "google"))]

    with_one, log = modules_of_an_agent(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    assert "opentelemetry.sdk.metrics.export" in with_one
    assert "exporting OTLP" in log


def test_exporter_that_is_not_installed_is_said_and_ends_nothing():
    code = (
        "import sys; sys.modules['opentelemetry.sdk.metrics.export'] = None\n"
        "from autoglm_agent.__main__ import Agent; from autoglm_agent.otlp_setting import Setting\n"
        "from autoglm_agent.source import Request, choose; from autoglm_agent.signals.tolerance import Tolerance\n"
        "agent = Agent(choose(Request('replay'), lambda: 0.0), 'http://127.0.0.1:1', Tolerance.ELASTIC, 1)\n"
        "assert agent.export(Setting('http://c:4318', False, 15.0)) is None\n"
        "assert agent.state().otlp_failures is None"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 0, done.stderr
    assert "install autoglm-agent[otlp]" in done.stderr
