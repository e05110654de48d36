"""Objects of a bucket on S3, or on a server that speaks its API: put and get, signed, tried again where that may help.

Redirects are not followed, and of a refusal only its code is told: the address comes from whoever wrote the spec, and
what a server answers that is none of S3 must not come out anywhere.
"""

import re
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

import httpx

from autoglm_bench.wire.sigv4 import Credentials, Request, encoded, sha256, signed

#: All requests of one client together: a Job that was told to stop has a minute.
MOST_SECONDS: Final = 40.0
_TRY_SECONDS: Final = 10.0
_TRIES: Final = 5
_FIRST_PAUSE: Final = 0.5
#: More than this of a report is not read, nor this of a refusal.
_MOST_BYTES: Final = 32 << 20
_REFUSAL_BYTES: Final = 4096
_CODE: Final = re.compile(rb"<Code>([A-Za-z0-9.]{1,64})</Code>")
#: Answers after which the same request may succeed.
_PASSING: Final = frozenset({408, 429, 500, 502, 503, 504})
_HINTS: Final[Mapping[str, str]] = {
    "AccessDenied": "may this key pair read and write objects there?",
    "InvalidAccessKeyId": "the server does not know this AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "AWS_SECRET_ACCESS_KEY or the region is wrong",
    "AuthorizationHeaderMalformed": "the region is wrong",
    "PermanentRedirect": "the bucket is in another region, or has another endpoint",
    "RequestTimeTooSkewed": "the clock of this machine or the server is wrong",
    "NoSuchBucket": "create the bucket, or correct its name",
    "ExpiredToken": "AWS_SESSION_TOKEN is no longer valid",
}


class S3Error(Exception):
    """An object could not be written or read; the message says what was seen."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where buckets are.

    Attributes:
        endpoint: its URL; empty for AWS's own of the region.
        region: that requests are signed for.
    """

    endpoint: str
    region: str

    def address(self, bucket: str, key: str) -> tuple[str, str, str]:
        """Return scheme, host and path of an object.

        The bucket is in the path, unless the endpoint's host begins with it, as some services want it. Pure.
        """
        domain = "amazonaws.com.cn" if self.region.startswith("cn-") else "amazonaws.com"
        parts = urlsplit(self.endpoint or f"https://s3.{self.region}.{domain}")
        base = parts.path.rstrip("/")
        inside = parts.netloc.startswith(f"{bucket}.")
        return parts.scheme, parts.netloc, f"{base}/{key}" if inside else f"{base}/{bucket}/{key}"


def pauses(rng: Random) -> Iterator[float]:
    """Yield the seconds before each further try: doubling, and each shorter by chance so that many do not meet."""
    for number in range(_TRIES - 1):
        yield _FIRST_PAUSE * 2**number * rng.uniform(0.5, 1.0)


class S3Client:
    """Puts and gets objects; a context manager, for at most `MOST_SECONDS` in all.

    Args:
        server: where the buckets are.
        credentials: whose they are.
        rng: spreads tries over time.
    """

    def __init__(self, server: Server, credentials: Credentials, rng: Random | None = None) -> None:
        self._server, self._credentials = server, credentials
        self._rng = rng or Random()
        self._end = time.monotonic() + MOST_SECONDS
        # Not by way of a proxy named in the environment, and with the certificates that all else is checked with.
        self._http = httpx.Client(timeout=_TRY_SECONDS, trust_env=False, verify=ssl.create_default_context())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def put(self, bucket: str, key: str, body: bytes, content_type: str) -> None:
        """Write an object in whole.

        Raises:
            S3Error: it is not there.
        """
        self._send("PUT", bucket, key, body, {"content-type": content_type})

    def get(self, bucket: str, key: str) -> bytes:
        """Return an object.

        Raises:
            S3Error: there is none, or it cannot be read.
        """
        return self._send("GET", bucket, key, b"", {})

    def _send(self, method: str, bucket: str, key: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        scheme, host, path = self._server.address(bucket, key)
        where = f"{scheme}://{host}{path}"
        waits = pauses(self._rng)
        while True:
            try:
                status, answer = self._once(
                    f"{scheme}://{host}", Request(method, host, path, sha256(body)), body, headers
                )
            except httpx.TransportError as error:
                seen, passing = str(error) or type(error).__name__, True
            else:
                if httpx.codes.is_success(status):
                    return answer
                seen, passing = _refusal(status, answer), status in _PASSING
            pause = next(waits, None) if passing else None
            left = self._end - time.monotonic()
            if pause is None or pause > left:
                tried = "; it was tried again and again" if passing else ""
                raise S3Error(f"{method} {where}: {seen}{tried}")
            time.sleep(pause)

    def _once(self, origin: str, request: Request, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        given = dict(headers) | {"x-amz-content-sha256": request.body_hash}
        whole = Request(request.method, request.host, request.path, request.body_hash, headers=given)
        sent = signed(whole, self._credentials, self._server.region, datetime.now(UTC))
        url = f"{origin}{encoded(request.path)}"
        limit = max(0.1, min(_TRY_SECONDS, self._end - time.monotonic()))
        with self._http.stream(request.method, url, content=body, headers=sent, timeout=limit) as response:
            most = _MOST_BYTES if response.is_success else _REFUSAL_BYTES
            answer = bytearray()
            for chunk in response.iter_raw():
                answer += chunk
                if time.monotonic() > self._end:
                    raise httpx.ReadTimeout("the answer does not end")
                if len(answer) > most:
                    break
        if response.is_success and len(answer) > most:
            raise S3Error(f"{request.method} {url}: answers with more than {most} bytes")
        return response.status_code, bytes(answer)


def _refusal(status: int, answer: bytes) -> str:
    found = _CODE.search(answer)
    code = found[1].decode() if found else ""
    hint = _HINTS.get(code)
    return f"HTTP {status} {code}".strip() + (f": {hint}" if hint else "")
