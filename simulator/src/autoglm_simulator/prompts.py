"""From an HTTP body to token counts, prefix hashes and text, without a tokenizer.

One token is four bytes of UTF-8: close to real tokenizers for English, and about one token per 1.3 Chinese characters.
An image is its pixels / 784 (patch 14, merged 2 x 2), read from a PNG's header, at most what 5 million pixels give.
"""

import base64
import binascii
import math
import random
import struct
import zlib
from dataclasses import dataclass
from typing import Any, Final

from autoglm_simulator.profiles import BLOCK_TOKENS

_TOKEN_BYTES: Final = 4
_PIXELS_PER_TOKEN: Final = 784
_MAX_PIXELS: Final = 5_000_000  # the published server command: --mm_processor_kwargs '{"max_pixels":5000000}'
_UNREADABLE_IMAGE_TOKENS: Final = 3306  # a phone's screen of 1080 x 2400
_PNG: Final = b"\x89PNG\r\n\x1a\n"
_PNG_HEADER: Final = 24  # signature, length and type of the first chunk, width, height

# Reply lengths where the client leaves them open: invented, in the order of an agent's thought and action.
_REPLY_MEDIAN: Final = 120
_REPLY_SIGMA: Final = 0.6

# Three letters and a space: a token of four bytes, so that a reply sent back as context counts the same again.
_WORDS: Final = (
    "act ", "add ", "all ", "and ", "any ", "ask ", "box ", "can ", "day ", "end ",
    "far ", "few ", "get ", "has ", "hit ", "how ", "key ", "let ", "new ", "now ",
)  # fmt: skip


_MIX: Final = 2_654_435_761  # Knuth's multiplicative hash: neighbouring indices give unrelated words


class InvalidPromptError(ValueError):
    """The body holds no prompt that could be read."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt as the model sees it: its length, its prefix hashes, and a seed for what answers it."""

    tokens: int
    prefix: tuple[int, ...]
    seed: int


def from_completion(prompt: object) -> Prompt:
    """Return the prompt of a completion: a string, a list with one string, or token ids.

    Raises:
        InvalidPromptError: It is none of them, or empty.
    """
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str):
        prompt = prompt[0]
    if isinstance(prompt, str) and prompt:
        return _prompt(prompt.encode())
    if isinstance(prompt, list) and prompt and all(isinstance(token, int) for token in prompt):
        return _prompt(b"".join((token % 2**32).to_bytes(_TOKEN_BYTES, "big") for token in prompt))
    raise InvalidPromptError("prompt: expected a string that is not empty, a list with one string, or token ids")


def from_messages(messages: object) -> Prompt:
    """Return the prompt of a chat.

    Raises:
        InvalidPromptError: `messages` is not a list of messages with text or image parts.
    """
    if not isinstance(messages, list) or not messages:
        raise InvalidPromptError("messages: expected a list with at least one message")
    rendered = bytearray()
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise InvalidPromptError(f"messages[{index}]: expected an object with a role")
        rendered += f"<|{message['role']}|>\n".encode()
        _render(rendered, message.get("content"), index)
    rendered += b"<|assistant|>\n"
    return _prompt(bytes(rendered))


def _render(rendered: bytearray, content: object, index: int) -> None:
    if content is None:
        return  # a message that only calls a tool
    if isinstance(content, str):
        rendered += content.encode()
        return
    if not isinstance(content, list):
        raise InvalidPromptError(f"messages[{index}].content: expected a string or a list of parts")
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text":
            rendered += str(part.get("text", "")).encode()
        elif kind == "image_url":
            rendered += _image(part.get("image_url"))
        else:
            raise InvalidPromptError(f"messages[{index}].content: part of type {kind!r}, expected text or image_url")


def _image(source: Any) -> bytes:
    """Return bytes that are as long as the image's tokens and differ for every image."""
    url = str(source.get("url", "") if isinstance(source, dict) else source)
    digest = zlib.crc32(url.encode()).to_bytes(_TOKEN_BYTES, "big")
    return digest * image_tokens(url)


def image_tokens(url: str) -> int:
    """Return the tokens of an image: by its size where `url` is a data URL of a PNG, else those of a phone's screen."""
    _, found, data = url.partition("base64,")
    try:
        head = base64.b64decode(data[: _PNG_HEADER * 4 // 3], validate=True) if found else b""
    except binascii.Error:
        head = b""
    if len(head) < _PNG_HEADER or not head.startswith(_PNG):
        return _UNREADABLE_IMAGE_TOKENS
    width: int
    height: int
    width, height = struct.unpack(">II", head[16:24])
    return max(1, math.ceil(min(width * height, _MAX_PIXELS) / _PIXELS_PER_TOKEN))


def _prompt(rendered: bytes) -> Prompt:
    size = BLOCK_TOKENS * _TOKEN_BYTES
    prefix: list[int] = []
    block = 0
    for start in range(0, len(rendered) - size + 1, size):
        block = hash((block, rendered[start : start + size]))
        prefix.append(block)
    return Prompt(max(1, math.ceil(len(rendered) / _TOKEN_BYTES)), tuple(prefix), zlib.crc32(rendered))


def reply_length(rng: random.Random, smallest: int, largest: int) -> int:
    """Return how long a reply is that ends by itself, within the request's bounds."""
    return max(smallest, min(largest, round(rng.lognormvariate(math.log(_REPLY_MEDIAN), _REPLY_SIGMA))))


def words(seed: int, start: int, end: int) -> str:
    """Return tokens `start` to `end` of the reply with `seed`, one word each."""
    return "".join(_WORDS[((seed ^ index) * _MIX >> 16) % len(_WORDS)] for index in range(start, end))
