import pytest

from autoglm_simulator.flags import parse
from autoglm_simulator.model import Engine
from autoglm_simulator.profiles import BLOCK_TOKENS, PROFILES
from autoglm_simulator.requests import Request


@pytest.mark.parametrize(
    ("profile", "quantization", "million_tokens"),
    [
        ("h100-autoglm-9b", "", 1.31),
        ("h100-autoglm-9b", "fp8", 1.51),
        ("h200-autoglm-9b", "", 2.78),
        ("h200-autoglm-9b", "fp8", 2.98),
        ("l40s-autoglm-9b", "", 0.477),
        ("l40s-autoglm-9b", "fp8", 0.676),
    ],
)
def test_kv_tokens_are_those_of_the_memory_formula(profile, quantization, million_tokens):
    # Reserve 4 GiB, utilization 0.92, 40 KiB per token: computed by hand for each GPU.
    blocks = PROFILES[profile].kv_blocks(0.92, quantization, 1, 2)
    assert blocks * BLOCK_TOKENS == pytest.approx(million_tokens * 1e6, rel=0.005)


def test_fp8_cache_holds_twice_the_tokens():
    profile = PROFILES["h100-autoglm-9b"]
    assert profile.kv_blocks(0.92, "", 1, 1) == pytest.approx(2 * profile.kv_blocks(0.92, "", 1, 2), abs=1)


def test_tensor_parallelism_divides_weights_and_at_most_two_kv_heads():
    profile = PROFILES["h100-autoglm-9b"]
    one, two, four = (profile.kv_blocks(0.92, "", gpus, 2) for gpus in (1, 2, 4))
    assert two > 2 * one  # half the cache per token, and half the weights
    weights_saved = 19.17 / 4 * 2**30 / (20_480 * BLOCK_TOKENS)
    assert four == pytest.approx(two + weights_saved, abs=1)


@pytest.mark.parametrize("batch", [1, 64, 128])
def test_h100_decodes_as_the_reference_plant_does(batch):
    speed = PROFILES["h100-autoglm-9b"].speed
    assert speed.iteration(batch, batch * 1125, 0) == pytest.approx(0.015 + 0.00015 * batch)


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_every_profile_starts_with_its_defaults_and_has_no_negative_cost(name):
    settings = parse(["serve", "m", "--profile", name])
    assert settings.limits.kv_blocks * BLOCK_TOKENS >= settings.max_model_len
    speed = PROFILES[name].speed
    assert min(speed.decode_per_sequence, speed.decode_base, speed.prefill_base, speed.prefill_per_token) > 0
    assert speed.decode_per_context_token >= 0


@pytest.mark.parametrize(("rate", "keeps_up"), [(1.5, True), (6.0, False)])
def test_tiny_demo_saturates_at_a_few_requests_per_second(rate, keeps_up):
    settings = parse(["serve", "m", "--profile", "tiny-demo"])
    engine = Engine(settings.limits, settings.profile.speed)
    requests = [Request(256, 64, number / rate) for number in range(int(60 * rate))]
    for request in requests:
        engine.add(request)
    progress = engine.step(1e6)
    slowest = max(request.first_token_at - request.arrival for request in requests)
    assert (slowest < 2) is keeps_up
    assert max(run.inter_token_seconds for run in progress if run.decoded) < 0.1
