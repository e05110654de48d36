"""The connection against answers that are allowed, and against those that are not."""

import pytest

from autoglm_bench.result import Cause
from autoglm_bench.wire.chat import ChatClient, Target


def raw(*parts):
    async def behave(writer):
        for part in parts:
            writer.write(part)
            await writer.drain()

    return behave


def chunked(data, size):
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join(b"%x;name=value\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n"


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture
def ask(engine):
    async def call(*parts, pause=0):
        async def one_by_one(writer):
            for byte in b"".join(parts):
                writer.write(bytes([byte]))
                await writer.drain()

        engine.behaviour = one_by_one if pause else raw(*parts)
        async with ChatClient(Target(engine.url, "phone", timeout=3)) as client:
            return await client.ask(b"{}")

    return call


@pytest.fixture
def body(script):
    return b"".join(script.good)


@pytest.mark.parametrize("size", [1, 3, 7, 100, 10_000])
@pytest.mark.parametrize("trailer", [b"\r\n", b"Expires: never\r\n\r\n"])
async def test_chunks_of_any_size(ask, body, size, trailer):
    answer = await ask(CHUNKED, chunked(body, size), trailer)

    assert (answer.cause, answer.output_tokens, len(answer.tokens_at)) == (None, 5, 5)


async def test_every_byte_may_come_alone(ask, body):
    answer = await ask(CHUNKED, chunked(body, 11), b"\r\n", pause=1)

    assert (answer.cause, answer.output_tokens) == (None, 5)


async def test_counted_body_and_informational_answer_before_it(ask, body):
    head = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)

    assert (await ask(head, body)).cause is None


async def test_what_comes_after_the_end_does_not_matter(ask, body):
    assert (await ask(CHUNKED, chunked(body, 50), b"\r\n", b"more")).cause is None


@pytest.mark.parametrize(
    "head",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000,
        CHUNKED + b"zz\r\n",
        CHUNKED + b"-5\r\n",
        CHUNKED + b"1" * 5000,
        CHUNKED + b"3\r\nabcde\r\n",
    ],
)
async def test_what_is_no_http_answer_is_a_protocol_failure(ask, head):
    answer = await ask(head)

    assert (answer.cause, answer.tokens_at) == (Cause.PROTOCOL, [])


@pytest.mark.parametrize("end", [b"", b"5\r\nab", b"0\r\n"])
async def test_chunks_that_break_off_are_cut_off(ask, end):
    assert (await ask(CHUNKED, end)).cause is Cause.CUT_OFF


async def test_refusal_of_any_length_is_quoted_in_part(ask):
    answer = await ask(b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n", chunked(b"no room " * 100_000, 4000))

    assert answer.cause is Cause.STATUS
    assert answer.detail.startswith("HTTP 503 no room")
    assert len(answer.detail) < 300
