"""The `config.json` of a model, read from its hub without a token, for the memory fit."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import httpx

from autoglm_operator.api.v1alpha1 import Model

HUGGING_FACE: Final = "https://huggingface.co"
MODEL_SCOPE: Final = "https://www.modelscope.cn"
TIMEOUT_SECONDS: Final = 5.0
_MOST_BYTES: Final = 1 << 20
#: After this the hub is asked again what it could not answer.
_FAILURE_SECONDS: Final = 600.0
_MOST_CACHED: Final = 512
_UNAUTHORISED: Final = (401, 403)
_NOT_FOUND: Final = 404
_OK: Final = 200

#: The parsed file, or a sentence about why it could not be had.
Answer = Mapping[str, Any] | str


class Place(NamedTuple):
    """Where a model's files are."""

    hub: str
    layout: str
    model_id: str
    revision: str

    @property
    def url(self) -> str:
        """Return the address of the `config.json`."""
        if self.layout == "modelscope":
            return f"{self.hub}/models/{self.model_id}/resolve/{self.revision}/config.json"
        return f"{self.hub}/{self.model_id}/resolve/{self.revision}/config.json"


def place_of(model: Model) -> Place | None:
    """Return where the files of `model` are; `None` for one that is not on a hub."""
    source = model.source
    mirror = (model.hub_endpoint or "").rstrip("/")
    if source.hugging_face:
        return Place(mirror or HUGGING_FACE, "huggingface", source.hugging_face, model.revision or "main")
    if source.model_scope:
        return Place(mirror or MODEL_SCOPE, "modelscope", source.model_scope, model.revision or "master")
    return None


@dataclass
class ModelConfigs:
    """Reads and remembers `config.json` files.

    Attributes:
        client: for the hub; it follows redirects.
        timeout: most that one reading may take, in seconds.
        clock: seconds that only grow.
    """

    client: httpx.AsyncClient
    timeout: float = TIMEOUT_SECONDS
    clock: Callable[[], float] = time.monotonic
    _cached: dict[Place, tuple[Answer, float]] = field(default_factory=dict)

    async def read(self, model: Model) -> Answer:
        """Return the `config.json` of `model`, or why it could not be had; never later than after the timeout."""
        place = place_of(model)
        if place is None:
            return "the model is not on a hub that its config.json could be read from"
        if (known := self._cached.get(place)) is not None:
            answer, expires = known
            if self.clock() < expires:
                return answer
        answer = await self._fetch(place)
        if len(self._cached) >= _MOST_CACHED:
            del self._cached[next(iter(self._cached))]
        # A branch may move, but its architecture does not; only failures are asked for again.
        lasting = float("inf") if not isinstance(answer, str) else self.clock() + _FAILURE_SECONDS
        self._cached[place] = answer, lasting
        return answer

    async def _fetch(self, place: Place) -> Answer:
        where = f"{place.model_id} at {place.hub}"
        try:
            async with asyncio.timeout(self.timeout):
                return await self._download(place, where)
        except TimeoutError:
            return f"config.json of {where} did not arrive within {self.timeout:g} s"
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            return f"config.json of {where} could not be read: {type(error).__name__}"

    async def _download(self, place: Place, where: str) -> Answer:
        async with self.client.stream("GET", place.url, follow_redirects=True) as response:
            if response.status_code in _UNAUTHORISED:
                return f"config.json of {where} is not public (HTTP {response.status_code})"
            if response.status_code == _NOT_FOUND:
                return f"{where} has no config.json at revision {place.revision} (HTTP 404)"
            if response.status_code != _OK:
                return f"config.json of {where} could not be read (HTTP {response.status_code})"
            body = bytearray()
            async for part in response.aiter_bytes():
                body += part
                if len(body) > _MOST_BYTES:
                    return f"config.json of {where} is larger than 1 MiB"
        try:
            found = json.loads(body)
        except (ValueError, RecursionError):
            return f"config.json of {where} is not JSON"
        return found if isinstance(found, dict) else f"config.json of {where} is not a JSON object"
