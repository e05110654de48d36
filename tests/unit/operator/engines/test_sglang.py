"""What each field becomes on SGLang's command line."""

import pytest

from autoglm_operator.errors import Terminal
from autoglm_operator.render.engines import Role

LAYOUT = {"gpu": {"count": 8}, "parallelism": {"tensor": 4, "pipeline": 2, "nodes": 2}}


def test_the_publishers_command_line(process):
    made = process("SGLang", model={"source": {"huggingFace": "zai-org/AutoGLM-Phone-9B"}})
    assert made.command == ("python3", "-m", "sglang.launch_server")
    assert made.args == (
        *("--model-path", "zai-org/AutoGLM-Phone-9B", "--host", "0.0.0.0", "--port", "8000"),
        *("--served-model-name", "phone", "--enable-metrics"),
        *("--uvicorn-access-log-exclude-prefixes", "/health", "/ready", "/metrics"),
        *("--context-length", "25480", "--tp-size", "1", "--pp-size", "1"),
        *("--mm-enable-dp-encoder", "--mm-process-config", '{"image":{"max_pixels":5000000}}'),
    )


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (
            {"batching": {"chunkedPrefill": False, "maxBatchedTokens": 8192}},
            {"--chunked-prefill-size": ["-1"], "--max-prefill-tokens": ["8192"]},
        ),
        (
            {"batching": {"maxBatchedTokens": 8192}},
            {"--chunked-prefill-size": ["8192"], "--max-prefill-tokens": None},
        ),
        ({"batching": {"maxQueuedRequests": 10}}, {"--max-queued-requests": ["10"]}),
        ({"kvCache": {"prefixCaching": False}}, {"--disable-radix-cache": []}),
        ({"kvCache": {"dtype": "fp8_e5m2"}}, {"--kv-cache-dtype": ["fp8_e5m2"]}),
        ({"kvCache": {"cpuOffload": "16G"}}, {"--enable-hierarchical-cache": [], "--hicache-size": ["16"]}),
        ({"cpuOffload": "7.5Gi"}, {"--cpu-offload-gb": ["8"]}),
        (
            {"speculative": {"method": "eagle", "model": "a/head", "numTokens": 3}},
            {
                "--speculative-algorithm": ["EAGLE"],
                "--speculative-draft-model-path": ["a/head"],
                "--speculative-num-steps": ["3"],
                "--speculative-eagle-topk": ["1"],
                "--speculative-num-draft-tokens": ["4"],
            },
        ),
        (
            {"speculative": {"method": "ngram", "numTokens": 3}},
            {
                "--speculative-algorithm": ["NGRAM"],
                "--speculative-num-draft-tokens": ["4"],
                "--speculative-num-steps": None,
            },
        ),
        ({"speculative": {"method": "mtp"}}, {"--speculative-algorithm": ["NEXTN"]}),
        (
            {"lora": {"adapters": [{"name": "cn", "source": {"huggingFace": "team/cn"}}], "maxCpuLoras": 8}},
            {
                "--enable-lora": [],
                "--lora-paths": ["cn=team/cn"],
                "--max-loras-per-batch": ["4"],
                "--max-lora-rank": ["16"],
                "--max-loaded-loras": ["8"],
            },
        ),
        ({"extraArgs": ["--page-size", "16"]}, {"--page-size": ["16"]}),
        (
            {"tracing": {"endpoint": "http://otel:4317"}},
            {"--enable-trace": [], "--otlp-traces-endpoint": ["otel:4317"]},
        ),
        ({"tracing": {"endpoint": "https://otel:4317"}}, {"--otlp-traces-endpoint": ["https://otel:4317"]}),
        (
            {"tracing": {"endpoint": "http://otel:4318"}},
            {"--otlp-traces-endpoint": ["http://otel:4318/v1/traces"]},
        ),
    ],
)
def test_fields(options, spec, expected):
    found = options("SGLang", **spec)
    assert {key: found.get(key) for key in expected} == expected


def test_the_cache_in_cpu_memory_is_split_over_the_ranks(options):
    layout = {"gpu": {"count": 4}, "parallelism": {"tensor": 2, "data": 2, "expert": True}}
    found = options("SGLang", resources=layout, kvCache={"cpuOffload": "18G"})
    assert (found["--hicache-size"], found["--dp-size"], found["--ep-size"]) == (["4"], ["2"], ["2"])


def test_several_nodes(options, process):
    leader, worker = (options("SGLang", resources=LAYOUT, role=role) for role in (Role.LEADER, Role.WORKER))
    for found in (leader, worker):
        assert (found["--nnodes"], found["--dist-init-addr"]) == (["2"], ["$(LWS_LEADER_ADDRESS):20000"])
    assert (leader["--node-rank"], worker["--node-rank"]) == (["0"], ["$(LWS_WORKER_INDEX)"])
    assert process("SGLang", resources=LAYOUT, role=Role.WORKER).ready_path == ""


@pytest.mark.parametrize(("version", "path"), [("0.5.19", "/health"), ("0.5.20", "/ready"), ("0.5.23", "/ready")])
def test_the_way_to_ask_whether_it_is_ready_came_late(process, version, path):
    assert process("SGLang", version).ready_path == path


def test_modelscope(process):
    made = process("SGLang", model={"source": {"modelScope": "ZhipuAI/AutoGLM-Phone-9B"}})
    assert made.env["SGLANG_USE_MODELSCOPE"] == "true"


@pytest.mark.parametrize(
    ("version", "spec", "said"),
    [
        (
            "0.5.23",
            {"batching": {"maxQueuedTokens": 5}},
            "spec.engine.batching.maxQueuedTokens: 5: SGLang 0.5.23 cannot express it; no release from 0.5.6 to 0.5.23 "
            "can: remove it",
        ),
        (
            "0.5.23",
            {"sampling": {"temperature": 0}},
            "spec.engine.sampling: SGLang 0.5.23 takes the defaults of its OpenAI API from the model's "
            "generation_config.json alone",
        ),
        (
            "0.5.19",
            {
                "speculative": {"method": "eagle", "model": "a/b"},
                "resources": {"gpu": {"count": 2}, "parallelism": {"pipeline": 2}},
            },
            "spec.engine.speculative.method: eagle: SGLang 0.5.19 has no speculative decoding with eagle over pipeline "
            "stages; the first release that has it for eagle is 0.5.20",
        ),
        (
            "0.5.23",
            {"kvCache": {"cpuOffload": "1Gi"}, "resources": {"gpu": {"count": 2}, "parallelism": {"tensor": 2}}},
            "spec.engine.kvCache.cpuOffload: 1Gi: SGLang gives each of the 2 ranks whole gigabytes; give at least 2G",
        ),
        (
            "0.5.23",
            {"kvCache": {"cpuOffload": "16Gi", "prefixCaching": False}},
            "spec.engine.kvCache.cpuOffload: 16Gi: SGLang's cache in CPU memory is a level of its prefix cache",
        ),
        (
            "0.5.23",
            {
                "lora": {
                    "adapters": [{"name": str(index), "source": {"huggingFace": "a/b"}} for index in range(5)],
                    "maxCpuLoras": 4,
                }
            },
            "spec.engine.lora.maxCpuLoras: 4: SGLang keeps every adapter in CPU memory; raise it to the number of "
            "adapters (5)",
        ),
        ("0.5.5", {}, "spec.engine.version: SGLang 0.5.5 is older than the first release that is supported"),
    ],
)
def test_refusals_say_what_to_do(process, version, spec, said):
    with pytest.raises(Terminal) as caught:
        process("SGLang", version, **spec)
    assert str(caught.value).startswith(said)


def test_a_quantization_that_the_release_lacks_names_the_first_that_has_it(process):
    with pytest.raises(Terminal) as caught:
        process("SGLang", "0.5.6", quantization="mxfp4", kvCache={"dtype": "fp8_e4m3"}, extraArgs=["--tp", "1"])
    assert "extraArgs" in str(caught.value), "mxfp4 and fp8_e4m3 are known to 0.5.6"
