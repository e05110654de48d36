"""Steady traffic on the tiny model, run in a pod: short questions at a rate, and long streams that follow each other.

Every answer is known, so an answer that is cut short counts as lost like one that never came. Each request has a
connection of its own, as the Service spreads connections. It goes on until the file `stop` is there, then lets the
requests in flight end, and prints a report as one line of JSON.
"""

import argparse
import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
from tiny_model import SERVED_NAME, recitation

_SHORT_TOKENS = 27
#: Tokens of a long stream: of the first, whose pace sets the next ones, and at most; six of these fit the KV cache.
_FIRST_TOKENS = 300
_MOST_TOKENS = 8000
_ANSWER_SECONDS = 240.0
_LONGEST_SECONDS = 1200.0


class Traffic:
    """What was asked and what went wrong."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.answered = {"short": 0, "long": 0}
        self.lost: list[str] = []
        self._tokens = _FIRST_TOKENS

    async def ask(self) -> None:
        """Ask for a short answer in one piece."""
        async with httpx.AsyncClient(timeout=_ANSWER_SECONDS) as client:
            answer = await client.post(self._url, json=_question(_SHORT_TOKENS))
        answer.raise_for_status()
        self._check("short", answer.json()["choices"][0]["message"]["content"], _SHORT_TOKENS)

    async def listen(self, seconds: float) -> None:
        """Ask for an answer that takes about `seconds` as a stream, and read it to its end."""
        text, tokens, start = "", self._tokens, time.monotonic()
        async with (
            httpx.AsyncClient(timeout=_ANSWER_SECONDS) as client,
            client.stream("POST", self._url, json=_question(tokens) | {"stream": True}) as answer,
        ):
            answer.raise_for_status()
            async for line in answer.aiter_lines():
                if line.startswith("data: {"):
                    choices = json.loads(line.removeprefix("data: ")).get("choices")
                    if not choices:
                        raise ValueError(line)
                    text += choices[0]["delta"].get("content") or ""
        self._check("long", text, tokens)
        pace = tokens / (time.monotonic() - start)
        self._tokens = min(_MOST_TOKENS, max(_FIRST_TOKENS, int(pace * seconds)))

    async def note(self, request: Callable[[], Awaitable[None]]) -> None:
        """Await a request and note if it is lost."""
        start = time.time()
        try:
            await request()
        except (httpx.HTTPError, ValueError, KeyError) as error:
            self.lost.append(f"after {time.time() - start:.1f} s: {error!r}")

    def _check(self, kind: str, text: str, tokens: int) -> None:
        if text != recitation(tokens):
            raise ValueError(f"{kind} answer has {len(text)} of {tokens} tokens, or others: …{text[-60:]!r}")
        self.answered[kind] += 1


def _question(tokens: int) -> dict[str, object]:
    messages = [{"role": "user", "content": "Recite the alphabet."}]
    return {"model": SERVED_NAME, "messages": messages, "max_tokens": tokens, "temperature": 0}


async def drive(traffic: Traffic, options: argparse.Namespace) -> None:
    """Run the traffic until the file is there."""
    end = time.monotonic() + _LONGEST_SECONDS

    def stopped() -> bool:
        return options.stop.exists() or time.monotonic() > end

    async def streams() -> None:
        while not stopped():
            await traffic.note(lambda: traffic.listen(options.seconds))

    async with asyncio.TaskGroup() as group:
        for _ in range(options.streams):
            group.create_task(streams())
        while not stopped():
            group.create_task(traffic.note(traffic.ask))
            await asyncio.sleep(1 / options.rate)


def main() -> None:
    """Read the options, run, report."""
    parser = argparse.ArgumentParser(description="Steady traffic on the tiny model.")
    parser.add_argument("url", help="of the chat completions")
    parser.add_argument("--rate", type=float, required=True, help="short questions a second")
    parser.add_argument("--streams", type=int, required=True, help="long streams at a time")
    parser.add_argument("--seconds", type=float, required=True, help="about how long a long stream takes")
    parser.add_argument("--stop", type=Path, required=True, help="file that ends it")
    options = parser.parse_args()
    traffic = Traffic(options.url)
    asyncio.run(drive(traffic, options))
    print(json.dumps({"answered": traffic.answered, "lost": traffic.lost}), flush=True)


if __name__ == "__main__":
    main()
