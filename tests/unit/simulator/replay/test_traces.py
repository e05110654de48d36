import json
from pathlib import Path

import pytest

from autoglm_simulator.replay.arrivals import make_traffic
from autoglm_simulator.replay.traces import Trace, TraceError, Window, read_trace

AZURE = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,396,109
2023-11-16 18:17:16.6805900,879,55
"""
RATES = "window_start_s,rate_rps,index_of_dispersion\n0,2.0,1.5\n600,4.0,3\n1200,3.0,0.5\n"


def written(folder: Path, text: str) -> Path:
    path = folder / "trace"
    path.write_text(text)
    return path


def refusal(folder, text):
    with pytest.raises(TraceError) as caught:
        read_trace(written(folder, text))
    return str(caught.value)


def test_azure(tmp_path):
    trace = read_trace(written(tmp_path, AZURE))
    assert trace.kind == "azure"
    assert [round(arrival.time, 4) for arrival in trace.arrivals] == [0.0, 4.3146, 90.0]
    assert trace.windows[0].rate == pytest.approx(2 / 60)
    assert trace.windows[0].input_tokens == 385
    assert trace.windows[1].output_tokens == 55


def test_azure_with_a_zone_carriage_returns_and_other_columns(tmp_path):
    text = "ContextTokens,NumImages,TIMESTAMP,GeneratedTokens\r\n10,0,2024-05-10 00:00:00.5+00:00,5\r\n"
    trace = read_trace(written(tmp_path, "\ufeff" + text))
    assert trace.arrivals == ((0.0, 10.0, 5.0),)


def test_mooncake(tmp_path):
    rows = [{"timestamp": 61_000, "input_length": 700, "output_length": 3, "hash_ids": [0, 1]}]
    rows.insert(0, {"timestamp": 1_000, "input_length": 500, "output_length": 30, "hash_ids": [0]})
    trace = read_trace(written(tmp_path, "\n".join(json.dumps(row) for row in rows)))
    assert trace.kind == "mooncake"
    assert [arrival.time for arrival in trace.arrivals] == [0.0, 60.0]
    assert [window.input_tokens for window in trace.windows] == [500, 700]


def test_rates(tmp_path):
    trace = read_trace(written(tmp_path, RATES), (800.0, 100.0))
    assert trace.kind == "rate"
    assert trace.seconds == 1800
    assert trace.mean_rate == pytest.approx(3.0)
    assert trace.windows[1] == Window(600.0, 600.0, 4.0, 3.0, 800.0, 100.0, 0.0)
    assert trace.windows[2].dispersion == 1.0  # less than a Poisson process is not modelled


def test_rates_with_their_own_tokens(tmp_path):
    text = "window_start_s,rate_rps,input_tokens,output_tokens\n0,1,50,5\n60,1,70,7\n"
    assert [window.input_tokens for window in read_trace(written(tmp_path, text)).windows] == [50, 70]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "is empty"),
        ("a,b\n1,2\n", "trace:1: got columns a, b; expected a header with TIMESTAMP"),
        (AZURE.replace("396", "many"), "trace:3: column ContextTokens: got 'many', expected a number of at least 0"),
        (AZURE.replace("2023-11-16 18:15:50.9951690", "noon"), "trace:3: column TIMESTAMP: got 'noon'"),
        (AZURE.replace(",109", ""), "trace:3: got 2 columns, expected 3"),
        (AZURE.splitlines()[0], "has no request"),
        (RATES.replace("4.0", "-4"), "trace:3: column rate_rps: got '-4'"),
        (RATES.replace("4.0", "nan"), "trace:3: column rate_rps: got 'nan'"),
        (
            RATES.replace("1200", "600"),
            "trace:4: column window_start_s: got 600, expected more than in the line before",
        ),
        ("\n".join(RATES.splitlines()[:2]), "has 1 windows, expected at least 2"),
        ('{"timestamp": 0, "input_length": 1}', "trace:1: expected an object with timestamp, input_length, output_len"),
        ('{"timestamp": 0,', "trace:1: column"),
        ('{"timestamp": true, "input_length": 1, "output_length": 1}', "trace:1: field timestamp: got True"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path, text, expected):
    assert expected in refusal(tmp_path, text)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(TraceError, match="cannot be read: No such file"):
        read_trace(tmp_path / "none")


def test_a_file_that_is_no_text(tmp_path):
    path = tmp_path / "binary"
    path.write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(TraceError, match="UTF-8"):
        read_trace(path)


def flat(rate, dispersion, hours=20):
    return Trace("rate", tuple(Window(i * 600.0, 600.0, rate, dispersion, 900.0, 90.0, 0.0) for i in range(6 * hours)))


def test_arrivals_have_the_rate_and_dispersion_of_the_trace():
    arrivals = make_traffic(flat(20.0, 4.0), None, 72_000, 1).arrivals
    blocks = [sum(arrivals[start : start + 5]) for start in range(0, len(arrivals), 5)]
    mean = sum(blocks) / len(blocks)
    assert mean == pytest.approx(100, rel=0.01)
    assert sum((block - mean) ** 2 for block in blocks) / len(blocks) / mean == pytest.approx(4.0, rel=0.05)


def test_a_scaled_trace_keeps_how_far_bursts_go_above_the_mean():
    arrivals = make_traffic(flat(200.0, 31.0), 20.0, 72_000, 1).arrivals
    blocks = [sum(arrivals[start : start + 5]) for start in range(0, len(arrivals), 5)]
    mean = sum(blocks) / len(blocks)
    assert mean == pytest.approx(100, rel=0.01)
    assert sum((block - mean) ** 2 for block in blocks) / len(blocks) / mean == pytest.approx(4.0, rel=0.05)


def test_the_same_seed_gives_the_same_traffic():
    assert make_traffic(flat(2.0, 2.0), None, 600, 3) == make_traffic(flat(2.0, 2.0), None, 600, 3)
    assert make_traffic(flat(2.0, 2.0), None, 600, 3) != make_traffic(flat(2.0, 2.0), None, 600, 4)


def test_the_rate_goes_straight_from_window_to_window():
    trace = Trace("rate", (Window(0, 100, 0.0, 1, 9, 9, 0), Window(100, 100, 10.0, 1, 9, 9, 0)))
    rate = make_traffic(trace, None, 200, 0).rate
    assert rate[0] == 0
    assert rate[99] == pytest.approx(4.95)
    assert rate[199] == 10


def test_prompts_scatter_as_in_the_trace():
    window = Window(0, 3600, 10.0, 1, 500.0, 50.0, 1.0)
    traffic = make_traffic(Trace("azure", (window,)), None, 3600, 0)
    mean = sum(traffic.input_tokens) / 3600
    spread = (sum((value - mean) ** 2 for value in traffic.input_tokens) / 3600) ** 0.5
    assert mean == pytest.approx(500, rel=0.03)
    assert spread == pytest.approx(500 / 10**0.5, rel=0.15)  # the mean of about ten prompts
