"""What each field becomes on vLLM's command line."""

import json

import pytest

from autoglm_operator.errors import Terminal
from autoglm_operator.render.engines import Role

PHONE = "AutoGLM-Phone-9B"
LAYOUT = {"gpu": {"count": 8}, "parallelism": {"tensor": 4, "pipeline": 2, "nodes": 2}}
ADAPTERS = [
    {"name": "cn", "source": {"huggingFace": "team/cn"}},
    {"name": "en", "source": {"pvc": {"claimName": "loras", "path": "en"}}},
]


@pytest.mark.parametrize("organisation", ["zai-org", "ZhipuAI"])
@pytest.mark.parametrize("variant", ["", "-Multilingual"])
def test_the_publishers_command_line_less_the_local_files(process, organisation, variant):
    hub = "huggingFace" if organisation == "zai-org" else "modelScope"
    made = process("vLLM", model={"source": {hub: f"{organisation}/{PHONE}{variant}"}})
    assert made.command == ("vllm", "serve")
    assert made.args == (
        f"{organisation}/{PHONE}{variant}",
        *("--host", "0.0.0.0", "--port", "8000", "--served-model-name", "phone", "--shutdown-timeout", "180"),
        *("--disable-access-log-for-endpoints", "/health,/metrics", "--max-model-len", "25480"),
        *("--enable-prefix-caching", "--tensor-parallel-size", "1", "--pipeline-parallel-size", "1"),
        *("--mm-encoder-tp-mode", "data", "--mm-processor-cache-type", "shm"),
        *("--mm-processor-kwargs", '{"max_pixels":5000000}', "--chat-template-content-format", "string"),
        *("--limit-mm-per-prompt", '{"image":10}'),
    )


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"batching": {"chunkedPrefill": False}}, {"--no-enable-chunked-prefill": []}),
        ({"batching": {"chunkedPrefill": True}}, {"--enable-chunked-prefill": []}),
        (
            {"batching": {"maxQueuedRequests": 10, "maxQueuedTokens": 9}},
            {"--max-num-queued-reqs": ["10"], "--max-num-queued-tokens": ["9"]},
        ),
        ({"kvCache": {"prefixCaching": False}}, {"--no-enable-prefix-caching": []}),
        ({"kvCache": {"dtype": "fp8_e4m3"}}, {"--kv-cache-dtype": ["fp8_e4m3"]}),
        ({"kvCache": {"utilizationPercent": 9 * 10}}, {"--gpu-memory-utilization": ["0.90"]}),
        (
            {"kvCache": {"cpuOffload": "1.5Gi"}},
            {"--kv-offloading-size": ["1.5"], "--kv-offloading-backend": ["native"]},
        ),
        ({"cpuOffload": "8Gi"}, {"--cpu-offload-gb": ["8"]}),
        ({"quantization": "mxfp4"}, {"--quantization": ["mxfp4"]}),
        (
            {"lora": {"adapters": ADAPTERS, "maxRank": 64, "maxLoras": 2, "maxCpuLoras": 8}},
            {
                "--enable-lora": [],
                "--max-loras": ["2"],
                "--max-lora-rank": ["64"],
                "--max-cpu-loras": ["8"],
                "--lora-modules": ["cn=team/cn", "en=/adapters/en"],
            },
        ),
        ({"extraArgs": ["--seed", "7"]}, {"--seed": ["7"]}),
    ],
)
def test_fields_of_the_engine(options, spec, expected):
    found = options("vLLM", **spec)
    assert {key: found.get(key) for key in expected} == expected


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ({"dtype": "float16"}, {"--dtype": ["float16"]}),
        ({"dtype": "auto"}, {"--dtype": None}),
        ({"trustRemoteCode": True}, {"--trust-remote-code": []}),
        ({"trustRemoteCode": False}, {"--trust-remote-code": None}),
        ({"revision": "abc"}, {"--revision": ["abc"]}),
        ({"contextLength": 4096}, {"--max-model-len": ["4096"]}),
    ],
)
def test_fields_of_the_model(options, model, expected):
    found = options("vLLM", model={"source": {"huggingFace": "a/b"}, **model})
    assert {key: found.get(key) for key in expected} == expected


@pytest.mark.parametrize(
    ("method", "model", "expected"),
    [
        ("ngram", None, {"method": "ngram", "num_speculative_tokens": 4}),
        ("mtp", None, {"method": "mtp", "num_speculative_tokens": 4}),
        ("eagle3", "a/head", {"method": "eagle3", "num_speculative_tokens": 4, "model": "a/head"}),
        ("draftModel", "a/small", {"method": "draft_model", "num_speculative_tokens": 4, "model": "a/small"}),
    ],
)
def test_speculative(options, method, model, expected):
    speculative = {"method": method, **({"model": model} if model else {})}
    (config,) = options("vLLM", speculative=speculative)["--speculative-config"]
    assert json.loads(config) == expected


def test_sampling_defaults(options):
    (config,) = options("vLLM", sampling={"temperature": 0, "topP": 0.85, "maxTokens": 3000})[
        "--override-generation-config"
    ]
    assert json.loads(config) == {"temperature": 0, "top_p": 0.85, "max_new_tokens": 3000}
    assert "--override-generation-config" not in options("vLLM", sampling={})


def test_data_and_expert_parallel(options):
    layout = {"gpu": {"count": 4}, "parallelism": {"tensor": 2, "data": 2, "expert": True}}
    found = options("vLLM", resources=layout, kvCache={"cpuOffload": "16Gi"})
    assert (found["--data-parallel-size"], found["--enable-expert-parallel"]) == (["2"], [])
    assert found["--kv-offloading-size"] == ["8"], "each data-parallel rank is an engine of its own"


def test_several_nodes(options, process):
    leader, worker = (options("vLLM", resources=LAYOUT, role=role) for role in (Role.LEADER, Role.WORKER))
    common = {
        "--nnodes": ["2"],
        "--master-addr": ["$(LWS_LEADER_ADDRESS)"],
        "--master-port": ["29501"],
        "--tensor-parallel-size": ["4"],
        "--pipeline-parallel-size": ["2"],
    }
    assert common.items() <= leader.items()
    assert common.items() <= worker.items()
    assert (leader["--node-rank"], worker["--node-rank"]) == (["0"], ["$(LWS_WORKER_INDEX)"])
    assert ("--headless" in leader, "--headless" in worker) == (False, True)
    made = process("vLLM", resources=LAYOUT, role=Role.WORKER)
    assert made.ready_path == "", "a headless worker serves no HTTP"


@pytest.mark.parametrize(
    ("source", "mode", "argument", "offline"),
    [
        ({"huggingFace": "a/b"}, "Lazy", "a/b", False),
        ({"huggingFace": "a/b"}, "Hybrid", "/models", True),
        ({"modelScope": "a/b"}, "Lazy", "a/b", False),
        ({"modelScope": "a/b"}, "Full", "/models", True),
        ({"pvc": {"claimName": "c"}}, "Lazy", "/models", True),
        ({"pvc": {"claimName": "c", "path": "x/y"}}, "Hybrid", "/models/x/y", True),
        ({"ociImage": {"reference": "r/i:1", "path": "w"}}, "Lazy", "/models/w", True),
        ({"url": "https://m/x"}, "Full", "/models", True),
    ],
)
def test_where_the_model_is(process, source, mode, argument, offline):
    made = process("vLLM", model={"source": source, "revision": "main"}, warmStart={"mode": mode})
    assert made.args[0] == argument
    assert ("HF_HUB_OFFLINE" in made.env) is offline
    assert ("--revision" in made.args) is not offline, "a folder has no revisions"


def test_hubs(process):
    mirrored = process("vLLM", model={"source": {"huggingFace": "a/b"}, "hubEndpoint": "https://hf.corp"})
    assert mirrored.env["HF_ENDPOINT"] == "https://hf.corp"
    chinese = process("vLLM", model={"source": {"modelScope": "a/b"}, "hubEndpoint": "https://ms.corp/"})
    assert chinese.env["VLLM_USE_MODELSCOPE"] == "true"
    assert chinese.env["MODELSCOPE_DOMAIN"] == "ms.corp"
    assert "HF_ENDPOINT" not in chinese.env


@pytest.mark.parametrize(
    "engine",
    [
        {"speculative": {"method": "eagle", "model": "a/head"}},
        {"lora": {"adapters": [{"name": "x", "source": {"huggingFace": "a/x"}}]}},
    ],
)
def test_the_hub_is_asked_for_what_is_not_in_the_folder(process, engine):
    made = process("vLLM", model={"source": {"pvc": {"claimName": "c"}}}, **engine)
    assert "HF_HUB_OFFLINE" not in made.env


@pytest.mark.parametrize(
    ("version", "spec", "said"),
    [
        (
            "0.28.0",
            {"batching": {"maxQueuedRequests": 5}},
            "spec.engine.batching.maxQueuedRequests: 5: vLLM 0.28.0 cannot express it; the first release that can is "
            "0.29.0: set spec.engine.version to it, or remove the field",
        ),
        (
            "0.14.1",
            {"speculative": {"method": "draftModel", "model": "a/b"}},
            "spec.engine.speculative.method: draftModel: vLLM 0.14.1 cannot express it; the first release that can is "
            "0.15.0",
        ),
        (
            "0.33.0",
            {"batching": {"maxBatchedTokens": 32, "maxNumSeqs": 64}},
            "spec.engine.batching.maxBatchedTokens: 32: vLLM needs at least one token for each sequence",
        ),
        (
            "0.33.0",
            {
                "batching": {"maxBatchedTokens": 2048, "chunkedPrefill": False},
                "model": {"source": {"huggingFace": "a/b"}, "contextLength": 4096},
            },
            "spec.engine.batching.maxBatchedTokens: 2048: without chunked prefill vLLM takes a prompt at once; raise "
            "it to the context length (4096)",
        ),
        (
            "0.33.0",
            {"resources": {"gpu": {"count": 4}, "parallelism": {"pipeline": 2, "data": 2, "nodes": 2}}},
            "spec.resources.parallelism.data: 2: data-parallel ranks cannot be spread over 2 nodes; set it to 1",
        ),
        ("0.11.0", {}, "spec.engine.version: vLLM 0.11.0 is older than the first release that is supported"),
        ("0.33.0", {"extraArgs": ["--port", "1"]}, "spec.engine.extraArgs[0]: --port: the operator sets --port"),
    ],
)
def test_refusals_say_what_to_do(process, version, spec, said):
    with pytest.raises(Terminal) as caught:
        process("vLLM", version, **spec)
    assert str(caught.value).startswith(said)


def test_what_a_release_lacks_is_left_out_when_nobody_asked_for_it(options):
    assert "--shutdown-timeout" not in options("vLLM", "0.17.0")
    assert "--shutdown-timeout" in options("vLLM", "0.18.0")


def test_nothing_of_the_user_is_expanded_by_the_kubelet(process):
    made = process("vLLM", extraArgs=["--tokenizer", "$(HF_TOKEN)$$"])
    assert made.args[-1] == "$$(HF_TOKEN)$$$$"
