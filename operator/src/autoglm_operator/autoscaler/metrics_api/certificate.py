"""Until when a certificate is valid, read from its DER: the standard library tells it of a peer's certificate only.

Only what leads to the field is looked at (RFC 5280, 4.1): Certificate → tbsCertificate → validity → notAfter.
"""

import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_VERSION_TAG: Final = 0xA0
_UTC_TIME: Final = 0x17
_LONG_LENGTH: Final = 0x80
#: serialNumber, signature, issuer come before validity.
_VALIDITY: Final = 3


def not_after(pem: bytes) -> float:
    """Return the Unix time at which the first certificate of a PEM file expires.

    Raises:
        ValueError: there is no certificate in it.
    """
    found = _PEM.search(pem)
    if found is None:
        raise ValueError("no certificate in the PEM file: expected a block BEGIN CERTIFICATE")
    try:
        (certificate,) = _parts(ssl.PEM_cert_to_DER_cert(found[0].decode("ascii")))
        fields = list(_parts(next(_parts(certificate[1]))[1]))
        # A certificate of version 1 does not tell its version.
        validity = fields[_VALIDITY + (fields[0][0] == _VERSION_TAG)]
        _, (tag, text) = _parts(validity[1])
        written = text.decode("ascii")
    except (IndexError, StopIteration, ValueError) as error:
        raise ValueError(f"the certificate of the PEM file is no X.509 certificate: {error}") from error
    # Two digits of a year are those of 1950 to 2049, and both forms end in Z.
    if tag == _UTC_TIME:
        written = ("20" if int(written[:2]) < 50 else "19") + written  # noqa: PLR2004  # RFC 5280
    return datetime.strptime(written, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _parts(der: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of each value in `der`."""
    place = 0
    while place < len(der):
        tag, length = der[place], der[place + 1]
        place += 2
        if length & _LONG_LENGTH:
            octets = length & ~_LONG_LENGTH
            length = int.from_bytes(der[place : place + octets])
            place += octets
        if place + length > len(der):
            raise ValueError(f"a value of {length} bytes where {len(der) - place} are left")
        yield tag, der[place : place + length]
        place += length
