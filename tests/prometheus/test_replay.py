"""A recorded exposition goes on as its program would."""

import sys
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

sys.path.append(str(Path(__file__).parent))  # tests are not a package
import replay

FIRST = """# TYPE a_total counter
a_total{x="1"} 10
# TYPE b gauge
b 5
# TYPE c_seconds histogram
c_seconds_bucket{le="1.0"} 1
c_seconds_bucket{le="+Inf"} 2
c_seconds_count 2
c_seconds_sum 1.5
"""
SECOND = (
    FIRST.replace("10", "610")
    .replace("b 5", "b 7")
    .replace('"+Inf"} 2', '"+Inf"} 302')
    .replace("_sum 1.5", "_sum 301.5")
)


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(replay.time, "monotonic", lambda: now[0])
    return now


def values(text):
    return {
        (sample.name, sample.labels.get("le", "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_counters_go_on_at_their_rate_and_gauges_stay(clock):
    recording = replay.Recording(FIRST, SECOND)
    assert values(recording.text())["a_total", ""] == 10
    clock[0] += 10.3
    after = values(recording.text())
    assert after["a_total", ""] == 30
    assert after["b", ""] == 5
    assert after["c_seconds_bucket", "1.0"] == 1
    assert after["c_seconds_bucket", "+Inf"] == 12
    assert after["c_seconds_sum", ""] == pytest.approx(11.8)


def test_recordings_are_served_by_name():
    found = replay.recordings(Path(__file__).parent / "recordings")
    assert found
    server = replay.serve(found)
    try:
        base = f"http://127.0.0.1:{server.server_address[1]}"
        for name in found:
            assert httpx.get(f"{base}/{name}/metrics").status_code == 200
        assert httpx.get(f"{base}/other/metrics").status_code == 404
    finally:
        server.shutdown()
        server.server_close()
