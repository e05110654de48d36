"""The metrics API over real TLS, with certificates made here; a stand-in answers the access reviews."""

import asyncio
import datetime as dt
import ssl
import time
from types import SimpleNamespace

import httpx
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from autoglm_operator.api.signals import DESIRED_REPLICAS, QUEUE_DEPTH
from autoglm_operator.autoscaler.metrics import Metrics
from autoglm_operator.autoscaler.metrics_api.access import Access
from autoglm_operator.autoscaler.metrics_api.auth import Trust
from autoglm_operator.autoscaler.metrics_api.published import Entry, Published
from autoglm_operator.autoscaler.metrics_api.server import MetricsApi
from autoglm_operator.autoscaler.metrics_api.tls_server import TlsServer
from autoglm_operator.kube.client import Client
from autoglm_operator.kube.connection import Connection

PREFIX = "/apis/custom.metrics.k8s.io/v1beta2"
DEPTH = f"{PREFIX}/namespaces/prod/autoglmdeployments.autoglm.io/phone/{QUEUE_DEPTH.name}"
HPA = {"X-Remote-User": "system:serviceaccount:kube-system:horizontal-pod-autoscaler", "X-Remote-Group": "g"}


class Authority:
    """A CA that signs what it is asked to."""

    def __init__(self, folder, name):
        self.folder, self.name = folder, name
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._sign(name, self.key, ca=True)
        self.pem = self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def _sign(self, name, key, *, ca=False, usage=ExtendedKeyUsageOID.CLIENT_AUTH):
        now = dt.datetime.now(dt.UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = subject if ca else self.certificate.subject
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if not ca:
            made = made.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        return made.sign(self.key, hashes.SHA256())

    def issue(self, name, usage=ExtendedKeyUsageOID.CLIENT_AUTH):
        """Return the files of a certificate and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        files = [self.folder / f"{self.name}-{name}.{kind}" for kind in ("crt", "key")]
        files[0].write_bytes(self._sign(name, key, usage=usage).public_bytes(serialization.Encoding.PEM))
        encoding = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        files[1].write_bytes(key.private_bytes(*encoding))
        return files


class Reviews:
    """Stands in for the API server's SubjectAccessReview."""

    def __init__(self):
        self.asked = []
        self.wide = []
        self.allowed = True
        #: Whether users may read all objects, or only the one that they ask for.
        self.everything = False
        self.status = 201

    async def answer(self, request):
        review = await request.json()
        wide = not review["spec"]["resourceAttributes"]["name"]
        (self.wide if wide else self.asked).append(review["spec"])
        await asyncio.sleep(0.01)
        allowed = self.allowed and (self.everything or not wide)
        status = {"allowed": allowed, "reason": "" if allowed else "no RBAC rule"}
        return web.json_response(review | {"status": status}, status=self.status)


class Running:
    """A metrics API on a free port, and clients of it."""

    def __init__(self, server, authority, folder, reviews):
        self.server, self.authority, self.folder, self.reviews = server, authority, folder, reviews

    def client(self, identity=None):
        context = ssl.create_default_context(cadata=self.authority.pem)
        if identity:
            context.load_cert_chain(*identity)
        return httpx.AsyncClient(verify=context, base_url=f"https://localhost:{self.server.port}")

    async def get(self, path, identity=None, headers=()):
        async with self.client(identity) as client:
            return await client.get(path, headers=headers)

    async def as_proxy(self, path=DEPTH, headers=HPA):
        return await self.get(path, self.authority.issue("front-proxy-client"), headers)


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path, "front-proxy-ca")


@pytest.fixture
async def running(tmp_path, authority, clock):
    reviews = Reviews()
    app = web.Application()
    app.router.add_post("/apis/authorization.k8s.io/v1/subjectaccessreviews", reviews.answer)
    stand_in = web.AppRunner(app)
    await stand_in.setup()
    await web.TCPSite(stand_in, "127.0.0.1", 0).start()
    connection = Connection(f"http://127.0.0.1:{stand_in.addresses[0][1]}", ssl.create_default_context(), lambda: None)
    published = Published(3.0, clock)
    values = {QUEUE_DEPTH.name: 1.5, DESIRED_REPLICAS.name: 3.0}
    published.put(("prod", "phone"), Entry(clock(), values, labels={"team": "a"}))
    async with Client(connection) as client:
        api = MetricsApi(
            published,
            Access(client, clock),
            lambda request: server.trust if server.is_current(request.transport) else None,
            Metrics(),
        )
        serving = authority.issue("localhost", ExtendedKeyUsageOID.SERVER_AUTH)
        server = TlsServer(api.app(), 0, *serving, host="127.0.0.1")
        await server.start()
        await server.refresh(trust(authority))
        yield Running(server, authority, tmp_path, reviews)
        await server.stop()
    await stand_in.cleanup()


def trust(authority, names=("front-proxy-client",)):
    return Trust(ca=authority.pem, allowed_names=frozenset(names))


async def test_the_front_proxy_reads_for_a_user_who_may(running):
    answer = await running.as_proxy()
    assert answer.status_code == 200, answer.text
    assert answer.json()["items"][0]["value"] == "1500m"
    spec = running.reviews.asked[0]
    assert (spec["user"], spec["groups"]) == (HPA["X-Remote-User"], ["g"])
    assert spec["resourceAttributes"] == {
        "namespace": "prod",
        "verb": "get",
        "group": "custom.metrics.k8s.io",
        "version": "v1beta2",
        "resource": "autoglmdeployments.autoglm.io",
        "subresource": "autoglm_queue_depth",
        "name": "phone",
    }


async def test_users_who_may_not_read_learn_nothing(running):
    running.reviews.allowed = False
    for path in (DEPTH, DEPTH.replace("phone", "missing"), DEPTH.replace("autoglm_queue_depth", "nonsense")):
        answer = await running.as_proxy(path)
        assert (answer.status_code, answer.json()["reason"]) == (403, "Forbidden")
        assert "no RBAC rule" in answer.json()["message"]


async def test_without_an_access_review_nobody_may_read(running):
    running.reviews.status = 500
    answer = await running.as_proxy()
    assert answer.status_code == 503
    assert "nobody may read" in answer.json()["message"]


@pytest.mark.parametrize("path", [DEPTH, PREFIX, "/apis", "/openapi/v2", "/version", "/nonsense"])
async def test_without_a_certificate_headers_mean_nothing(running, path):
    answer = await running.get(path, headers={"X-Remote-User": "system:admin", "X-Remote-Group": "system:masters"})
    assert answer.status_code == 401
    assert "no client certificate" in answer.json()["message"]
    assert running.reviews.asked == []


async def test_a_certificate_of_another_name_is_refused(running):
    answer = await running.get(DEPTH, running.authority.issue("somebody"), HPA)
    assert answer.status_code == 401
    assert "names somebody: allowed is front-proxy-client" in answer.json()["message"]


async def test_a_certificate_of_another_ca_does_not_connect(running, tmp_path):
    other = Authority(tmp_path, "other-ca")
    with pytest.raises(httpx.TransportError):
        await running.get(DEPTH, other.issue("front-proxy-client"), HPA)
    assert running.reviews.asked == []


async def test_a_serving_certificate_is_no_client_certificate(running):
    identity = running.authority.issue("front-proxy-client", ExtendedKeyUsageOID.SERVER_AUTH)
    with pytest.raises(httpx.TransportError):
        await running.get(DEPTH, identity, HPA)


async def test_the_proxy_must_name_a_user(running):
    answer = await running.as_proxy(headers={})
    assert (answer.status_code, "no user in X-Remote-User" in answer.text) == (401, True)


async def test_nobody_is_believed_before_the_ca_is_known(running):
    await running.server.refresh(None)
    assert (await running.get(DEPTH, headers=HPA)).status_code == 401
    assert (await running.as_proxy()).status_code == 401


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz"])
async def test_anybody_may_ask_for_health(running, path):
    assert (await running.get(path)).text == "ok"


async def test_a_rotated_ca_counts_at_once_and_the_old_one_no_more(running, tmp_path):
    new = Authority(tmp_path, "new-ca")
    old_identity, new_identity = (ca.issue("front-proxy-client") for ca in (running.authority, new))
    async with running.client(old_identity) as kept:
        assert (await kept.get(DEPTH, headers=HPA)).status_code == 200
        both = Trust(ca=running.authority.pem + new.pem, allowed_names=frozenset({"front-proxy-client"}))
        await running.server.refresh(both)
        assert (await running.get(DEPTH, old_identity, HPA)).status_code == 200
        assert (await running.get(DEPTH, new_identity, HPA)).status_code == 200
        await running.server.refresh(trust(new))
        assert (await running.get(DEPTH, new_identity, HPA)).status_code == 200
        with pytest.raises(httpx.TransportError):
            await running.get(DEPTH, old_identity, HPA)
        with pytest.raises(httpx.TransportError):
            await kept.get(DEPTH, headers=HPA)


async def test_a_connection_that_shook_hands_under_an_older_ca_is_told_apart(running, tmp_path):
    def shaken():
        context = running.server._context
        return SimpleNamespace(get_extra_info={"sslcontext": context}.get)

    before = shaken()
    assert running.server.is_current(before)
    await running.server.refresh(trust(Authority(tmp_path, "new-ca")))
    assert not running.server.is_current(before)
    assert not running.server.is_current(None)
    assert running.server.is_current(shaken())


async def test_a_ca_that_is_none_changes_nothing(running):
    with pytest.raises(ValueError, match="no usable certificate"):
        await running.server.refresh(Trust(ca="-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
    assert (await running.as_proxy()).status_code == 200


async def test_a_renewed_serving_certificate_is_served(running):
    files = running.authority.issue("renewed", ExtendedKeyUsageOID.SERVER_AUTH)
    before = [running.folder / f"front-proxy-ca-localhost.{kind}" for kind in ("crt", "key")]
    for old, new in zip(before, files, strict=True):
        old.write_bytes(new.read_bytes())
    await running.server.refresh(running.server.trust)
    async with running.client() as client:
        answer = await client.get("/healthz")
    subject = answer.extensions["network_stream"].get_extra_info("ssl_object").getpeercert()["subject"]
    assert subject == ((("commonName", "renewed"),),)


async def test_answers_of_reviews_are_kept_for_ten_seconds(running, clock):
    for _ in range(3):
        assert (await running.as_proxy()).status_code == 200
    assert len(running.reviews.asked) == 1
    running.reviews.allowed = False
    clock.now += 9
    assert (await running.as_proxy()).status_code == 200
    clock.now += 2
    assert (await running.as_proxy()).status_code == 403
    running.reviews.allowed = True
    assert (await running.as_proxy()).status_code == 403
    assert len(running.reviews.asked) == 2


async def test_who_may_read_all_is_reviewed_once_for_all(running, clock):
    """The HPA controller: one review for thousands of objects."""
    running.reviews.everything = True
    for path in (DEPTH, DEPTH.replace("phone", "*")):
        assert (await running.as_proxy(path)).status_code == 200
    assert (await running.as_proxy(DEPTH.replace("prod", "other"))).status_code == 404
    assert running.reviews.asked == []
    (review,) = running.reviews.wide
    attributes = review["resourceAttributes"]
    assert (attributes["namespace"], attributes["name"], attributes["subresource"]) == ("", "", "autoglm_queue_depth")
    running.reviews.everything = running.reviews.allowed = False
    clock.now += 11
    assert (await running.as_proxy()).status_code == 403


async def test_another_user_group_namespace_name_or_metric_is_another_review(running):
    await running.as_proxy()
    for header in ({"X-Remote-User": "eve"}, {"X-Remote-Group": "h"}, {"X-Remote-Extra-Scopes": "s%2Ft"}):
        await running.as_proxy(headers=HPA | header)
    for old, new in (("prod", "other"), ("phone", "tv"), ("queue_depth", "desired_replicas"), ("v1beta2", "v1beta1")):
        await running.as_proxy(DEPTH.replace(old, new))
    assert len(running.reviews.asked) == 8
    assert {"scopes": ["s%2Ft"]} in [spec["extra"] for spec in running.reviews.asked]


async def test_many_at_once_share_one_review(running):
    async with running.client(running.authority.issue("front-proxy-client")) as client:
        answers = await asyncio.gather(*(client.get(DEPTH, headers=HPA) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert len(running.reviews.asked) == 1


@pytest.mark.parametrize(
    ("path", "code", "message"),
    [
        (DEPTH.replace("phone", "tv"), 404, "AutoGLMDeployment prod/tv does not exist"),
        (DEPTH.replace("queue_depth", "nonsense"), 404, "there are autoglm_desired_replicas, "),
        (DEPTH.replace("autoglmdeployments.autoglm.io", "pods"), 404, "only autoglmdeployments.autoglm.io have"),
        (DEPTH.replace("v1beta2", "v1"), 404, "there are v1beta2, v1beta1"),
        (f"{DEPTH}?metricLabelSelector=a%3Db", 404, "has no labels"),
        (DEPTH.replace("phone", "*") + "?labelSelector=a%3D%3D%3Db", 400, "is not a requirement"),
        (f"{PREFIX}/namespaces/prod/metrics/x", 404, "does not exist: see /apis/custom.metrics.k8s.io"),
        (DEPTH.replace("queue_depth", "ttft_p99_seconds"), 503, "has no value: it is not known yet"),
    ],
)
async def test_failures_are_status_objects_that_name_what_there_is(running, path, code, message):
    answer = await running.as_proxy(path)
    document = answer.json()
    assert (answer.status_code, document["code"], document["kind"]) == (code, code, "Status")
    assert message in document["message"]


async def test_a_stale_value_is_an_error(running, clock):
    clock.now += 9.5
    answer = await running.as_proxy()
    assert (answer.status_code, answer.json()["reason"]) == (503, "ServiceUnavailable")
    assert "is 9.5 s old" in answer.json()["message"]


async def test_all_of_a_namespace(running):
    path = DEPTH.replace("phone", "*")
    assert len((await running.as_proxy(path)).json()["items"]) == 1
    assert (await running.as_proxy(f"{path}?labelSelector=team%3Db")).json()["items"] == []
    assert running.reviews.asked[0]["resourceAttributes"]["name"] == "*"


async def test_nothing_can_be_written(running):
    async with running.client(running.authority.issue("front-proxy-client")) as client:
        answer = await client.post(DEPTH, headers=HPA, json={})
    assert (answer.status_code, answer.json()["reason"]) == (405, "MethodNotAllowed")


async def test_discovery_needs_no_deployment_and_no_review(running):
    headers = HPA | {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"}
    groups = (await running.as_proxy("/apis", headers)).json()
    assert (groups["kind"], groups["groups"][0]["name"]) == ("APIGroupList", "custom.metrics.k8s.io")
    assert (await running.as_proxy("/apis/custom.metrics.k8s.io")).json()["preferredVersion"]["version"] == "v1beta2"
    assert len((await running.as_proxy(PREFIX)).json()["resources"]) == 7
    index = (await running.as_proxy("/openapi/v3")).json()["paths"]
    for entry in index.values():
        assert (await running.as_proxy(entry["serverRelativeURL"])).json()["openapi"] == "3.0.0"
    assert (await running.as_proxy("/openapi/v2")).json()["swagger"] == "2.0"
    assert running.reviews.asked == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "no requestheader-client-ca-file"),
        ({"requestheader-client-ca-file": "x", "requestheader-allowed-names": "{"}, "expected a JSON list"),
        ({"requestheader-client-ca-file": "x", "requestheader-group-headers": "[1]"}, "expected a JSON list"),
    ],
)
def test_a_config_map_that_does_not_say_whom_to_believe(data, message):
    with pytest.raises(ValueError, match=message):
        Trust.parse(data)


def test_what_the_config_map_says_counts():
    found = Trust.parse(
        {
            "requestheader-client-ca-file": "pem",
            "requestheader-allowed-names": '["a","b"]',
            "requestheader-username-headers": '["X-User"]',
            "requestheader-group-headers": '["X-Group"]',
            "requestheader-extra-headers-prefix": '["X-Extra-"]',
            "requestheader-uid-headers": '["X-Uid"]',
        }
    )
    assert found == Trust("pem", frozenset("ab"), ("X-User",), ("X-Uid",), ("X-Group",), ("X-Extra-",))


async def test_the_expiry_is_that_of_the_certificate_in_force(running):
    def written(name):
        path = running.folder / f"front-proxy-ca-{name}.crt"
        return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc.timestamp()

    assert running.server.expires == written("localhost")
    await asyncio.sleep(1.1)  # certificates count in seconds
    for path in running.authority.issue("renewed", ExtendedKeyUsageOID.SERVER_AUTH):
        (running.folder / path.name.replace("renewed", "localhost")).write_bytes(path.read_bytes())
    await running.server.refresh(trust(running.authority))
    assert running.server.expires == written("renewed")
    assert written("renewed") > time.time()
