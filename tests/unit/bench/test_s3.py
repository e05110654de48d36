"""Reports in a bucket: against a small real HTTP server that behaves well or badly as S3 may."""

import asyncio
import json
import signal
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random

import pytest
from tests.unit.bench.test_process import RUN, SHORT, bench

from autoglm_bench.compare.verdict import compare
from autoglm_bench.files import FileError
from autoglm_bench.places import Bucket, place
from autoglm_bench.wire import s3
from autoglm_bench.wire.s3 import S3Client, S3Error, Server, pauses
from autoglm_bench.wire.sigv4 import Credentials
from autoglm_operator.observe.benchmark import Summary

KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}


def refusal(code):
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>see /etc/passwd</Message></Error>".encode()


class Store:
    """Keeps objects; gives the answers of `failures` first."""

    def __init__(self):
        self.objects, self.requests, self.failures = {}, [], []


@pytest.fixture
def store(monkeypatch):
    monkeypatch.setattr(s3, "_FIRST_PAUSE", 0.01)
    kept = Store()

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            kept.requests.append((self.command, self.path, dict(self.headers)))
            if kept.failures:
                return kept.failures.pop(0)
            if self.command == "PUT":
                kept.objects[self.path] = body
                return 200, b"", {}
            found = kept.objects.get(self.path)
            return (200, found, {}) if found is not None else (404, refusal("NoSuchKey"), {})

        def do_PUT(self):
            status, body, headers = self.answer()
            if status == 0:
                self.connection.close()
                return
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT  # noqa: N815  the server's own name

        def log_message(self, *_):
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    kept.url = f"http://127.0.0.1:{server.server_port}"
    yield kept
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def client(store):
    with S3Client(Server(store.url, "eu-west-1"), Credentials("key", "secret"), Random(1)) as made:
        yield made


def test_what_is_put_comes_back(store, client):
    client.put("runs", "a/b.json", b"{}", "application/json")
    assert client.get("runs", "a/b.json") == b"{}"
    (_, path, headers), _ = store.requests
    assert path == "/runs/a/b.json"
    assert headers["content-type"] == "application/json"
    assert "/eu-west-1/s3/aws4_request" in headers["authorization"]


@pytest.mark.parametrize("passing", [(503, refusal("SlowDown"), {}), (500, b"", {}), (0, b"", {}), (429, b"", {})])
def test_what_passes_is_tried_again(store, client, passing):
    store.failures = [passing, passing]
    client.put("runs", "a", b"1", "text/plain")
    assert len(store.requests) == 3
    assert store.objects == {"/runs/a": b"1"}


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (403, "AccessDenied", "HTTP 403 AccessDenied: may this key pair"),
        (403, "SignatureDoesNotMatch", "or the region is wrong"),
        (404, "NoSuchBucket", "create the bucket"),
        (400, "AuthorizationHeaderMalformed", "the region is wrong"),
    ],
)
def test_what_stays_is_not_tried_again_and_says_why(store, client, status, code, said):
    store.failures = [(status, refusal(code), {})]
    with pytest.raises(S3Error, match=said) as caught:
        client.put("runs", "a", b"1", "text/plain")
    assert len(store.requests) == 1
    assert "passwd" not in str(caught.value)


def test_a_server_that_stays_broken_is_given_up(store, client):
    store.failures = [(503, b"", {})] * 9
    with pytest.raises(S3Error, match="HTTP 503; it was tried again and again"):
        client.get("runs", "a")
    assert len(store.requests) == 5


def test_nothing_lasts_longer_than_a_job_has(store, monkeypatch):
    monkeypatch.setattr(s3, "MOST_SECONDS", 0.005)
    store.failures = [(503, b"", {})] * 9
    with S3Client(Server(store.url, "a"), Credentials("key", "secret"), Random(1)) as client, pytest.raises(S3Error):
        client.get("runs", "a")
    assert len(store.requests) <= 2


def test_a_redirect_is_not_followed(store, client):
    store.failures = [(307, b"", {"Location": f"{store.url}/elsewhere"})]
    with pytest.raises(S3Error, match="HTTP 307"):
        client.put("runs", "a", b"1", "text/plain")
    assert len(store.requests) == 1


def test_what_an_answer_that_is_none_of_s3_says_does_not_come_out(store, client):
    store.failures = [(404, b"<html>secret page</html><Code>not a code!</Code>", {})]
    with pytest.raises(S3Error) as caught:
        client.get("runs", "a")
    assert str(caught.value).endswith("HTTP 404")


def test_more_than_a_report_is_not_read(store, client, monkeypatch):
    monkeypatch.setattr(s3, "_MOST_BYTES", 10)
    store.objects["/runs/a"] = b"x" * 100
    with pytest.raises(S3Error, match="more than 10 bytes"):
        client.get("runs", "a")


def test_nobody_there(client, store, unused_tcp_port):
    server = Server(f"http://127.0.0.1:{unused_tcp_port}", "a")
    with S3Client(server, Credentials("a", "b")) as lost, pytest.raises(S3Error, match="refused"):
        lost.get("runs", "a")


@pytest.mark.parametrize(
    ("endpoint", "region", "expected"),
    [
        ("", "eu-west-1", ("https", "s3.eu-west-1.amazonaws.com", "/runs/a.json")),
        ("", "cn-north-1", ("https", "s3.cn-north-1.amazonaws.com.cn", "/runs/a.json")),
        ("http://minio.storage.svc:9000", "x", ("http", "minio.storage.svc:9000", "/runs/a.json")),
        ("https://a.example/storage/s3/", "x", ("https", "a.example", "/storage/s3/runs/a.json")),
        ("https://runs.oss.example", "x", ("https", "runs.oss.example", "/a.json")),
    ],
)
def test_addresses(endpoint, region, expected):
    assert Server(endpoint, region).address("runs", "a.json") == expected


def test_tries_are_spread_and_end():
    found = list(pauses(Random(1)))
    assert len(found) == 4
    assert all(later > earlier for earlier, later in zip(found, found[2:], strict=False))
    assert list(pauses(Random(2))) != found


@pytest.mark.parametrize(
    ("text", "endpoint", "environment", "said"),
    [
        ("s3://runs", "", KEYS, "expected a folder, or s3://BUCKET/PREFIX"),
        ("s3://Runs/a", "", KEYS, "expected a folder, or s3://BUCKET/PREFIX"),
        ("s3://runs/../a", "", KEYS, "expected a folder, or s3://BUCKET/PREFIX"),
        ("s3://runs/a", "", {}, "needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment"),
        ("s3://runs/a", "", {"AWS_ACCESS_KEY_ID": "k"}, "needs AWS_SECRET_ACCESS_KEY in the environment"),
        ("s3://runs/a", "ftp://a", KEYS, "--s3-endpoint ftp://a: expected a URL"),
        ("s3://runs/a", "https://me:secret@a", KEYS, "without keys"),
    ],
)
def test_a_place_that_is_none_names_its_flag(text, endpoint, environment, said):
    with pytest.raises(ValueError, match=said) as caught:
        place("--report-dir", text, Server(endpoint, "a"), environment)
    assert str(caught.value).startswith("--")


def test_a_file_that_is_not_there_is_named(store):
    where = Bucket("runs", "a/b", Server(store.url, "a"), Credentials("key", "secret"))
    with pytest.raises(FileError, match=r"s3://runs/a/b/result\.json cannot be read: .* HTTP 404 NoSuchKey"):
        where.read("result.json")


@pytest.fixture
async def left(engine, store, tmp_path, monkeypatch):
    """Run once as a Job whose reports go to the bucket; return status, the error stream and the last word."""
    word = tmp_path / "last-word"
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)

    async def run(*more, name="one", **how):
        there = ["--report-dir", f"s3://runs/team/load/{name}", "--s3-endpoint", store.url, "--s3-region", "a"]
        status, _, err = await bench(*RUN, "--url", engine.url, *SHORT, "--last-word", word, *there, *more, **how)
        return status, err, Summary.parse(word.read_text()) if word.exists() else None

    return run


async def test_reports_go_to_the_bucket_and_a_baseline_comes_from_it(left, store):
    status, _, found = await left()
    assert (status, found.report, found.unwritten) == (0, True, "")
    assert sorted(store.objects) == [
        f"/runs/team/load/one/{name}" for name in ("report.html", "report.md", "result.json")
    ]
    result = json.loads(store.objects["/runs/team/load/one/result.json"])
    assert compare(result, result).sentence
    status, _, found = await left("--baseline", "s3://runs/team/load/one", name="two")
    assert (status, bool(found.comparison)) == (0, True)
    assert found.comparison in store.objects["/runs/team/load/two/report.md"].decode()


async def test_a_bucket_that_refuses_takes_the_report_and_not_the_figures(left, store):
    store.failures = [(403, refusal("AccessDenied"), {})]
    status, err, found = await left()
    assert status == 1
    assert "--report-dir s3://runs/team/load/one/result.json cannot be written" in err
    assert (found.report, found.partial) == (False, False)
    assert "HTTP 403 AccessDenied" in found.unwritten
    assert {row.name for row in found.rows} >= {"ttft_p99", "requests"}


async def test_a_baseline_that_is_not_there_ends_it_before_the_load(left, engine):
    status, err, found = await left("--baseline", "s3://runs/nothing/here")
    assert (status, found, engine.requests) == (1, None, [])
    assert "s3://runs/nothing/here/result.json cannot be read" in err


async def test_a_run_that_is_killed_while_it_writes_has_left_its_figures(left, store):
    async def hanging():
        while not store.requests:
            await asyncio.sleep(0.02)

    store.failures = [(503, b"", {})] * 9
    status, _, found = await left(after=hanging, stop=signal.SIGKILL)
    assert status == -signal.SIGKILL
    assert (found.report, found.unwritten) == (False, "the run was ended before its report was written")
    assert {row.name for row in found.rows} >= {"ttft_p99", "requests"}


@pytest.mark.parametrize("flag", ["--s3-endpoint", "--s3-region"])
async def test_flags_of_buckets_need_a_bucket(engine, flag):
    status, _, err = await bench(*RUN, "--url", engine.url, *SHORT, flag, "https://a")
    assert (status, f"{flag} https://a needs --report-dir" in err) == (2, True)
