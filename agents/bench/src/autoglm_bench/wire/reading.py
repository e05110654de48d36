"""What is read beside the load and not timed, so by httpx: models, metrics, the agent's state, a judge's grades."""

import asyncio
import json
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from autoglm_bench.figures.exposition import MOST_BYTES
from autoglm_bench.figures.score import answer_of
from autoglm_bench.wire.chat import Target

_OK: Final = 200
_SECONDS: Final = 10.0
_JUDGE_SECONDS: Final = 120.0
_JUDGES: Final = 4
_GRADES: Final = 10
_JUDGE_PROMPT: Final = (
    "You grade an answer against the expected one. Reply with a whole number from 0 (wrong) to 10 (means the same), "
    "and nothing else.\n\nExpected:\n{expected}\n\nAnswer:\n{answer}"
)


class ReadingError(Exception):
    """Something could not be read; the message says what was seen."""


async def fetch(http: httpx.AsyncClient, url: str) -> str:
    """Return the text at `url`.

    Raises:
        ReadingError: there is none, or too much.
    """
    try:
        async with asyncio.timeout(_SECONDS), http.stream("GET", url) as response:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > MOST_BYTES:
                    raise ReadingError(f"{url} answers with more than {MOST_BYTES} bytes")
    except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
        raise ReadingError(f"{url!r} is not a URL to ask; expected one such as http://autoglm-phone:8000") from error
    except (TimeoutError, httpx.TimeoutException) as error:
        raise ReadingError(
            f"{url} did not answer within {_SECONDS:g} s; is the engine overloaded, or its port closed by a policy?"
        ) from error
    except httpx.HTTPError as error:
        text = str(error) or type(error).__name__
        raise ReadingError(f"{url} cannot be reached ({text}); is it ready, and is this its address?") from error
    if response.status_code != _OK:
        raise ReadingError(f"{url} answered HTTP {response.status_code}; expected 200")
    return body.decode(errors="replace")


def client(api_key: str = "") -> httpx.AsyncClient:
    """Return a client for `fetch`; what is asked is the target, not a proxy named in the environment."""
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    # The certificates that the requests themselves are checked with.
    trusted = ssl.create_default_context()
    return httpx.AsyncClient(timeout=_SECONDS, trust_env=False, headers=headers, verify=trusted)


async def problem(target: Target) -> str | None:
    """Return what is wrong with a target and what to do about it, or `None`."""
    async with client(target.api_key) as http:
        try:
            names = _names(await fetch(http, f"{target.url.rstrip('/')}/models"))
        except ReadingError as error:
            return f"--url {target.url}: {error}" + (". Does --url end in /v1?" if "HTTP 404" in str(error) else "")
    if target.model not in names:
        served = ", ".join(names) or "nothing that it names"
        return f"--model {target.model}: {target.url} does not serve it; it serves {served}"
    return None


def _names(text: str) -> list[str]:
    try:
        content: Any = json.loads(text)
        return [str(model["id"]) for model in content["data"]]
    except (ValueError, KeyError, TypeError):
        return []


async def engine_version(target: Target) -> str | None:
    """Return the version that the engine tells, or `None`."""
    try:
        async with client(target.api_key) as http:
            content = json.loads(await fetch(http, f"{target.url.rstrip('/').removesuffix('/v1')}/version"))
        return str(content["version"])
    except (ReadingError, ValueError, KeyError, TypeError):
        return None


@dataclass(frozen=True, slots=True)
class Judge:
    """A model that grades answers.

    Attributes:
        url: base URL of its API.
        model: its served name.
        api_key: sent as a bearer token; empty for none.
    """

    url: str
    model: str
    api_key: str = ""

    async def grade(self, answers: Mapping[str, str], expected: Mapping[str, str]) -> dict[str, float | None]:
        """Return a grade of 0 to 1 for each expected answer; `None` where the judge gave none, 0 without an answer."""
        at_once = asyncio.Semaphore(_JUDGES)
        async with client(self.api_key) as http:

            async def one(key: str, wanted: str) -> float | None:
                if key not in answers:
                    return 0.0
                async with at_once:
                    return await self._one(http, answer_of(answers[key]), wanted)

            grades = await asyncio.gather(*(one(key, wanted) for key, wanted in expected.items()))
        return dict(zip(expected, grades, strict=True))

    async def _one(self, http: httpx.AsyncClient, answer: str, expected: str) -> float | None:
        prompt = _JUDGE_PROMPT.format(expected=expected, answer=answer)
        body = {"model": self.model, "messages": [{"role": "user", "content": prompt}], "temperature": 0.0}
        try:
            url = f"{self.url.rstrip('/')}/chat/completions"
            response = await http.post(url, json=body, timeout=_JUDGE_SECONDS)
            content = response.json()["choices"][0]["message"]["content"]
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, IndexError, TypeError):
            return None
        found = re.fullmatch(r"\s*(\d+)\s*\.?\s*", answer_of(str(content)))
        return int(found[1]) / _GRADES if found and int(found[1]) <= _GRADES else None
