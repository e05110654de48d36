"""The command as a user runs it, against a real server that behaves well or badly."""

import asyncio
import json
import os
import resource
import signal
import ssl
import sys
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

RUN = ["run", "--model", "phone"]
SMALL = ["--prompt-tokens", "8", "--output-tokens", "5"]
SHORT = [*SMALL, "--profile", "constant", "--rate", "20", "--duration", "0.5"]


async def bench(*arguments, after=None, stop=signal.SIGINT, largest_file=None):
    def limit():
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "autoglm_bench", *map(str, arguments)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=limit,
        env=os.environ | {"AUTOGLM_API_KEY": "secret"},
    )
    if after:
        await after()
        process.send_signal(stop)
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_json_has_the_documented_form(engine):
    load = ["--rate", "20", "--duration", "1.5", "--profile", "spike", "--spike-rate", "40"]
    spike = ["--spike-start", "0.5", "--spike-duration", "0.5", "--seed", "3", "-o", "json"]
    status, out, err = await bench(*RUN, "--url", engine.url, *SMALL, *load, *spike)
    report = json.loads(out)

    assert (status, err) == (0, "")
    assert (report["schemaVersion"], report["partial"]) == (2, False)
    assert report["plan"]["seed"] == 3
    assert report["versions"]["engine"] == "0.33.0"
    assert [phase["name"] for phase in report["phases"]] == ["before", "during", "after"]
    assert report["requests"] == sum(phase["requests"] for phase in report["phases"]) == len(engine.requests)
    assert (report["failed"], report["failures"]) == (0, {})
    assert 0 < report["phases"][1]["ttft"]["p99"] < 1
    assert report["outputTokens"] == 5 * report["requests"]
    assert b"authorization: bearer secret" in engine.heads[0].lower()


async def test_same_seed_is_the_same_sequence(engine):
    load = [*RUN, "--url", engine.url, *SHORT, "--profile", "poisson", "-o", "json"]
    first, second, other = [json.loads((await bench(*load, "--seed", seed))[1]) for seed in (1, 1, 2)]

    assert first["sequenceHash"] == second["sequenceHash"] != other["sequenceHash"]
    assert first["samples"]["due"] == second["samples"]["due"]


async def test_answers_cut_short_are_failures(engine, script):
    engine.behaviour = script.stream(script.event("a"))
    status, out, err = await bench(*RUN, "--url", engine.url, *SHORT)

    assert status == 1
    assert out.splitlines()[1].split()[:4] == ["total", "10", "0", "0"]
    assert "no request succeeded" in out
    assert "failed: 10 with cause cut_off" in out
    assert engine.url in err
    assert "without [DONE]" in err


async def test_answers_without_usage_numbers_are_counted_and_noted(engine, script):
    engine.behaviour = script.stream(script.event("a"), script.event("b"), script.event(finish="stop"), script.done)
    status, out, _ = await bench(*RUN, "--url", engine.url, *SHORT, "-o", "json")
    report = json.loads(out)

    assert (status, report["outputTokens"], report["promptTokens"]) == (0, 20, None)
    assert "10 of 10 answers came without usage numbers" in report["notes"][0]


@pytest.mark.parametrize(("stop", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_stopped_load_leaves_a_partial_report(engine, stop, status, tmp_path):
    saved = tmp_path / "run.json"
    load = ["--profile", "constant", "--rate", "20", "--duration", "60", "--objective", "ttft_p99=9s"]
    load = [*RUN, "--url", engine.url, *SMALL, *load, "-o", "json", "--save", saved]
    found, out, _ = await bench(*load, after=engine.busy.wait, stop=stop)
    report = json.loads(out)

    assert found == status
    assert (report["partial"], report["partialReason"]) == (True, f"stopped by {stop.name}")
    assert report["verdict"].startswith(f"partial (stopped by {stop.name}): ")
    assert 5 <= report["requests"] < 200
    assert report["seconds"] < 20
    assert json.loads(saved.read_text()) == report


async def test_stop_before_the_load_is_said(engine, script):
    began = asyncio.Event()

    async def hang(reader, writer):
        began.set()
        await asyncio.sleep(20)

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    status, out, err = await bench(*RUN, "--url", url, *SHORT, after=began.wait, stop=signal.SIGTERM)
    server.close()

    assert (status, out) == (143, "")
    assert err == "autoglm-bench: stopped by SIGTERM before the load began\n"


async def test_engine_that_dies_in_the_middle_is_a_failure_of_each_request(engine):
    async def kill():
        await engine.busy.wait()
        engine.server.close()
        for task in list(engine.open):
            task.cancel()

    killer = asyncio.create_task(kill())
    load = ["--profile", "constant", "--rate", "20", "--duration", "1.5", "-o", "json"]
    status, out, _ = await bench(*RUN, "--url", engine.url, *SMALL, *load)
    await killer
    report = json.loads(out)

    assert status == 0
    assert report["failures"]["refused"] > 5
    assert report["succeeded"] < 15


async def test_unreachable_url_is_one_line_before_any_load(unused_tcp_port):
    url = f"http://127.0.0.1:{unused_tcp_port}/v1"
    status, out, err = await bench(*RUN, "--url", url, *SHORT)

    assert (status, out) == (1, "")
    assert err.startswith(f"autoglm-bench: --url {url}: {url}/models cannot be reached")
    assert len(err.splitlines()) == 1


async def test_full_disk_does_not_lose_the_result(engine, tmp_path):
    saved = tmp_path / "run.json"
    status, out, err = await bench(*RUN, "--url", engine.url, *SHORT, "--save", saved, largest_file=100)

    assert status == 1
    assert json.loads(out.splitlines()[-1])["succeeded"] == 10
    assert f"--save {saved} cannot be written: File too large; the result is on the standard output" in err
    assert list(tmp_path.iterdir()) == []


async def test_split_energy_and_judgement_come_into_the_result(engine, script, tmp_path):
    engine.metrics = b"vllm:e2e_request_latency_seconds_sum 1\nvllm:e2e_request_latency_seconds_count 4\n"
    engine.state = b'{"gpus": [{"memoryUsedBytes": 1073741824, "powerWatts": 100.0, "energyJoules": null}]}'
    engine.behaviour = script.stream(script.event("Four"), script.event(finish="stop"), script.done)
    (tmp_path / "own.jsonl").write_text('{"id": "a", "prompt": "2+2"}\n{"id": "b", "prompt": "2+3"}\n')
    (tmp_path / "answers.jsonl").write_text('{"id": "a", "answer": "four"}\n{"id": "b", "answer": "five"}\n')
    agents = ["--agent-url", f"{engine.root}/state"] * 2
    beside = ["--metrics-url", f"{engine.root}/metrics", *agents]
    own = ["--requests", tmp_path / "own.jsonl", "--expected", tmp_path / "answers.jsonl", "--natural-end"]
    load = ["--profile", "constant", "--rate", "20", "--duration", "0.5", "-o", "json"]
    status, out, _ = await bench(*RUN, "--url", engine.url, *load, *own, *beside)
    report = json.loads(out)

    assert status == 0
    assert report["latencySplit"]["note"] == "it counted no request that ended meanwhile"
    assert (report["gpu"]["memoryPeakBytes"], report["gpu"]["powerMeanWatts"]) == (2**31, 200)
    assert report["score"]["parts"]["semantic"]["value"] == 0.5
    assert report["score"]["parts"]["latency"]["value"] is None


async def test_judge_grades_what_exact_match_would_refuse(engine, script, tmp_path):
    (tmp_path / "own.jsonl").write_text('{"id": "a", "prompt": "2+2"}\n')
    (tmp_path / "answers.jsonl").write_text('{"id": "a", "answer": "four"}\n')

    async def behave(writer):
        if b'"stream"' in engine.bodies[-1]:
            return await script.stream(script.event("it is 4"), script.event(finish="stop"), script.done)(writer)
        return await script.answer("200 OK", b'{"choices": [{"message": {"content": "8"}}]}')(writer)

    engine.behaviour = behave
    own = ["--requests", tmp_path / "own.jsonl", "--expected", tmp_path / "answers.jsonl", "--natural-end"]
    judge = ["--judge-url", engine.url, "--judge-model", "judge", "-o", "json"]
    _, out, _ = await bench(
        *RUN, "--url", engine.url, "--rate", "5", "--duration", "0.5", "--profile", "constant", *own, *judge
    )

    part = json.loads(out)["score"]["parts"]["semantic"]
    assert (part["value"], part["method"]) == (0.8, "mean grade of 1 of 1 answers by the judge judge")
    assert "Expected:\nfour" in engine.requests[-1]["messages"][0]["content"]


async def test_metrics_and_agent_that_are_away_are_notes(engine):
    beside = ["--metrics-url", f"{engine.root}/nothing", "--agent-url", f"{engine.root}/state", "-o", "json"]
    status, out, _ = await bench(*RUN, "--url", engine.url, *SHORT, *beside)
    report = json.loads(out)

    assert (status, report["latencySplit"], report["gpu"]) == (0, None, None)
    assert any("no latency split: --metrics-url" in note and "HTTP 404" in note for note in report["notes"])
    assert any("--agent-url: " in note and "readings failed" in note for note in report["notes"])


async def test_report_and_comparison_of_saved_runs(engine, tmp_path):
    runs = [tmp_path / "a.json", tmp_path / "b.json"]
    for path in runs:
        assert (await bench(*RUN, "--url", engine.url, *SHORT, "--save", path))[0] == 0

    assert (await bench("report", runs[0]))[:2] == (0, f"{tmp_path}/a.html\n")
    assert (tmp_path / "a.html").read_text().startswith("<!DOCTYPE html>")
    assert (await bench("report", runs[0], "-o", "markdown"))[1].startswith("### Load test of phone")
    status, out, _ = await bench("compare", *runs, "--fail-on", "difference")
    assert status == 0
    assert "too few requests to tell a difference" in out
    slower = json.loads(runs[1].read_text())
    slower["failed"] = slower["requests"] * 10
    slower["requests"] *= 11
    runs[1].write_text(json.dumps(slower))
    assert (await bench("compare", *runs, "--fail-on", "worse"))[0] == 1
    assert (await bench("compare", *runs))[0] == 0
    assert json.loads((await bench("compare", *runs, "-o", "json"))[1])["worse"] is True
    assert (await bench("compare", *reversed(runs), "--fail-on", "worse"))[0] == 0


async def test_tls_is_spoken_and_checked(engine, tmp_path, monkeypatch):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(hours=1))
    certificate = made.add_extension(names, critical=False).sign(key, hashes.SHA256())
    pem = tmp_path / "tls.pem"
    form = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem.write_bytes(certificate.public_bytes(Encoding.PEM) + key.private_bytes(*form))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    server = await asyncio.start_server(engine.handle, "127.0.0.1", 0, ssl=context)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"

    status, _, err = await bench(*RUN, "--url", url, *SHORT)
    assert (status, "certificate verify failed" in err) == (1, True)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    status, out, _ = await bench(*RUN, "--url", url, *SHORT, "-o", "json")
    assert (status, json.loads(out)["succeeded"]) == (0, 10)
    server.close()
