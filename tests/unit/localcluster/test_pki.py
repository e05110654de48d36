import ipaddress
import stat

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from localcluster import pki


def test_every_certificate_is_signed_by_the_authority_that_its_use_wants(tmp_path):
    pki.write_all(tmp_path, api_hosts=("localhost", "10.0.0.1"), node="n", node_hosts=("n", "10.0.0.2"))
    certificates = {path.stem: x509.load_pem_x509_certificate(path.read_bytes()) for path in tmp_path.glob("*.crt")}
    for name, certificate in certificates.items():
        authority = "front-proxy-ca" if name.startswith("front-proxy") else "ca"
        certificate.verify_directly_issued_by(certificates[authority])
    assert certificates["ca"].public_key() != certificates["front-proxy-ca"].public_key()


def test_names_groups_and_hosts(tmp_path):
    pki.write_all(tmp_path, api_hosts=("localhost", "10.0.0.1"), node="n", node_hosts=("n", "10.0.0.2"))
    kubelet = x509.load_pem_x509_certificate((tmp_path / "kubelet.crt").read_bytes())
    assert kubelet.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "system:node:n"
    assert kubelet.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)[0].value == "system:nodes"
    names = kubelet.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["n"]
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("10.0.0.2")]
    scheduler = x509.load_pem_x509_certificate((tmp_path / "kube-scheduler.crt").read_bytes())
    usages = scheduler.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_keys_are_for_the_owner_alone(tmp_path):
    pki.write_all(tmp_path, api_hosts=("localhost",), node="n", node_hosts=("n",))
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("*.key")} == {0o600}
