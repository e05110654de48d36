"""Keys and certificates of a cluster: two authorities, because a front proxy must not be trusted as a client is."""

import datetime as dt
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = dt.timedelta(days=365)
_SKEW = dt.timedelta(minutes=5)


@dataclass(frozen=True)
class Identity:
    """Who a certificate speaks for."""

    name: str
    groups: tuple[str, ...] = ()
    #: DNS names and addresses that a serving certificate is valid for
    hosts: tuple[str, ...] = ()


class Authority:
    """A certificate authority whose certificates lie in a folder as NAME.crt and NAME.key."""

    def __init__(self, folder: Path, file: str, common_name: str) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        builder = _builder(self._subject, self._subject, self._key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        _write(folder, file, self._key, builder.sign(self._key, hashes.SHA256()))

    def issue(self, file: str, identity: Identity) -> None:
        """Write key and certificate of an identity."""
        key = ec.generate_private_key(ec.SECP256R1())
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, identity.name)]
        attributes += [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in identity.groups]
        builder = _builder(x509.Name(attributes), self._subject, key.public_key())
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH]
        if identity.hosts:
            usages.append(ExtendedKeyUsageOID.SERVER_AUTH)
            names = x509.SubjectAlternativeName([_alternative_name(host) for host in identity.hosts])
            builder = builder.add_extension(names, critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        _write(self._folder, file, key, builder.sign(self._key, hashes.SHA256()))


def write_service_account_keys(folder: Path) -> None:
    """Write the pair of keys that signs and checks service account tokens."""
    key = ec.generate_private_key(ec.SECP256R1())
    _write_key(folder / "service-account.key", key)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (folder / "service-account.pub").write_bytes(public)


def write_all(folder: Path, *, api_hosts: tuple[str, ...], node: str, node_hosts: tuple[str, ...]) -> None:
    """Write everything that the processes of a cluster need."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    cluster = Authority(folder, "ca", "localcluster-ca")
    front_proxy = Authority(folder, "front-proxy-ca", "localcluster-front-proxy-ca")
    front_proxy.issue("front-proxy-client", Identity("front-proxy-client"))
    cluster.issue("kube-apiserver", Identity("kube-apiserver", hosts=api_hosts))
    cluster.issue("kubelet-client", Identity("kube-apiserver-kubelet-client", ("system:masters",)))
    cluster.issue("admin", Identity("kubernetes-admin", ("system:masters",)))
    for component in ("kube-controller-manager", "kube-scheduler", "kube-proxy", "coredns"):
        cluster.issue(component, Identity(f"system:{component}"))
    cluster.issue("kwok", Identity("kwok", ("system:masters",)))
    cluster.issue("kubelet", Identity(f"system:node:{node}", ("system:nodes",), node_hosts))
    write_service_account_keys(folder)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + _LIFETIME)
    )


def _alternative_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write(folder: Path, file: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _write_key(folder / f"{file}.key", key)
    (folder / f"{file}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
