"""A collector that is absent, slow or wrong: nothing else notices, and what is lost is counted and told once."""

import logging
import time
from collections import Counter

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from autoglm_operator import trace_export
from autoglm_operator.trace_export import TIMEOUT_SECONDS, Export


class Traced:
    """A tracer that exports to `url`, and what became of its spans."""

    def __init__(self, url, every=0.05, **options):
        self.counted = Counter()
        exporter = OTLPSpanExporter(f"{url}/v1/traces", timeout=TIMEOUT_SECONDS)
        self.provider = TracerProvider(shutdown_on_exit=False, **options)
        self.provider.add_span_processor(Export(exporter, f"{url}/v1/traces", self.count, every=every))

    def count(self, result, spans):
        self.counted[result] += spans

    def spans(self, number):
        """Make spans and return the seconds of the slowest."""
        tracer, slowest = self.provider.get_tracer("t"), 0.0
        for _ in range(number):
            start = time.perf_counter()
            tracer.start_span("s").end()
            slowest = max(slowest, time.perf_counter() - start)
        return slowest

    def close(self):
        start = time.monotonic()
        self.provider.shutdown()
        return time.monotonic() - start


def told(caplog):
    return [record.message for record in caplog.records]


def test_what_is_taken_is_counted(collectors, within, caplog):
    with collectors.answering(200, b"") as collector:
        traced = Traced(collector.url)
        traced.spans(3)
        within(5, lambda: traced.counted == {"ok": 3})
        traced.close()
    assert collector.requests
    assert told(caplog) == []


def test_what_is_left_is_sent_at_exit(collectors):
    with collectors.answering(200, b"") as collector:
        traced = Traced(collector.url, every=60)
        traced.spans(3)
        traced.close()
        assert traced.counted == {"ok": 3}


WRONG = {
    "absent": (lambda kinds: None, "Connection refused"),
    "not found": (lambda kinds: kinds.answering(404, b"nothing here"), "404"),
    "broken": (lambda kinds: kinds.answering(500, b"\x00garbage"), "500"),
    "no HTTP": (lambda kinds: kinds.garbage(), ""),
    "silent": (lambda kinds: kinds.silent(), ""),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_wrong_collector_delays_nothing_and_is_told_once(kind, collectors, free_port, within, caplog):
    caplog.set_level(logging.INFO)
    make, reason = WRONG[kind]
    made = make(collectors)
    url = f"http://127.0.0.1:{free_port()}" if made is None else made.__enter__()
    try:
        traced = Traced(getattr(url, "url", url))
        # Nothing waits for the collector, which takes as long as the timeout at least once here.
        assert traced.spans(10) < TIMEOUT_SECONDS
        within(10, lambda: traced.counted["failed"] == 10)
        traced.spans(10)
        within(10, lambda: traced.counted["failed"] == 20)
        assert traced.close() < trace_export._EXIT_SECONDS + TIMEOUT_SECONDS
    finally:
        if made is not None:
            made.__exit__(None, None, None)
    (record,) = caplog.records
    assert (record.message, record.exc_info) == ("collector takes no traces", None)
    assert record.error
    assert reason in record.error


def test_the_reason_is_told_each_time_though_the_exporter_repeats_itself(collectors, within, caplog):
    for _ in range(2):
        with collectors.answering(500, b"") as collector:
            traced = Traced(collector.url)
            traced.spans(1)
            within(10, lambda made=traced: made.counted["failed"] == 1)
            traced.close()
    assert [record.error for record in caplog.records if "500" in record.error] == [caplog.records[0].error] * 2


def test_https_to_a_port_without_tls_is_told_once(collectors, within, caplog):
    with collectors.answering(200, b"") as collector:
        traced = Traced(collector.url.replace("http:", "https:"))
        traced.spans(1)
        within(10, lambda: traced.counted["failed"] == 1)
        traced.close()
    assert told(caplog) == ["collector takes no traces"]


def test_memory_is_bounded_and_exit_too_while_a_collector_hangs(collectors, caplog):
    with collectors.silent() as url:
        traced = Traced(url)
        assert traced.spans(3 * trace_export._MOST_WAITING) < TIMEOUT_SECONDS
        assert traced.counted["dropped"] >= trace_export._MOST_WAITING
        processor = traced.provider._active_span_processor._span_processors[0]
        assert len(processor._waiting) <= trace_export._MOST_WAITING
        assert traced.close() < trace_export._EXIT_SECONDS + TIMEOUT_SECONDS
    assert sum(traced.counted.values()) >= 2 * trace_export._MOST_WAITING
    assert "traces lost at exit" in told(caplog)


def test_a_collector_that_comes_back_is_told_with_what_was_lost(collectors, free_port, within, caplog):
    caplog.set_level(logging.INFO)
    port = free_port()
    traced = Traced(f"http://127.0.0.1:{port}")
    for _ in range(2):
        with collectors.answering(200, b"", port):
            traced.spans(1)
            within(15, lambda: traced.counted["ok"])
        lost = traced.counted["failed"]
        traced.spans(2)
        within(15, lambda before=lost: traced.counted["failed"] == before + 2)
        traced.counted["ok"] = 0
    traced.close()
    assert told(caplog) == [
        "collector takes no traces",
        "collector takes traces again",
        "collector takes no traces",
    ]
    assert caplog.records[1].lost_spans == 2


def test_what_is_not_sampled_is_not_exported(collectors):
    with collectors.answering(200, b"") as collector:
        traced = Traced(collector.url, sampler=ALWAYS_OFF)
        traced.spans(3)
        traced.close()
        assert traced.counted == {}


def test_credentials_in_the_endpoint_are_not_logged(free_port, within, caplog):
    traced = Traced(f"http://user:secret@127.0.0.1:{free_port()}")
    traced.spans(1)
    within(10, lambda: traced.counted["failed"])
    traced.close()
    assert "secret" not in str([vars(record) for record in caplog.records])
