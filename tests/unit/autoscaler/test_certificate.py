"""Until when certificates are valid, compared with what the cryptography library reads."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from autoglm_operator.autoscaler.metrics_api.certificate import not_after


def certificate(until, names=("metrics",)):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "autoscaler")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(1999, 1, 1, tzinfo=UTC))
        .not_valid_after(until)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(each) for each in names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


@pytest.mark.parametrize("year", [1999, 2026, 2049, 2050, 9999])
def test_both_forms_of_time_are_read(year):
    until = datetime(year, 12, 30, 23, 59, 58, tzinfo=UTC)
    assert not_after(certificate(until)) == until.timestamp()


def test_the_first_certificate_of_a_chain_counts():
    now = datetime(2026, 1, 1, tzinfo=UTC)
    chain = b"some text\n" + certificate(now) + certificate(now + timedelta(days=1))
    assert not_after(chain) == now.timestamp()


def test_a_certificate_of_any_length_is_read():
    until = datetime(2030, 1, 1, tzinfo=UTC)
    for number in (1, 10, 5000):
        names = [f"host-{index}.example.com" for index in range(number)]
        assert not_after(certificate(until, names)) == until.timestamp()


@pytest.mark.parametrize(
    ("pem", "expected"),
    [
        (b"", "expected a block BEGIN CERTIFICATE"),
        (b"-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n", "no X.509 certificate"),
        (b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n", "no X.509 certificate"),
    ],
)
def test_what_is_no_certificate_is_refused(pem, expected):
    with pytest.raises(ValueError, match=expected):
        not_after(pem)
