import asyncio
import io
import json
import time

import pytest


async def events(answer):
    """Return the server-sent events of `answer` and check that the last one is the end mark."""
    lines = [line.decode().removeprefix("data: ").strip() async for line in answer.content if line.strip()]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


async def error(answer):
    body = await answer.json()
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert body["error"]["code"] == answer.status
    return answer.status, body["error"]["type"], body["error"]["message"]


async def eventually(holds):
    async with asyncio.timeout(5):
        while not await holds():  # what it waits for is behind HTTP
            await asyncio.sleep(0.02)


async def test_chat_streams_one_event_per_token_with_role_usage_and_end(start):
    simulator = await start()
    options = {"stream": True, "stream_options": {"include_usage": True}}
    answer = await simulator.chat(max_tokens=5, ignore_eos=True, **options)
    assert (answer.status, answer.content_type) == (200, "text/event-stream")
    role, *tokens, usage = await events(answer)
    assert role["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert all(token["choices"][0]["delta"]["content"] for token in tokens)
    assert [token["choices"][0]["finish_reason"] for token in tokens] == [None] * (len(tokens) - 1) + ["length"]
    assert "".join(token["choices"][0]["delta"]["content"] for token in tokens).count(" ") == 5
    assert usage["choices"] == []
    assert usage["usage"] == {"prompt_tokens": 11, "completion_tokens": 5, "total_tokens": 16}
    assert {event["object"] for event in (role, *tokens, usage)} == {"chat.completion.chunk"}


async def test_tokens_come_when_the_model_says(start):
    simulator = await start()
    begun = time.monotonic()
    answer = await simulator.chat(max_tokens=21, ignore_eos=True, stream=True)
    times = [time.monotonic() - begun async for line in answer.content if line.strip()]
    assert 0.015 < times[0] < 0.25
    assert 20 * 0.015 < times[-1] < 20 * 0.015 + 0.5


async def test_without_usage_asked_for_there_is_none_in_a_stream(start):
    simulator = await start()
    answer = await simulator.chat(max_tokens=2, ignore_eos=True, stream=True)
    assert all("usage" not in event for event in await events(answer))


async def test_chat_in_one_piece_says_the_same_as_the_stream(start):
    simulator = await start()
    whole = await (await simulator.chat(max_tokens=30)).json()
    streamed = await events(await simulator.chat(max_tokens=30, stream=True))
    text = "".join(event["choices"][0]["delta"]["content"] for event in streamed)
    choice = whole["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": text}
    assert choice["finish_reason"] == streamed[-1]["choices"][0]["finish_reason"]
    assert (whole["object"], whole["model"]) == ("chat.completion", "autoglm-phone-9b")


async def test_completions_both_ways(start):
    simulator = await start()
    body = {"model": "autoglm-phone-9b", "prompt": "Once upon a time", "max_tokens": 6, "ignore_eos": True}
    whole = await (await simulator.client.post("/v1/completions", json=body)).json()
    streamed = await events(await simulator.client.post("/v1/completions", json={**body, "stream": True}))
    assert whole["object"] == "text_completion"
    assert whole["choices"][0]["text"] == "".join(event["choices"][0]["text"] for event in streamed)
    assert whole["usage"] == {"prompt_tokens": 4, "completion_tokens": 6, "total_tokens": 10}


async def test_answers_depend_on_the_seed_and_the_prompt_only(start):
    async def length(simulator, text):
        return (await (await simulator.chat(text, max_tokens=3000)).json())["usage"]["completion_tokens"]

    flags = ("--max-num-seqs", "64")
    same, again, other = await start("--seed", "1", *flags), await start("--seed", "1"), await start("--seed", "2")
    runs = (length(same, "hello"), length(again, "hello"), length(other, "hello"), length(same, "goodbye"))
    first, second, third, fourth = await asyncio.gather(*runs)
    assert first == second
    assert len({first, third, fourth}) == 3


async def test_min_tokens_is_kept(start):
    simulator = await start()
    body = await (await simulator.chat(min_tokens=40, max_tokens=41)).json()
    assert body["usage"]["completion_tokens"] in {40, 41}


async def test_models_version_health_load_and_ping(start):
    simulator = await start("--max-model-len", "25480")
    models = await (await simulator.client.get("/v1/models")).json()
    [model] = models["data"]
    assert (model["id"], model["root"]) == ("autoglm-phone-9b", "zai-org/AutoGLM-Phone-9B")
    assert (model["max_model_len"], model["object"], models["object"]) == (25480, "model", "list")
    assert await (await simulator.client.get("/version")).json() == {"version": "0.33.0"}
    assert await (await simulator.client.get("/load")).json() == {"server_load": 0}
    for path in ("/health", "/ping"):
        answer = await simulator.client.get(path)
        assert (answer.status, await answer.text()) == (200, "")


@pytest.mark.parametrize(
    ("fields", "status", "kind", "message"),
    [
        ({"model": "gpt"}, 404, "NotFoundError", "The model `gpt` does not exist."),
        (
            {"text": "x" * 4 * 5000},
            400,
            "BadRequestError",
            "(length 5006) is longer than the maximum model length of 4096",
        ),
        ({"max_tokens": 4090}, 400, "BadRequestError", "request has 11 input tokens (4090 > 4096 - 11)"),
        ({"max_tokens": 0}, 400, "BadRequestError", "max_tokens must be a whole number of at least 1, got 0"),
        ({"max_tokens": "many"}, 400, "BadRequestError", "got 'many'"),
        ({"min_tokens": 9, "max_tokens": 8}, 400, "BadRequestError", "min_tokens must be less than or equal to"),
        ({"n": 2}, 400, "BadRequestError", "n: only 1 choice"),
        ({"messages": []}, 400, "BadRequestError", "messages: expected a list"),
    ],
)
async def test_errors_have_vllms_shape_and_the_numbers(start, fields, status, kind, message):
    simulator = await start("--max-model-len", "4096")
    got_status, got_kind, got_message = await error(await simulator.chat(**fields))
    assert (got_status, got_kind) == (status, kind)
    assert message in got_message


@pytest.mark.parametrize("body", [b"not json", b"[1]", b"\xff"])
async def test_a_body_that_is_no_json_object_is_400(start, body):
    simulator = await start()
    status, kind, _ = await error(await simulator.client.post("/v1/completions", data=body))
    assert (status, kind) == (400, "BadRequestError")


async def test_a_screenshot_of_several_megabytes_is_accepted(start):
    simulator = await start()
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 3_000_000}}
    sent = json.dumps({"messages": [{"role": "user", "content": [image]}], "max_tokens": 1}).encode()
    body = await (await simulator.client.post("/v1/chat/completions", data=io.BytesIO(sent))).json()
    assert body["usage"]["prompt_tokens"] > 3300


async def test_a_client_that_leaves_frees_its_blocks_and_counts_as_abort(start):
    simulator = await start()
    answer = await simulator.chat(max_tokens=3000, ignore_eos=True, stream=True)
    await answer.content.readline()
    assert await simulator.value("vllm:num_requests_running") == 1
    assert await simulator.value("vllm:kv_cache_usage_perc") > 0
    answer.close()

    async def freed():
        running = await simulator.value("vllm:num_requests_running")
        return running == 0 and await simulator.value("vllm:kv_cache_usage_perc") == 0

    await eventually(freed)
    assert await simulator.value("vllm:request_success_total", finished_reason="abort") == 1


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_the_queue_counts_as_abort_too(start, stream):
    simulator = await start("--max-num-seqs", "1")
    running = asyncio.ensure_future(simulator.chat(max_tokens=3000, ignore_eos=True))
    queued = asyncio.ensure_future(simulator.chat(max_tokens=3000, ignore_eos=True, stream=stream))

    async def one_waits():
        return await simulator.value("vllm:num_requests_waiting") == 1

    await eventually(one_waits)
    if stream:
        (await queued).close()
    else:
        queued.cancel()

    async def aborted():
        return await simulator.value("vllm:request_success_total", finished_reason="abort") == 1

    await eventually(aborted)
    assert await simulator.value("vllm:num_requests_waiting") == 0
    assert await simulator.value("vllm:num_requests_running") == 1
    running.cancel()


async def test_a_full_queue_answers_503_and_is_counted(start):
    simulator = await start("--max-num-seqs", "1", "--max-num-queued-reqs", "1")
    tasks = [asyncio.ensure_future(simulator.chat(max_tokens=500, ignore_eos=True)) for _ in range(2)]

    async def one_waits():
        return await simulator.value("vllm:num_requests_waiting") == 1

    await eventually(one_waits)
    status, kind, _ = await error(await simulator.chat(max_tokens=1))
    assert (status, kind) == (503, "ServiceUnavailableError")
    rejected = (
        "vllm:admission_rejections_total",
        ("model_name", "autoglm-phone-9b"),
        ("reason", "max_num_queued_reqs"),
    )
    assert (await simulator.samples())[rejected] == 1
    for task in tasks:
        task.cancel()


async def test_faults_are_off_unless_enabled(start):
    simulator = await start()
    assert (await simulator.client.post("/faults", json={"hang": 60})).status == 404


async def test_hang_stops_tokens_but_not_health(start):
    simulator = await start("--enable-fault-injection")
    await simulator.client.post("/faults", json={"hang": 0.6})
    begun = time.monotonic()
    answer = asyncio.ensure_future(simulator.chat(max_tokens=1))
    await asyncio.sleep(0.1)
    assert (await simulator.client.get("/health")).status == 200
    assert not answer.done()
    assert (await answer).status == 200
    assert 0.6 <= time.monotonic() - begun + 0.05 < 2


async def test_error_rate_answers_500_and_is_counted(start):
    simulator = await start("--enable-fault-injection")
    await simulator.client.post("/faults", json={"errorRate": 1})
    status, kind, _ = await error(await simulator.chat(max_tokens=1))
    assert (status, kind) == (500, "InternalServerError")
    assert await simulator.value("vllm:request_success_total", finished_reason="error") == 1
    answer = await simulator.client.post("/faults", json={"errorRate": 0})
    assert await answer.json() == {"errorRate": 0.0, "kvExhaustion": False, "slowdown": 1.0}
    assert (await simulator.chat(max_tokens=1)).status == 200


async def test_kv_exhaustion_fills_the_cache_and_ends_with_it(start):
    simulator = await start("--enable-fault-injection", "--max-model-len", "64")
    await simulator.client.post("/faults", json={"kvExhaustion": True})
    assert await simulator.value("vllm:kv_cache_usage_perc") > 0.99
    answers = await asyncio.gather(*(simulator.chat(max_tokens=40, ignore_eos=True) for _ in range(3)))
    assert [answer.status for answer in answers] == [200] * 3
    assert await simulator.value("vllm:num_preemptions_total") > 0
    await simulator.client.post("/faults", json={"kvExhaustion": False})
    assert await simulator.value("vllm:kv_cache_usage_perc") == 0


async def test_slowdown_shows_in_the_latency(start):
    simulator = await start("--enable-fault-injection")
    await simulator.client.post("/faults", json={"slowdown": 10})
    await simulator.chat(max_tokens=2, ignore_eos=True)
    assert await simulator.value("vllm:inter_token_latency_seconds_sum") > 0.1


async def test_a_fault_that_does_not_exist_is_400(start):
    simulator = await start("--enable-fault-injection")
    status, _, message = await error(await simulator.client.post("/faults", json={"explode": True}))
    assert (status, message) == (400, "explode is no fault: expected hang, errorRate, kvExhaustion or slowdown")


async def test_while_draining_the_old_end_and_the_new_are_refused(start):
    simulator = await start("--shutdown-timeout", "5")
    running = await simulator.chat(max_tokens=20, ignore_eos=True, stream=True)
    draining = asyncio.ensure_future(simulator.server.drain())
    await asyncio.sleep(0)
    refused = await simulator.chat(max_tokens=1)
    assert (await error(refused))[:2] == (503, "ServiceUnavailableError")
    assert refused.headers["Connection"] == "close"
    assert (await simulator.client.get("/health")).status == 200
    assert (await events(running))[-1]["choices"][0]["finish_reason"] == "length"
    await asyncio.wait_for(draining, 1)
