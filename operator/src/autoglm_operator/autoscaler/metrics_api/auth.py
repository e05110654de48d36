"""Who asks: TLS with the API server's front proxy as the only client that is believed.

kube-apiserver forwards each request with its proxy certificate and names the user in headers. A caller is believed if
its certificate was verified against the requestheader CA and bears an allowed name; the headers of anybody else mean
nothing. What to believe is written in the ConfigMap kube-system/extension-apiserver-authentication, which is read
again and again, so that a rotated CA needs no restart.
"""

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from multidict import CIMultiDictProxy

from autoglm_operator.kube.client import Client

CONFIG_NAMESPACE: Final = "kube-system"
CONFIG_NAME: Final = "extension-apiserver-authentication"
REFRESH_SECONDS: Final = 20.0


class Unauthenticated(Exception):  # noqa: N818  # says what the caller is
    """The caller did not prove who it is; the message says what was missing."""


@dataclass(frozen=True, slots=True)
class User:
    """A caller as the API server names it.

    Attributes:
        extra: key and values, sorted, so that a user can be a key of a cache.
    """

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True)
class Trust:
    """How the front proxy proves itself and in which headers it names the user.

    Attributes:
        ca: PEM certificates that may have signed the proxy's.
        allowed_names: common names of the proxy's certificate; empty means any.
    """

    ca: str
    allowed_names: frozenset[str] = frozenset()
    user_headers: tuple[str, ...] = ("X-Remote-User",)
    uid_headers: tuple[str, ...] = ()
    group_headers: tuple[str, ...] = ("X-Remote-Group",)
    extra_prefixes: tuple[str, ...] = ("X-Remote-Extra-",)

    @classmethod
    def parse(cls, data: Mapping[str, str]) -> "Trust":
        """Return the trust that the ConfigMap's `data` describes.

        Raises:
            ValueError: it has no requestheader CA, or a field is not a list of strings.
        """
        ca = data.get("requestheader-client-ca-file")
        if not ca:
            raise ValueError(
                "no requestheader-client-ca-file: kube-apiserver runs without --requestheader-client-ca-file"
            )
        return cls(
            ca=ca,
            allowed_names=frozenset(_names(data, "requestheader-allowed-names")),
            user_headers=_names(data, "requestheader-username-headers"),
            uid_headers=_names(data, "requestheader-uid-headers"),
            group_headers=_names(data, "requestheader-group-headers"),
            extra_prefixes=_names(data, "requestheader-extra-headers-prefix"),
        )

    def user(self, certificate: Mapping[str, Any] | None, headers: CIMultiDictProxy[str]) -> User:
        """Return the user of a request.

        Args:
            certificate: of the peer as `getpeercert` gives it: empty unless TLS verified it against `ca`.
            headers: of the request.

        Raises:
            Unauthenticated: the peer is not the front proxy, or names no user.
        """
        if not certificate:
            raise Unauthenticated("no client certificate: only kube-apiserver may ask, through its aggregation layer")
        names = [value for part in certificate.get("subject", ()) for key, value in part if key == "commonName"]
        if len(names) != 1 or (self.allowed_names and names[0] not in self.allowed_names):
            allowed = ", ".join(sorted(self.allowed_names)) or "any, but exactly one"
            raise Unauthenticated(f"client certificate names {', '.join(names) or 'nobody'}: allowed is {allowed}")
        name = next((value for header in self.user_headers if (value := headers.get(header))), "")
        if not name:
            raise Unauthenticated(f"no user in {' or '.join(self.user_headers)}")
        return User(
            name=name,
            uid=next((value for header in self.uid_headers if (value := headers.get(header))), ""),
            groups=tuple(value for header in self.group_headers for value in headers.getall(header, ())),
            extra=self._extra(headers),
        )

    def _extra(self, headers: CIMultiDictProxy[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
        found: dict[str, list[str]] = {}
        for header, value in headers.items():
            for prefix in self.extra_prefixes:
                if header.lower().startswith(prefix.lower()):
                    found.setdefault(unquote(header[len(prefix) :].lower()), []).append(value)
        return tuple(sorted((key, tuple(values)) for key, values in found.items()))


def _names(data: Mapping[str, str], key: str) -> tuple[str, ...]:
    text = data.get(key) or "[]"
    try:
        names = json.loads(text)
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{key} is {text!r}: expected a JSON list of strings")
    return tuple(names)


def server_context(certificate: Path, key: Path, trust: Trust | None) -> ssl.SSLContext:
    """Return the TLS context of the server.

    Args:
        certificate: PEM file of the serving certificate and its chain.
        key: PEM file of its key.
        trust: whom to ask for a certificate; without it no client can prove anything.

    Raises:
        OSError: a file cannot be read, or holds no certificate or key that fit each other.
        ValueError: the CA is no certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    # A resumed session would skip the check of the certificate, and so outlive a CA that was withdrawn.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    if trust is not None:
        try:
            context.load_verify_locations(cadata=trust.ca)
        except ssl.SSLError as error:
            raise ValueError(f"requestheader-client-ca-file holds no usable certificate: {error}") from error
        # Optional: the kubelet, and anybody who may only see /healthz, comes without.
        context.verify_mode = ssl.CERT_OPTIONAL
    return context


async def read_trust(client: Client) -> Trust:
    """Return what the ConfigMap says now.

    Raises:
        KubeError: it cannot be read; the right to comes from the Role extension-apiserver-authentication-reader.
        ValueError: it does not say whom to believe.
    """
    document = await client.get("v1", "ConfigMap", CONFIG_NAMESPACE, CONFIG_NAME)
    return Trust.parse(document.get("data") or {})
