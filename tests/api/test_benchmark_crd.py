"""What the API server itself makes of AutoGLMBenchmarks, good and bad: no webhook, no operator."""

import pytest

from autoglm_operator.api import names
from autoglm_operator.api.kinds import BENCHMARK
from autoglm_operator.cli.schema import problems

pytestmark = pytest.mark.api

TARGET = {"deploymentRef": {"name": "phone"}}
SERVICE = {"serviceRef": {"name": "phone", "port": 8000, "model": "autoglm-phone-9b"}}
POISSON = {"type": "Poisson", "rate": 2.5}
FILE = {"claimName": "traces", "path": "azure.csv"}
PVC = {"pvc": {"claimName": "reports"}}
BUCKET = {"bucket": "runs", "credentialsSecretRef": {"name": "keys"}}


def document(name="load", **changes):
    spec = {"target": TARGET, "profile": POISSON} | changes
    return {"apiVersion": names.API_VERSION, "kind": BENCHMARK.names.kind, "metadata": {"name": name}, "spec": spec}


def bucket(**changes):
    return document(report={"s3": BUCKET | changes})


def profile(kind, **fields):
    return document(profile={"type": kind} | fields)


def dataset(**fields):
    return document(workload={"type": "Dataset"} | fields)


#: CEL text of a rule → documents that keep it, documents that break it
CASES = {
    "size(self.metadata.name)": ([document("x" * 40)], [document("x" * 41)]),
    "[has(self.deploymentRef)": (
        [document(), document(target=SERVICE)],
        [document(target={}), document(target=TARGET | SERVICE)],
    ),
    "!has(self.__namespace__)": (
        [document()],
        [
            document(target={"deploymentRef": {"name": "phone", "namespace": "other"}}),
            document(target={"serviceRef": SERVICE["serviceRef"] | {"namespace": "other"}}),
            document(report={"pvc": {"claimName": "reports", "namespace": "other"}}),
            document(report=PVC, baseline={"name": "before", "namespace": "other"}),
            bucket(credentialsSecretRef={"name": "keys", "namespace": "other"}),
            profile("Trace", trace=FILE | {"namespace": "other"}),
            dataset(dataset=FILE | {"namespace": "other"}),
        ],
    ),
    "self.name.matches": ([document()], [document(target={"deploymentRef": {"name": "other/phone"}})]),
    "self.claimName.matches": ([document(report=PVC)], [document(report={"pvc": {"claimName": "../reports"}})]),
    "has(self.rate)": (
        [profile("Constant", rate=1)],
        [profile("Constant"), profile("Concurrency", concurrency=4, rate=1)],
    ),
    "has(self.peakRate)": (
        [profile(kind, rate=1, peakRate=2) for kind in ("Ramp", "Spike", "FindLimit")],
        [profile("Ramp", rate=1), profile("Poisson", rate=1, peakRate=2)],
    ),
    "has(self.steps)": ([profile("Step", rate=1, peakRate=4, steps=3)], [profile("Step", rate=1, peakRate=4)]),
    "has(self.burstiness)": ([profile("Bursty", rate=1, burstiness=3)], [profile("Bursty", rate=1)]),
    "has(self.concurrency)": ([profile("Concurrency", concurrency=8)], [profile("Concurrency")]),
    "has(self.trace)": (
        [profile("Trace", trace=FILE)],
        [profile("Trace"), document(profile=POISSON | {"trace": FILE})],
    ),
    "has(self.dataset)": ([dataset(dataset=FILE)], [dataset(), document(workload={"dataset": FILE})]),
    "!has(self.peakRate)": ([profile("Ramp", rate=1, peakRate=2)], [profile("Ramp", rate=2, peakRate=2)]),
    "has(self.path)": (
        [profile("Trace", trace=FILE)],
        [profile("Trace", trace={"claimName": "traces"}), dataset(dataset={"claimName": "traces"})],
    ),
    "!has(self.baseline)": (
        [document(report=where, baseline={"name": "b"}) for where in (PVC, {"s3": BUCKET})],
        [document(baseline={"name": "b"})],
    ),
    "!has(self.pvc)": ([document(report=PVC), bucket()], [document(report=PVC | {"s3": BUCKET})]),
    "!has(self.endpoint)": (
        [
            bucket(),
            *(
                bucket(endpoint=url)
                for url in (
                    "https://s3.example:9000/storage",
                    "http://minio.storage.svc:9000",
                    "http://minio.storage.svc.cluster.local/a",
                )
            ),
        ],
        [
            bucket(endpoint=url)
            for url in (
                "http://169.254.169.254/latest/meta-data",
                "http://s3.example",
                "http://minio.storage.svc.example.com",
                "http://svc",
            )
        ],
    ),
    "!has(self.schedule)": (
        [document(schedule=line) for line in ("0 3 * * *", "*/5 1-4,6 * JAN MON")],
        [document(schedule=line) for line in ("daily", "0 3 * *", "0 3 * * * *", "0 3 * * *; rm", "")],
    ),
}


@pytest.fixture(scope="module")
def submit(cluster, shared_namespace):
    path = cluster.path(names.API_VERSION, BENCHMARK.names.kind, shared_namespace)

    def ask(given):
        answer = cluster.call("POST", path, given, dryRun="All", fieldValidation="Strict")
        assert answer.is_success or answer.status_code in {400, 422}, answer.text
        return None if answer.is_success else answer.json()["message"]

    return ask


def rules_of(key):
    return [rule for rule in BENCHMARK.rules if rule.cel.startswith(key)]


def test_every_rule_has_its_cases():
    assert {rule.cel for key in CASES for rule in rules_of(key)} == {rule.cel for rule in BENCHMARK.rules}


@pytest.mark.parametrize("key", CASES)
def test_rule_in_cel_and_in_python(submit, key):
    good, bad = CASES[key]
    for given in good:
        assert submit(given) is None
        assert problems(given, BENCHMARK) == []
    for given in bad:
        refusal, own = submit(given) or "", "\n".join(problems(given, BENCHMARK))
        broken = [rule for rule in rules_of(key) if rule.message in refusal]
        assert broken, f"{given['spec']}: {refusal}"
        assert broken[0].message in own


BAD = {
    "an address": (document(target={"url": "http://elsewhere"}), "spec.target.url"),
    "no target": ({**document(), "spec": {"profile": POISSON}}, "spec.target"),
    "no profile": ({**document(), "spec": {"target": TARGET}}, "spec.profile"),
    "no type": (document(profile={"rate": 1}), "spec.profile.type"),
    "a rate of nothing": (profile("Constant", rate=0), "spec.profile.rate"),
    "a rate without end": (profile("Constant", rate=1e9), "spec.profile.rate"),
    "a way out of the volume": (profile("Trace", trace=FILE | {"path": "../../etc/passwd"}), "spec.profile.trace.path"),
    "no duration": (document(duration="forever"), "spec.duration"),
    "a bucket that is none": (bucket(bucket="Runs/.."), "spec.report.s3.bucket"),
    "a bucket without keys": (document(report={"s3": {"bucket": "runs"}}), "spec.report.s3.credentialsSecretRef"),
    "keys in the endpoint": (bucket(endpoint="https://me:secret@s3.example"), "spec.report.s3.endpoint"),
    "an endpoint that is no web server": (bucket(endpoint="file:///etc"), "spec.report.s3.endpoint"),
    "a way out of the bucket": (bucket(prefix="../other"), "spec.report.s3.prefix"),
    "a seed below nothing": (document(seed=-1), "spec.seed"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_with_its_field(submit, case):
    given, path = BAD[case]
    assert path in submit(given)
    assert any(path in line for line in problems(given, BENCHMARK))
