import pytest

from autoglm_simulator.flags import parse, tokens


def test_vllm_flags_are_understood():
    arguments = (
        "zai-org/AutoGLM-Phone-9B --host 0.0.0.0 --port 8001 --served-model-name a b --max-model-len 25480"
        " --max-num-seqs 64 --max-num-batched-tokens 8k --gpu-memory-utilization 0.9 --kv-cache-dtype fp8"
        " --quantization fp8 --tensor-parallel-size 2 --no-enable-prefix-caching --shutdown-timeout 30"
        " --max-num-queued-reqs 100 --profile h200-autoglm-9b --startup-seconds 8 --seed 7"
    )
    settings = parse(["serve", *arguments.split()])
    assert settings.served_model_names == ("a", "b")
    assert (settings.port, settings.max_model_len, settings.shutdown_timeout) == (8001, 25480, 30)
    assert (settings.limits.max_num_seqs, settings.limits.max_num_batched_tokens) == (64, 8000)
    assert settings.limits.prefix_caching is False
    assert (settings.startup_seconds, settings.seed, settings.max_num_queued_reqs) == (8, 7, 100)
    assert settings.enable_fault_injection is False


def test_defaults_are_vllms():
    settings = parse(["serve", "m"])
    assert (settings.port, settings.gpu_memory_utilization, settings.shutdown_timeout) == (8000, 0.92, 0)
    assert (settings.limits.max_num_seqs, settings.limits.max_num_batched_tokens) == (1024, 8192)
    assert settings.served_model_names == ("m",)
    assert settings.limits.prefix_caching is True


@pytest.mark.parametrize(
    ("flags", "limits"),
    [("--max-num-seqs 128", (128, 128)), ("--max-num-batched-tokens 8", (8, 8)), ("", (16, 64))],
)
def test_the_default_of_one_limit_makes_way_for_the_other(flags, limits):
    got = parse(["serve", "m", "--profile", "tiny-demo", *flags.split()]).limits
    assert (got.max_num_seqs, got.max_num_batched_tokens) == limits


@pytest.mark.parametrize(
    ("text", "value"), [("2048", 2048), ("1k", 1000), ("1K", 1024), ("25.6k", 25600), ("1M", 2**20)]
)
def test_token_counts_take_vllms_suffixes(text, value):
    assert tokens(text) == value


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--swap-space 4", "unrecognized arguments: --swap-space 4"),
        ("--served-model n", "unrecognized arguments: --served-model"),
        ("--profile v100", "invalid choice: 'v100'"),
        ("--max-num-seqs 64 --max-num-batched-tokens 8", "must be greater than or equal to max_num_seqs (64)"),
        ("--quantization awq", "--quantization awq: profile h100-autoglm-9b knows fp8"),
        ("--gpu-memory-utilization 0.2", "No available memory for the cache blocks"),
        ("--gpu-memory-utilization 1.5", "'1.5' is not a share"),
        (
            "--profile tiny-demo --max-model-len 65536",
            "needs 4096 KV blocks, but the KV cache of profile tiny-demo has",
        ),
        ("--startup-seconds -1", "'-1' is not a number of seconds"),
        ("--max-num-seqs 0", "'0' is not a whole number above 0"),
    ],
)
def test_what_vllm_would_refuse_ends_with_code_2(arguments, message, capsys):
    with pytest.raises(SystemExit) as stop:
        parse(["serve", "m", *arguments.split()])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
