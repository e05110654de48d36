"""Whether a target can be asked at all: found out before the load, and said in one sentence."""

from typing import Any, Final

import httpx

from autoglm_bench.client import Target

_OK: Final = 200
_SECONDS: Final = 10.0


async def problem(target: Target) -> str | None:
    """Return what is wrong with a target and what to do about it, or `None`."""
    url = f"{target.url.rstrip('/')}/models"
    try:
        async with httpx.AsyncClient(timeout=_SECONDS, trust_env=False) as http:
            response = await http.get(url)
    except (httpx.UnsupportedProtocol, httpx.InvalidURL):
        return f"{target.url!r} is not a URL to ask; expected one such as http://autoglm-phone.default:8000/v1"
    except httpx.TimeoutException:
        return f"{url} did not answer within {_SECONDS:g} s; is the engine overloaded, or its port closed by a policy?"
    except httpx.HTTPError as error:
        return f"{url} cannot be reached ({error}); is the engine ready, and is this its address?"
    if response.status_code != _OK:
        return f"{url} answered HTTP {response.status_code}; expected 200. Does --url end in /v1?"
    names = _names(response)
    if target.model not in names:
        return f"{target.url} does not serve {target.model!r}; it serves {', '.join(names) or 'nothing'}: give --model"
    return None


def _names(response: httpx.Response) -> list[str]:
    try:
        content: Any = response.json()
        return [str(model["id"]) for model in content["data"]]
    except (ValueError, KeyError, TypeError):
        return []
