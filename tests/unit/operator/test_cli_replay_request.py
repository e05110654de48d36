"""`kubectl autoglm replay --fidelity request`: each trace and our own law run through it."""

import json

import pytest

from autoglm_operator.cli.main import main

RATES = "window_start_s,rate_rps,index_of_dispersion\n" + "".join(f"{60 * i},8,2\n" for i in range(10))
AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n" + "".join(
    f"2023-11-16 18:{i // 60:02}:{i % 60:02},1000,{50 + i % 7}\n" for i in range(600)
)


def mooncake(hashes):
    lines = (
        {"timestamp": 1000 * i, "input_length": 4096, "output_length": 50, "hash_ids": hashes(i)} for i in range(600)
    )
    return "\n".join(json.dumps(line) for line in lines)


def replayed(capsys, path, text, *arguments):
    path.write_text(text)
    arguments = ["--fidelity", "request", "--cold-start", "30", "-o", "json", *arguments]
    assert main(["replay", "--trace", str(path), *arguments]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("policy", ["autoglm", "keda-inflight"])
def test_rates(capsys, tmp_path, policy):
    arguments = (capsys, tmp_path / "trace", RATES, "--policy", policy)
    found = replayed(*arguments)
    assert found["slo_attainment"] > 0.9
    assert found["lost_requests"] == 0
    assert found == replayed(*arguments)
    assert found != replayed(*arguments, "--seed", "1")


def test_requests_as_recorded_and_scaled(capsys, tmp_path):
    path = tmp_path / "trace"
    assert replayed(capsys, path, AZURE)["requests"] == 600
    assert replayed(capsys, path, AZURE, "--mean-rps", "3")["requests"] == pytest.approx(1800, rel=0.1)


def test_shared_prompts_cost_less(capsys, tmp_path):
    path = tmp_path / "trace"
    static = ("--policy", "static", "--target", "1")
    own = replayed(capsys, path, mooncake(lambda i: [*range(8 * i, 8 * i + 8)]), *static)
    shared = replayed(capsys, path, mooncake(lambda i: [*range(7), 7 + i]), *static)
    assert shared["ttft_p99"] < own["ttft_p99"] / 2
    assert shared["itl_p99"] < own["itl_p99"]


def test_prefixes_that_cannot_be_are_refused(capsys, tmp_path):
    path = tmp_path / "trace"
    path.write_text(mooncake(lambda i: [-i]))
    assert main(["replay", "--trace", str(path), "--fidelity", "request"]) == 1
    assert "trace:2: field hash_ids: got -1, expected whole numbers" in capsys.readouterr().err
