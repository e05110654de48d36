import pytest

from autoglm_simulator.api import CHAT, COMPLETION, ApiError, read_call
from autoglm_simulator.flags import parse

SETTINGS = parse(["serve", "m", "--max-model-len", "8192"])


def call(dialect=CHAT, **fields):
    prompt = {"messages": [{"role": "user", "content": "hello"}]} if dialect is CHAT else {"prompt": "hello"}
    return read_call(dialect, prompt | fields, SETTINGS, number=1, arrival=2.0, created=3)


def test_ignore_eos_generates_exactly_max_tokens():
    request = call(max_tokens=3000, ignore_eos=True).request
    assert (request.output_tokens, request.finish_reason) == (3000, "length")


def test_otherwise_a_reply_ends_by_itself_before_max_tokens():
    request = call(max_tokens=3000).request
    assert 1 <= request.output_tokens < 1500
    assert request.finish_reason == "stop"


def test_a_reply_as_long_as_max_tokens_ends_by_length():
    request = call(max_tokens=2).request
    assert (request.output_tokens, request.finish_reason) == (2, "length")


def test_without_max_tokens_a_chat_has_all_the_room_and_a_completion_sixteen():
    chat, completion = call(ignore_eos=True), call(COMPLETION, ignore_eos=True)
    assert chat.request.output_tokens == 8192 - chat.prompt.tokens
    assert completion.request.output_tokens == 16


def test_max_completion_tokens_goes_before_max_tokens():
    assert call(max_tokens=9, max_completion_tokens=7, ignore_eos=True).request.output_tokens == 7


def test_the_request_carries_arrival_length_and_prefix():
    got = call(messages=[{"role": "user", "content": "x" * 400}])
    assert (got.request.arrival, got.request.prompt_tokens) == (2.0, got.prompt.tokens)
    assert len(got.request.prefix) == got.prompt.tokens // 16


@pytest.mark.parametrize("status", [400, 404, 500, 503])
def test_every_status_has_a_type(status):
    assert ApiError(status, "message").body()["error"]["code"] == status
