import subprocess
import sys

import pytest

from autoglm_simulator.api import CHAT, read_call
from autoglm_simulator.flags import parse
from autoglm_simulator.tracing import Tracing, TracingError, attributes


def call():
    settings = parse(["serve", "phone"])
    body = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}
    return read_call(CHAT, body, settings, number=1, arrival=10.0, created=0)


def test_a_span_has_the_present_names_and_those_of_vllm():
    found = call()
    request = found.request
    request.scheduled_at, request.first_token_at, request.finished_at, request.generated = 10.5, 11.0, 13.0, 4
    shown = attributes(found)
    assert shown["gen_ai.usage.input_tokens"] == shown["gen_ai.usage.prompt_tokens"] == request.prompt_tokens
    assert shown["gen_ai.usage.output_tokens"] == shown["gen_ai.usage.completion_tokens"] == 4
    latencies = {key.rsplit(".", 1)[1]: value for key, value in shown.items() if ".latency." in key}
    assert latencies == {
        "time_in_queue": 0.5,
        "time_to_first_token": 1.0,
        "time_in_model_prefill": 0.5,
        "time_in_model_decode": 2.0,
        "time_in_model_inference": 2.5,
        "e2e": 3.0,
    }


def test_a_request_that_never_ran_has_no_latencies():
    assert not [key for key in attributes(call()) if ".latency." in key]


def test_a_protocol_that_does_not_exist_is_told(monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "thrift")
    with pytest.raises(TracingError, match="'thrift': expected grpc or http/protobuf"):
        Tracing("http://c:4317")


def test_without_the_flag_opentelemetry_is_not_loaded():
    code = (
        "import sys; from autoglm_simulator.server import Server; from autoglm_simulator.flags import parse\n"
        "Server(parse(['serve', 'm']))\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
