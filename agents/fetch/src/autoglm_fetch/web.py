"""Requests to a hub, and what its answers mean."""

import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from time import time
from types import TracebackType
from typing import Final, Self

import httpx

from autoglm_fetch.pace import Pace
from autoglm_fetch.reasons import FetchError, Reason

#: A listing of thousands of files; more is refused, so that a hostile server cannot fill the memory.
LISTING_BYTES: Final = 4 << 20
_CONNECT_SECONDS: Final = 10.0
_READ_SECONDS: Final = 30.0
_REDIRECTS: Final = 5
#: `"api";r=0;t=55` of draft-ietf-httpapi-ratelimit-headers: seconds until the quota is new. Hugging Face sends it.
_RATE_LIMIT: Final = re.compile(r";\s*r\s*=\s*0\s*;\s*t\s*=\s*([0-9]+)")


class Web:
    """A client of one hub.

    Args:
        token: sent to the hub and to nobody else it redirects to; `None` for none.
        pace: of the requests.
        connections: most open at once.
    """

    def __init__(self, token: str | None, pace: Pace, connections: int) -> None:
        self.pace = pace
        self.has_token = token is not None
        headers = {"User-Agent": "autoglm-fetch", "Accept-Encoding": "identity"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self._client = httpx.Client(
            headers=headers,
            follow_redirects=True,
            max_redirects=_REDIRECTS,
            timeout=httpx.Timeout(_READ_SECONDS, connect=_CONNECT_SECONDS, pool=None),
            limits=httpx.Limits(max_connections=connections),
            event_hooks={"response": [_refuse_downgrade]},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    @contextmanager
    def stream(
        self, url: str, headers: Mapping[str, str] | None = None, method: str = "GET"
    ) -> Iterator[httpx.Response]:
        """Send one request and hand over its answer while it arrives.

        Raises:
            FetchError: the server did not answer, or the answer broke off.
        """
        self.pace.wait()
        try:
            with self._client.stream(method, url, headers=headers) as response:
                yield response
        except httpx.TooManyRedirects as error:
            raise FetchError(Reason.REQUEST_REFUSED, f"{url}: more than {_REDIRECTS} redirects") from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise FetchError(
                Reason.REQUEST_REFUSED, f"{url}: redirected to what is no http address: {error}"
            ) from error
        except httpx.TransportError as error:
            raise _transport(url, error) from error

    def read(self, url: str) -> bytes:
        """Return a small document, after as many tries as it takes.

        Raises:
            FetchError: it cannot be had, or is larger than `LISTING_BYTES`.
        """
        attempt = 0
        while True:
            try:
                return self._read_once(url)
            except FetchError as error:
                attempt += 1
                self.pace.after_failure(error, attempt)

    def head(self, url: str) -> httpx.Headers | None:
        """Return the headers of a file after redirects; `None` if there is no such file.

        Raises:
            FetchError: it cannot be told.
        """
        attempt = 0
        while True:
            try:
                with self.stream(url, method="HEAD") as response:
                    if response.status_code == HTTPStatus.NOT_FOUND:
                        return None
                    raise_for_status(response, self.has_token)
                    return response.headers
            except FetchError as error:
                attempt += 1
                self.pace.after_failure(error, attempt)

    def _read_once(self, url: str) -> bytes:
        with self.stream(url) as response:
            raise_for_status(response, self.has_token)
            body = bytearray()
            for piece in response.iter_raw():
                body += piece
                self.pace.check()
                if len(body) > LISTING_BYTES:
                    raise FetchError(
                        Reason.LISTING_REFUSED,
                        f"{url}: more than {LISTING_BYTES >> 20} MiB, which no list of files needs",
                    )
            return bytes(body)


def raise_for_status(response: httpx.Response, has_token: bool) -> None:
    """Raise what the answer means, unless it is a success.

    Raises:
        FetchError: with the reason, in the words of the hub's own `X-Error-Code` where there is one.
    """
    status = response.status_code
    if response.is_success:
        return
    where = f"{response.request.url.copy_with(query=None)} answers {status}"
    code = response.headers.get("X-Error-Code", "")
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        after = _retry_after(response)
        asked = "" if after is None else f" and asks to wait {after:.0f} s"
        raise FetchError(Reason.RATE_LIMITED, f"{where}: too many requests{asked}", after)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status == HTTPStatus.REQUEST_TIMEOUT:
        raise FetchError(Reason.HUB_UNREACHABLE, f"{where}: the hub is not available", _retry_after(response))
    raise FetchError(*_refusal(status, code, where, has_token))


def _refusal(status: int, code: str, where: str, has_token: bool) -> tuple[Reason, str]:
    token = "the token of spec.model.tokenSecretRef" if has_token else "no token (spec.model.tokenSecretRef is not set)"
    if code == "RevisionNotFound":
        return Reason.REVISION_NOT_FOUND, f"{where}: the model has no such revision"
    if code == "GatedRepo":
        return Reason.MODEL_GATED, f"{where}: the model is gated, and {token} has no access to it"
    # Hugging Face hides from those without access whether a model exists: it answers 401 for both.
    if code == "RepoNotFound" or status in {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
        return Reason.MODEL_NOT_FOUND, f"{where}: there is no such model or file, or it is private; sent {token}"
    if status == HTTPStatus.UNAUTHORIZED:
        return Reason.TOKEN_REFUSED, f"{where}: access refused; sent {token}"
    if status == HTTPStatus.FORBIDDEN:
        return Reason.MODEL_GATED, f"{where}: access forbidden; sent {token}"
    return Reason.REQUEST_REFUSED, f"{where}: the request is refused"


def _retry_after(response: httpx.Response) -> float | None:
    text = response.headers.get("Retry-After", "")
    if text.isdecimal():
        return float(text)
    if text:
        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - time())
        except ValueError:
            return None
    found = _RATE_LIMIT.search(response.headers.get("RateLimit", ""))
    return float(found[1]) if found else None


def _refuse_downgrade(response: httpx.Response) -> None:
    following = response.next_request
    if following is not None and response.url.scheme == "https" and following.url.scheme != "https":
        raise FetchError(
            Reason.REQUEST_REFUSED,
            f"{response.url.copy_with(query=None)} redirects from https to {following.url.scheme}",
        )


def _transport(url: str, error: httpx.TransportError) -> FetchError:
    words = str(error) or type(error).__name__
    if isinstance(error.__context__, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in words:
        return FetchError(Reason.REQUEST_REFUSED, f"{url}: its certificate is not trusted: {words}")
    return FetchError(Reason.HUB_UNREACHABLE, f"{url}: {words}")
