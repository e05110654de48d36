"""AWS Signature Version 4 in the Authorization header, as S3 and servers like it ask for it. Pure.

Own code because the whole of it is a few hashes over one line each: botocore is 21 MB unpacked with three dependencies
for them. AWS's published examples are its tests.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from urllib.parse import quote

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_STAMP: Final = "%Y%m%dT%H%M%SZ"
#: What is written as it is in a path and a query, beside letters and digits.
_PLAIN: Final = "-_.~"


@dataclass(frozen=True, slots=True)
class Credentials:
    """A key pair.

    Attributes:
        access_key: names it.
        secret_key: never sent.
        session_token: sent beside a pair that is valid for a while; empty for one that is not.
    """

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Request:
    """What is signed.

    Attributes:
        method: in capitals.
        host: with its port unless that is the scheme's own.
        path: with a leading slash, as it is and not encoded.
        query: by name; empty for none.
        headers: by lower-case name, all of which are signed.
        body_hash: SHA-256 of the body in hexadecimal.
    """

    method: str
    host: str
    path: str
    body_hash: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


def sha256(body: bytes) -> str:
    """Return the hash of a body as a signature has it."""
    return hashlib.sha256(body).hexdigest()


def encoded(path: str) -> str:
    """Return a path as it is sent and signed."""
    return quote(path, safe=f"/{_PLAIN}")


def signed(
    request: Request, credentials: Credentials, region: str, moment: datetime, service: str = "s3"
) -> dict[str, str]:
    """Return the headers to send: those of the request, the date, the token if there is one, and the signature.

    Args:
        request: what is sent.
        credentials: whose it is.
        region: of the service.
        moment: in UTC; servers refuse what is some minutes off.
        service: as AWS names it.
    """
    stamp = moment.strftime(_STAMP)
    headers = dict(request.headers) | {"host": request.host, "x-amz-date": stamp}
    if credentials.session_token:
        headers["x-amz-security-token"] = credentials.session_token
    names = ";".join(sorted(headers))
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    text = "\n".join((_ALGORITHM, stamp, scope, sha256(_canonical(request, headers, names).encode())))
    key = f"AWS4{credentials.secret_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), hashlib.sha256)
    signature = hmac.digest(key, text.encode(), hashlib.sha256).hex()
    credential = f"{credentials.access_key}/{scope}"
    told = f"{_ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={signature}"
    return headers | {"authorization": told}


def _canonical(request: Request, headers: Mapping[str, str], names: str) -> str:
    query = sorted((quote(name, safe=_PLAIN), quote(value, safe=_PLAIN)) for name, value in request.query.items())
    lines = [f"{name}:{' '.join(headers[name].split())}" for name in sorted(headers)]
    return "\n".join(
        (
            request.method,
            encoded(request.path),
            "&".join(f"{name}={value}" for name, value in query),
            *lines,
            "",
            names,
            request.body_hash,
        )
    )
