"""Reports in a bucket of a real server that speaks S3's API and checks signatures: the Versity gateway."""

import socket
import subprocess
import time
from dataclasses import replace

import httpx
import pytest
from tests.unit.bench.test_process import RUN, SHORT, bench

from autoglm_bench.files import FileError
from autoglm_bench.places import Bucket
from autoglm_bench.wire.s3 import Server
from autoglm_bench.wire.sigv4 import Credentials
from autoglm_operator.observe.benchmark import Summary
from localcluster import toolchain

KEYS = Credentials("access", "open-sesame")
REGION = "eu-central-1"
#: A report with as many samples as one keeps has some megabytes.
LARGE = 6 << 20


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    """Run the server with one empty bucket; yield its URL and the folder that it keeps the bucket's objects in."""
    if toolchain.missing(["versitygw"]):
        pytest.skip("needs versitygw, which `localcluster tool versitygw` builds once, in minutes")
    folder = tmp_path_factory.mktemp("s3")
    (folder / "data/runs").mkdir(parents=True)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"127.0.0.1:{listener.getsockname()[1]}"
    keys = ["--access", KEYS.access_key, "--secret", KEYS.secret_key, "--region", REGION]
    command = [toolchain.path("versitygw"), "--port", url, *keys, "--quiet", "posix", "--nometa", folder / "data"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 30
        while not _answers(url):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.1)
        yield f"http://{url}", folder / "data/runs"
    finally:
        process.terminate()
        process.wait(timeout=20)


def _answers(address):
    try:
        httpx.get(f"http://{address}/", trust_env=False)
    except httpx.TransportError:
        return False
    return True


@pytest.fixture
def place(gateway):
    return Bucket("runs", "glm/team/load/one", Server(gateway[0], REGION), KEYS)


def test_what_is_written_is_there_and_comes_back(gateway, place):
    large = "é" * (LARGE // 2)
    place.write({"result.json": large, "report.md": "*fine*"})
    assert (gateway[1] / "glm/team/load/one/report.md").read_text() == "*fine*"
    assert place.read("result.json") == large
    place.write({"result.json": "again"})
    assert place.read("result.json") == "again"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"credentials": replace(KEYS, secret_key="wrong")}, "SignatureDoesNotMatch"),  # noqa: S106
        ({"credentials": replace(KEYS, access_key="nobody")}, "XAdminUserNotFound"),
        ({"bucket": "nothing"}, "NoSuchBucket: create the bucket"),
    ],
)
def test_what_the_server_refuses_is_said_at_once(place, change, said):
    began = time.monotonic()
    with pytest.raises(FileError, match=said):
        replace(place, **change).write({"report.md": "x"})
    assert time.monotonic() - began < 5


def test_a_wrong_region_is_said(gateway, place):
    with pytest.raises(FileError, match="the region is wrong"):
        replace(place, server=Server(gateway[0], "mars-1")).write({"report.md": "x"})


def test_a_report_that_is_not_there_is_named(place):
    with pytest.raises(FileError, match=r"s3://runs/none/result\.json cannot be read: .* NoSuchKey"):
        replace(place, prefix="none").read("result.json")


async def test_a_job_writes_its_reports_and_reads_its_baseline_there(engine, gateway, tmp_path, monkeypatch):
    url, folder = gateway
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEYS.access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEYS.secret_key)
    word = tmp_path / "last-word"
    there = ["--s3-endpoint", url, "--s3-region", REGION, "--last-word", word]
    run = [*RUN, "--url", engine.url, *SHORT, *there]
    first = await bench(*run, "--report-dir", "s3://runs/a/load-1")
    assert (first[0], sorted(path.name for path in (folder / "a/load-1").iterdir())) == (
        0,
        ["report.html", "report.md", "result.json"],
    )
    second = await bench(*run, "--report-dir", "s3://runs/a/load-2", "--baseline", "s3://runs/a/load-1")
    found = Summary.parse(word.read_text())
    assert (second[0], found.report) == (0, True)
    assert found.comparison in (folder / "a/load-2/report.html").read_text()
