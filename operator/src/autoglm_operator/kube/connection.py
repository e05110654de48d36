"""Where the API server is and how to be believed by it."""

import base64
import ssl
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import yaml

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True, slots=True)
class Connection:
    """An API server and a credential.

    Attributes:
        server: base URL without a trailing slash.
        ssl_context: trusts the server's CA and carries a client certificate if there is one.
        token: returns the bearer token of the moment, or `None`; called for each request, because the kubelet
            rotates the token of a service account in place.
    """

    server: str
    ssl_context: ssl.SSLContext
    token: Callable[[], str | None]

    @classmethod
    def in_cluster(cls, environ: dict[str, str], folder: Path = SERVICE_ACCOUNT) -> Self:
        """Return the connection of a pod.

        Raises:
            ValueError: this is not a pod with a service account token.
        """
        host, port = environ.get("KUBERNETES_SERVICE_HOST"), environ.get("KUBERNETES_SERVICE_PORT", "443")
        if not host or not (folder / "token").exists():
            raise ValueError("not in a pod: set KUBECONFIG to the path of a kubeconfig file, or run inside the cluster")
        bracketed = f"[{host}]" if ":" in host else host
        context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        return cls(f"https://{bracketed}:{port}", context, lambda: (folder / "token").read_text().strip())

    @classmethod
    def from_kubeconfig(cls, path: Path) -> Self:
        """Return the connection of the current context of a kubeconfig with a certificate or token user.

        Raises:
            ValueError: the file has no usable context, or its user needs a credential plugin.
        """
        config = _read(path)
        context = _entry(config, "context", config.get("current-context"), path)
        cluster = _entry(config, "cluster", context.get("cluster"), path)
        user = _entry(config, "user", context.get("user"), path)
        if not cluster.get("server"):
            raise ValueError(f"{path}: cluster {context['cluster']} has no server")
        if "exec" in user or "auth-provider" in user:
            raise ValueError(f"{path}: user {context['user']} needs a credential plugin; use a token or a certificate")
        tls = ssl.create_default_context(cadata=_decode(cluster, "certificate-authority", path))
        if "client-certificate-data" in user or "client-certificate" in user:
            _load_client_certificate(tls, user, path)
        return cls(cluster["server"].rstrip("/"), tls, _token(user, path))


def from_environment(environ: dict[str, str]) -> Connection:
    """Return the connection that `KUBECONFIG` names, or else the one of the pod we are in."""
    if kubeconfig := environ.get("KUBECONFIG"):
        return Connection.from_kubeconfig(Path(kubeconfig))
    return Connection.in_cluster(environ)


def _read(path: Path) -> dict[str, Any]:
    try:
        config = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ValueError(f"{path}: kubeconfig cannot be read: {error.strerror}; set KUBECONFIG to one file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: kubeconfig is not YAML: {error}") from error
    if not isinstance(config, dict):
        found = type(config).__name__
        raise ValueError(f"{path}: expected a kubeconfig, got {found}")  # noqa: TRY004  # one error for callers
    return config


def _entry(config: dict[str, Any], kind: str, name: str | None, path: Path) -> dict[str, Any]:
    """Return the entry of a kubeconfig's list of contexts, clusters or users."""
    if not name:
        where = "current-context is not set" if kind == "context" else f"the current context names no {kind}"
        raise ValueError(f"{path}: {where}")
    for item in config.get(f"{kind}s") or []:
        if item.get("name") == name:
            return dict(item.get(kind) or {})
    raise ValueError(f"{path}: {kind} {name!r} is not among its {kind}s")


def _token(user: dict[str, Any], path: Path) -> Callable[[], str | None]:
    if file := user.get("tokenFile"):
        return lambda: Path(path.parent, file).read_text().strip()
    return lambda: user.get("token")


def _decode(section: dict[str, Any], key: str, path: Path) -> str | None:
    if data := section.get(f"{key}-data"):
        return base64.b64decode(data).decode()
    if file := section.get(key):
        return Path(path.parent, file).read_text()
    return None


def _load_client_certificate(context: ssl.SSLContext, user: dict[str, Any], path: Path) -> None:
    # ssl takes client certificates from files only; the folder is gone before this function returns.
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = Path(folder, "tls.crt"), Path(folder, "tls.key")
        certificate.write_text(_decode(user, "client-certificate", path) or "")
        key.touch(mode=0o600)
        key.write_text(_decode(user, "client-key", path) or "")
        context.load_cert_chain(certificate, key)
