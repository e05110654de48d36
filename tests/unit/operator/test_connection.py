"""Where the API server is: kubeconfig files and pods."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from autoglm_operator.kube.connection import Connection, from_environment


@pytest.fixture(scope="session")
def certificate():
    """Return a self-signed certificate and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    start = datetime(2026, 1, 1, tzinfo=UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(start).not_valid_after(start + timedelta(days=36500))
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return builder.sign(key, hashes.SHA256()).public_bytes(encoding), private


@pytest.fixture
def write(tmp_path, certificate):
    """Write a kubeconfig; `user` and `cluster` replace parts, `change` edits the rest."""

    def make(change=None, user=None, **cluster):
        authority = {"certificate-authority-data": base64.b64encode(certificate[0]).decode()}
        config = {
            "current-context": "c",
            "contexts": [{"name": "other", "context": {}}, {"name": "c", "context": {"cluster": "k", "user": "u"}}],
            "clusters": [{"name": "k", "cluster": {"server": "https://k:6443/"} | authority | cluster}],
            "users": [{"name": "u", "user": {"token": "secret"} if user is None else user}],
        }
        if change:
            change(config)
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(config))
        return path

    return make


def test_token_user(write):
    connection = Connection.from_kubeconfig(write())
    assert connection.server == "https://k:6443"
    assert connection.token() == "secret"
    assert connection.ssl_context.cert_store_stats()["x509_ca"] == 1


def test_token_file_is_read_each_time(write, tmp_path):
    (tmp_path / "token").write_text("first\n")
    connection = Connection.from_kubeconfig(write(user={"tokenFile": "token"}))
    assert connection.token() == "first"
    (tmp_path / "token").write_text("second")
    assert connection.token() == "second"


@pytest.mark.parametrize("inline", [True, False])
def test_client_certificate(write, tmp_path, certificate, inline):
    if inline:
        user = {
            f"client-{key}-data": base64.b64encode(data).decode()
            for key, data in zip(("certificate", "key"), certificate, strict=True)
        }
    else:
        (tmp_path / "tls.crt").write_bytes(certificate[0])
        (tmp_path / "tls.key").write_bytes(certificate[1])
        user = {"client-certificate": "tls.crt", "client-key": "tls.key"}
    connection = Connection.from_kubeconfig(write(user=user))
    assert connection.token() is None
    assert {path.name for path in tmp_path.iterdir()} <= {"kubeconfig", "tls.crt", "tls.key"}


def remove_user(config):
    config["users"] = []


def no_context(config):
    del config["current-context"]


def empty_lists(config):
    config["clusters"] = None


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (no_context, "current-context is not set"),
        (lambda config: config.update({"current-context": "gone"}), "context 'gone' is not among its contexts"),
        (lambda config: config.update({"current-context": "other"}), "the current context names no cluster"),
        (empty_lists, "cluster 'k' is not among its clusters"),
        (remove_user, "user 'u' is not among its users"),
        (lambda config: config["clusters"][0]["cluster"].pop("server"), "cluster k has no server"),
        (lambda config: config["users"][0].update({"user": {"exec": {}}}), "needs a credential plugin"),
    ],
)
def test_what_is_missing_is_named(write, change, expected):
    path = write(change)
    with pytest.raises(ValueError, match=expected) as caught:
        Connection.from_kubeconfig(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(("text", "expected"), [("", "got NoneType"), ("- a", "got list"), ("a: [", "not YAML")])
def test_what_is_no_kubeconfig(tmp_path, text, expected):
    path = tmp_path / "kubeconfig"
    path.write_text(text)
    with pytest.raises(ValueError, match=expected):
        Connection.from_kubeconfig(path)


def test_no_such_file(tmp_path):
    with pytest.raises(ValueError, match="No such file or directory; set KUBECONFIG to one file"):
        from_environment({"KUBECONFIG": f"{tmp_path}/a:{tmp_path}/b"})


@pytest.mark.parametrize(
    ("host", "server"), [("10.0.0.1", "https://10.0.0.1:443"), ("fd00::1", "https://[fd00::1]:443")]
)
def test_in_a_pod(tmp_path, certificate, host, server):
    (tmp_path / "ca.crt").write_bytes(certificate[0])
    (tmp_path / "token").write_text("rotates")
    connection = Connection.in_cluster({"KUBERNETES_SERVICE_HOST": host}, tmp_path)
    assert connection.server == server
    assert connection.token() == "rotates"
    (tmp_path / "token").write_text("rotated")
    assert connection.token() == "rotated"


def test_neither_pod_nor_kubeconfig(tmp_path):
    with pytest.raises(ValueError, match="set KUBECONFIG"):
        from_environment({})
    with pytest.raises(ValueError, match="set KUBECONFIG"):
        Connection.in_cluster({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, tmp_path)
