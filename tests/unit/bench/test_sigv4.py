"""AWS's published examples: of S3's documentation, and of the test suite for Signature Version 4."""

from datetime import UTC, datetime

import pytest

from autoglm_bench.wire.sigv4 import Credentials, Request, sha256, signed

DOCUMENTED = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
BUCKET = "examplebucket.s3.amazonaws.com"
SUITE = ("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
TOKEN = (
    "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUu"  # noqa: S105
    "wth"
    "Ax7mSEI/qkPpKPi/kMcGdQrmGdeehM4IC1NtBmUpp2wUE8phUZampKsburEDy0KPkyQDYwT7WZ0wq5VSXDvp75YU9HFvlRd8Tx6q6fE8YQcHNVXAk"
    "iY9q6d+xo0rKwT38xVqr7ZD0u0iPPkUL64lIZbqBAz+scqKmlzm8FDrypNC9Yjc8fPOLn9FX9KSYvKTr4rvx3iSIlTJabIQwj2ICCR/oLxBA=="
)


def signature(headers):
    return headers["authorization"].rpartition("Signature=")[2]


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "body", "expected"),
    [
        (
            "GET",
            "/test.txt",
            {},
            {"range": "bytes=0-9"},
            b"",
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "PUT",
            "/test$file.text",
            {},
            {"date": "Fri, 24 May 2013 00:00:00 GMT", "x-amz-storage-class": "REDUCED_REDUNDANCY"},
            b"Welcome to Amazon S3.",
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
        ),
        (
            "GET",
            "/",
            {"lifecycle": ""},
            {},
            b"",
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "GET",
            "/",
            {"prefix": "J", "max-keys": "2"},
            {},
            b"",
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
)
def test_examples_of_s3(method, path, query, headers, body, expected):
    given = headers | {"x-amz-content-sha256": sha256(body)}
    request = Request(method, BUCKET, path, sha256(body), query, given)
    sent = signed(request, DOCUMENTED, "us-east-1", datetime(2013, 5, 24, tzinfo=UTC))
    assert signature(sent) == expected
    assert sent["x-amz-date"] == "20130524T000000Z"


@pytest.mark.parametrize(
    ("method", "token", "names", "expected"),
    [
        ("GET", "", "host;x-amz-date", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        (
            "POST",
            TOKEN,
            "host;x-amz-date;x-amz-security-token",
            "85d96828115b5dc0cfc3bd16ad9e210dd772bbebba041836c64533a82be05ead",
        ),
    ],
)
def test_examples_of_the_suite(method, token, names, expected):
    request = Request(method, "example.amazonaws.com", "/", sha256(b""))
    moment = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
    sent = signed(request, Credentials(*SUITE, token), "us-east-1", moment, service="service")
    assert signature(sent) == expected
    assert f"SignedHeaders={names}," in sent["authorization"]


def test_a_secret_does_not_come_out_where_credentials_are_printed():
    assert "sesame" not in repr(Credentials("key", "open sesame", "token sesame"))
