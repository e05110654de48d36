import base64
import random
import struct

import pytest

from autoglm_simulator.prompts import (
    InvalidPromptError,
    from_completion,
    from_messages,
    image_tokens,
    reply_length,
    words,
)


def png(width, height):
    head = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", width, height, 8, 2, 0, 0, 0)
    return "data:image/png;base64," + base64.b64encode(head + b"\0" * 100).decode()


def user(*content):
    return [{"role": "user", "content": list(content)}]


def text(value):
    return {"type": "text", "text": value}


def image(url):
    return {"type": "image_url", "image_url": {"url": url}}


def test_a_token_is_four_bytes_of_utf8():
    assert from_completion("a" * 400).tokens == 100
    assert from_completion("打开微信" * 100).tokens == 300


def test_a_completion_can_be_token_ids():
    assert from_completion([1, 2, 3]).tokens == 3
    assert from_completion(["a" * 40]).tokens == 10


@pytest.mark.parametrize(("size", "tokens"), [((1080, 2400), 3307), ((28, 28), 1), ((4000, 4000), 6378)])
def test_an_image_is_its_pixels_over_784_and_at_most_five_million_of_them(size, tokens):
    assert image_tokens(png(*size)) == tokens


@pytest.mark.parametrize(
    "url", ["https://example.com/a.png", "data:image/jpeg;base64,/9j/4AAQ", "data:image/png;base64,&&"]
)
def test_an_image_of_unknown_size_is_a_phone_screen(url):
    assert image_tokens(url) == 3306


def test_images_count_in_the_prompt_and_in_its_prefix():
    one = from_messages(user(text("look"), image(png(1080, 2400))))
    same = from_messages(user(text("look"), image(png(1080, 2400)), text("more" * 100)))
    other = from_messages(user(text("look"), image(png(1080, 2401))))
    assert 3307 < one.tokens < 3330
    assert one.prefix[:-1] == same.prefix[: len(one.prefix) - 1]
    assert one.prefix[1] != other.prefix[1]


def test_turns_of_one_chat_share_their_prefix():
    system = {"role": "system", "content": "You are a phone agent. " * 50}
    first = from_messages([system, {"role": "user", "content": "open the map " * 10}])
    second = from_messages([system, {"role": "user", "content": "send a message " * 10}])
    assert len(first.prefix) == first.tokens // 16
    assert first.prefix[:17] == second.prefix[:17]
    assert first.prefix != second.prefix


def test_a_block_hash_stands_for_all_that_is_before_it():
    same_end = [from_completion(start + "x" * 128) for start in ("a" * 64, "b" * 64)]
    assert not set(same_end[0].prefix) & set(same_end[1].prefix)


@pytest.mark.parametrize(
    "messages",
    [
        None,
        [],
        ["hello"],
        [{"content": "no role"}],
        [{"role": "user", "content": 5}],
        user({"type": "video"}),
        user("x"),
    ],
)
def test_what_is_no_chat_is_refused(messages):
    with pytest.raises(InvalidPromptError):
        from_messages(messages)


@pytest.mark.parametrize("prompt", [None, "", [], ["a", "b"], {}])
def test_what_is_no_completion_prompt_is_refused(prompt):
    with pytest.raises(InvalidPromptError):
        from_completion(prompt)


def test_a_reply_is_counted_as_it_was_generated():
    assert from_completion(words(5, 0, 40)).tokens == 40
    assert words(5, 0, 40) == words(5, 0, 10) + words(5, 10, 40)
    assert words(5, 0, 40) != words(6, 0, 40)


def test_reply_lengths_vary_within_the_bounds():
    rng = random.Random(1)
    lengths = [reply_length(rng, 50, 300) for _ in range(500)]
    assert (min(lengths), max(lengths)) == (50, 300)
    assert 100 < sorted(lengths)[250] < 140
