import asyncio

import pytest

from autoglm_bench.load.workload import request
from autoglm_bench.result import Cause
from autoglm_bench.wire.chat import ChatClient, Target
from autoglm_bench.wire.reading import problem

BODY = request("phone", [{"role": "user", "content": "tap on search"}], 5, natural_end=False)


async def ask(url, *, keep_text=False, traceparent="", **target):
    async with ChatClient(Target(url, "phone", **target)) as client:
        return await client.ask(BODY, keep_text=keep_text, traceparent=traceparent)


async def test_good_answer_is_timed_and_counted(engine, script):
    engine.behaviour = script.stream(*script.good, pause=0.02)

    answer = await ask(engine.url)

    assert answer.cause is None
    assert (answer.prompt_tokens, answer.output_tokens, len(answer.tokens_at)) == (17, 5, 5)
    # The head and the empty role event come before the first token.
    assert 0.04 <= answer.tokens_at[0] - answer.sent < 0.5
    assert answer.tokens_at[4] - answer.tokens_at[0] >= 0.08
    assert answer.finished >= answer.tokens_at[4] + 0.04


async def test_request_asks_for_a_fixed_length_and_usage(engine):
    await ask(engine.url)

    (request,) = engine.requests
    assert request["messages"] == [{"role": "user", "content": "tap on search"}]
    assert (request["model"], request["max_tokens"], request["stream"]) == ("phone", 5, True)
    assert request["stream_options"] == {"include_usage": True}
    assert request["ignore_eos"] is True


async def test_pieces_are_counted_where_the_engine_reports_no_usage(engine, script):
    engine.behaviour = script.stream(script.event("a"), script.event("b"), script.event(finish="stop"), script.done)

    answer = await ask(engine.url)

    assert (answer.output_tokens, answer.tokens) == (None, 2)


async def test_text_is_kept_where_it_is_asked_for(engine):
    assert (await ask(engine.url)).text == ""
    assert (await ask(engine.url, keep_text=True)).text == "xxxxx"


async def test_cached_tokens_are_read_where_the_engine_tells_them(engine, script):
    usage = {"prompt_tokens": 9, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 4}}
    engine.behaviour = script.stream(script.event("a"), script.event(finish="stop", usage=usage), script.done)

    answer = await ask(engine.url)

    assert (answer.prompt_tokens, answer.cached_tokens) == (9, 4)


async def test_key_and_trace_context_are_sent(engine):
    await ask(engine.url, api_key="secret", traceparent="00-1-2-01")

    assert b"Authorization: Bearer secret\r\n" in engine.heads[0]
    assert b"traceparent: 00-1-2-01\r\n" in engine.heads[0]


async def test_name_without_an_address_is_refused():
    answer = await ask("http://nowhere.invalid/v1")

    assert answer.cause is Cause.REFUSED
    assert "nowhere.invalid" in answer.detail


async def test_events_may_be_cut_anywhere(engine, script):
    whole = b"".join(script.good)
    engine.behaviour = script.stream(*(whole[at : at + 7] for at in range(0, len(whole), 7)))

    assert (await ask(engine.url)).output_tokens == 5


@pytest.mark.parametrize(("reuse", "connections"), [(False, 3), (True, 1)])
async def test_each_request_has_its_own_connection_unless_asked(engine, script, reuse, connections):
    engine.behaviour = script.answer("500 Internal Server Error")
    async with ChatClient(Target(engine.url, "phone", reuse_connections=reuse)) as client:
        for _ in range(3):
            await client.ask(b"{}")

    assert engine.connections == connections


@pytest.mark.parametrize(
    ("parts", "cause", "detail"),
    [
        (lambda s: (s.event("a"), s.event("b")), Cause.CUT_OFF, "after 2 pieces without"),
        (lambda s: (s.event("a"), s.event(finish="stop")), Cause.CUT_OFF, "without [DONE]"),
        (lambda s: (s.event("a"), s.done), Cause.CUT_OFF, "finish_reason"),
        (lambda s: (s.event(finish="stop"), s.done), Cause.CUT_OFF, "without text"),
        (lambda s: (), Cause.CUT_OFF, "after 0 pieces"),
        (lambda s: (s.event("a"), b'data: {"error": {"message": "boom"}}\n\n'), Cause.ENGINE_ERROR, "boom"),
        (lambda s: (b"data: {nonsense\n\n",), Cause.PROTOCOL, "not a chat event"),
        (lambda s: (b"data: [1]\n\n",), Cause.PROTOCOL, "not a chat event"),
        (lambda s: (b"data: " + b"x" * 3_000_000,), Cause.PROTOCOL, "longer than"),
    ],
)
async def test_stream_that_is_not_whole_is_a_failure(engine, script, parts, cause, detail):
    engine.behaviour = script.stream(*parts(script))

    answer = await ask(engine.url)

    assert answer.cause is cause
    assert detail in answer.detail


@pytest.mark.parametrize("status", ["500 Internal Server Error", "429 Too Many Requests", "404 Not Found", "302 Found"])
async def test_any_other_status_is_a_failure_that_quotes_the_engine(engine, script, status):
    engine.behaviour = script.answer(status, b'{"error": "no room"}' + b"x" * 1000)

    answer = await ask(engine.url)

    assert answer.cause is Cause.STATUS
    assert answer.detail.startswith(f'HTTP {status[:3]} {{"error": "no room"}}')
    assert len(answer.detail) < 300


async def test_hanging_engine_is_given_up(engine, script):
    engine.behaviour = script.hang

    answer = await ask(engine.url, timeout=0.2)

    assert answer.cause is Cause.TIMEOUT
    assert 0.2 <= answer.finished - answer.sent < 1


async def test_dripping_engine_is_given_up(engine, script):
    engine.behaviour = script.stream(*(script.event("x") for _ in range(1000)), pause=0.05)

    assert (await ask(engine.url, timeout=0.3)).cause is Cause.TIMEOUT


async def test_connection_that_breaks_is_cut_off(engine, script):
    async def reset(writer):
        writer.write(script.head + script.event("a"))
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.transport.abort()

    engine.behaviour = reset

    answer = await ask(engine.url)

    assert answer.cause is Cause.CUT_OFF
    assert len(answer.tokens_at) == 1


async def test_answer_shorter_than_announced_is_cut_off(engine):
    async def short(writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n")
        await writer.drain()

    engine.behaviour = short

    assert (await ask(engine.url)).cause is Cause.CUT_OFF


async def test_nothing_listens(unused_tcp_port):
    assert (await ask(f"http://127.0.0.1:{unused_tcp_port}/v1")).cause is Cause.REFUSED


async def test_preflight_accepts_a_served_model(engine):
    assert await problem(Target(engine.url, "phone")) is None


@pytest.mark.parametrize(
    ("change", "model", "said"),
    [
        (lambda url: url, "tablet", "does not serve it; it serves phone"),
        (lambda url: url.removesuffix("/v1") + "/v2", "phone", "Does --url end in /v1?"),
        (lambda _: "127.0.0.1:8000", "phone", "expected one such as http://"),
        (lambda _: "http://", "phone", "expected one such as http://"),
        (lambda _: "http://127.0.0.1:1/v1", "phone", "http://127.0.0.1:1/v1/models cannot be reached"),
    ],
)
async def test_preflight_names_the_url_and_what_to_do(engine, change, model, said):
    assert said in await problem(Target(change(engine.url), model))
