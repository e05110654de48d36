import socket
import threading
import time
import tracemalloc

import pytest

from autoglm_agent.dcgm import MOST_BYTES, DcgmSource
from autoglm_agent.dcgm_names import LAST_XID, NAMES, XID_COUNTS
from autoglm_agent.dcgm_text import Pod, parse
from autoglm_agent.device import FIGURES

POD = Pod("phone-0", "serving")
MIB = 1 << 20


def series(name, value, pod="phone-0", gpu=0, uuid="GPU-a", **labels):
    labels = {
        "gpu": gpu,
        "UUID": uuid,
        "pci_bus_id": "00000000:1B:00.0",
        "device": f"nvidia{gpu}",
        "modelName": "NVIDIA H100 80GB HBM3",
        "hostname": "node-1",
        "DCGM_FI_DRIVER_VERSION": "580.65.06",
        "namespace": "serving" if pod else "",
        "pod": pod,
        "container": "engine" if pod else "",
        **labels,
    }
    text = ",".join(f'{key}="{label}"' for key, label in labels.items())
    return f"{name}{{{text}}} {value}"


def read(*rows, pod=POD):
    return parse([row.encode() for row in rows], pod, 5.0)


def one(*rows, pod=POD):
    (sample,) = read(*rows, pod=pod).samples
    return sample


# ---- the text


OLD = {
    "DCGM_FI_DEV_FB_USED": (73000, "memory_used_bytes", 73000 * MIB),
    "DCGM_FI_DEV_FB_FREE": (8000, "memory_free_bytes", 8000 * MIB),
    "DCGM_FI_DEV_FB_RESERVED": (559, "memory_reserved_bytes", 559 * MIB),
    "DCGM_FI_DEV_GPU_UTIL": (41, "utilization", 0.41),
    "DCGM_FI_DEV_MEM_COPY_UTIL": (20, "memory_utilization", 0.2),
    "DCGM_FI_DEV_POWER_USAGE": (412.5, "power_watts", 412.5),
    "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": (1500, "energy_joules", 1.5),
    "DCGM_FI_DEV_GPU_TEMP": (50, "temperature_celsius", 50.0),
    "DCGM_FI_DEV_MEMORY_TEMP": (60, "memory_temperature_celsius", 60.0),
    "DCGM_FI_DEV_SM_CLOCK": (1980, "sm_clock_hertz", 1980e6),
    "DCGM_FI_DEV_MEM_CLOCK": (2619, "memory_clock_hertz", 2619e6),
    "DCGM_FI_PROF_SM_ACTIVE": (0.5, "sm_utilization", 0.5),
    "DCGM_FI_PROF_SM_OCCUPANCY": (0.25, "sm_occupancy", 0.25),
    "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE": (0.125, "tensor_utilization", 0.125),
    "DCGM_FI_PROF_DRAM_ACTIVE": (0.75, "dram_utilization", 0.75),
    "DCGM_FI_PROF_PCIE_TX_BYTES": (1e6, "pcie_sent_bytes_per_second", 1e6),
    "DCGM_FI_PROF_PCIE_RX_BYTES": (2e6, "pcie_received_bytes_per_second", 2e6),
    "DCGM_FI_DEV_PCIE_REPLAY_COUNTER": (3, "pcie_replays", 3),
    "DCGM_FI_DEV_ECC_SBE_VOL_TOTAL": (4, "ecc_corrected", 4),
    "DCGM_FI_DEV_ECC_DBE_VOL_TOTAL": (5, "ecc_uncorrected", 5),
    "DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS": (6, "rows_remapped_corrected", 6),
    "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS": (7, "rows_remapped_uncorrected", 7),
    "DCGM_FI_DEV_ROW_REMAP_FAILURE": (1, "row_remap_failed", True),
    "DCGM_FI_DEV_GET_GPU_RECOVERY_ACTION": (2, "recovery_action", 2),
}


@pytest.mark.parametrize("name", OLD)
def test_old_names_and_units(name):
    value, figure, expected = OLD[name]

    assert getattr(one(series(name, value)), figure) == pytest.approx(expected)


def test_renamed_metric_is_read_as_the_old_one():
    pairs = {
        "DCGM_FI_DEV_POWER_USAGE": "DCGM_FI_DEV_BOARD_POWER_WATTS",
        "DCGM_FI_DEV_GPU_TEMP": "DCGM_FI_DEV_GPU_TEMP_CELSIUS",
        "DCGM_FI_DEV_MEMORY_TEMP": "DCGM_FI_DEV_MEMORY_TEMP_CELSIUS",
        "DCGM_FI_DEV_PCIE_REPLAY_COUNTER": "DCGM_FI_DEV_PCIE_REPLAY_TOTAL",
        "DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS": "DCGM_FI_DEV_ROW_REMAP_UNCORRECTABLE_TOTAL",
        "DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS": "DCGM_FI_DEV_ROW_REMAP_CORRECTABLE_TOTAL",
        "DCGM_FI_DEV_ROW_REMAP_FAILURE": "DCGM_FI_DEV_ROW_REMAP_FAILED",
        "DCGM_FI_PROF_SM_ACTIVE": "DCGM_FI_PROF_SM_UTIL_RATIO",
        "DCGM_FI_PROF_SM_OCCUPANCY": "DCGM_FI_PROF_SM_OCCUPANCY_RATIO",
        "DCGM_FI_PROF_PIPE_TENSOR_ACTIVE": "DCGM_FI_PROF_TENSOR_UTIL_RATIO",
        "DCGM_FI_PROF_DRAM_ACTIVE": "DCGM_FI_PROF_DRAM_UTIL_RATIO",
        "DCGM_FI_DEV_GET_GPU_RECOVERY_ACTION": "DCGM_FI_DEV_GPU_RECOVERY_ACTION",
    }
    for old, new in pairs.items():
        value, figure, _ = OLD[old]
        assert getattr(one(series(new, value)), figure) == getattr(one(series(old, value)), figure), new


# The exporter's etc/default-counters.csv, without what the agent leaves out: encoder, decoder, vGPU licence, NVLink
# bandwidth and the graphics engine.
DEFAULT = """
    DEV_SM_CLOCK DEV_MEM_CLOCK DEV_MEMORY_TEMP DEV_GPU_TEMP DEV_POWER_USAGE DEV_TOTAL_ENERGY_CONSUMPTION
    DEV_PCIE_REPLAY_COUNTER DEV_GPU_UTIL DEV_MEM_COPY_UTIL DEV_XID_ERRORS DEV_FB_FREE DEV_FB_USED DEV_FB_RESERVED
    DEV_UNCORRECTABLE_REMAPPED_ROWS DEV_CORRECTABLE_REMAPPED_ROWS DEV_ROW_REMAP_FAILURE PROF_PIPE_TENSOR_ACTIVE
    PROF_DRAM_ACTIVE PROF_PCIE_TX_BYTES PROF_PCIE_RX_BYTES
"""


def test_what_the_exporter_shows_by_default_is_known():
    assert {f"DCGM_FI_{name}" for name in DEFAULT.split()} <= set(NAMES) | LAST_XID


def test_every_name_of_the_table_fills_a_figure():
    for name, known in NAMES.items():
        assert known.figure in FIGURES
        assert getattr(one(series(name, 1)), known.figure) is not None, name


@pytest.mark.parametrize(
    ("help_line", "value", "expected"),
    [
        ("# HELP DCGM_FI_DEV_GPU_UTIL_RATIO GPU utilization (in %).", 1, 0.01),
        ("# HELP DCGM_FI_DEV_GPU_UTIL_RATIO GPU utilization (in %).", 41, 0.41),
        ("# HELP DCGM_FI_DEV_GPU_UTIL_RATIO GPU utilization.", 0.41, 0.41),
        ("", 1, 1.0),
        ("", 100, 1.0),
    ],
)
def test_name_that_changed_its_unit_between_versions_is_read_by_its_help_and_its_value(help_line, value, expected):
    assert one(help_line, series("DCGM_FI_DEV_GPU_UTIL_RATIO", value)).utilization == pytest.approx(expected)


def test_total_memory_is_the_sum_of_its_parts():
    rows = [series(name, OLD[name][0]) for name in OLD if "_FB_" in name]

    assert one(*rows).memory_total_bytes == 81559 * MIB


def test_counters_of_links_are_added_up_and_a_second_name_is_not():
    rows = [
        series("DCGM_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL", 2),
        series("DCGM_FI_DEV_NVLINK_CRC_FLIT_ERROR_TOTAL", 2),
        series("DCGM_FI_DEV_NVLINK_REPLAY_ERROR_TOTAL", 3),
    ]
    assert one(*rows).nvlink_errors == 5


def test_identity_comes_from_the_labels():
    sample = one(series("DCGM_FI_DEV_GPU_UTIL", 1, gpu=3, uuid="GPU-x"))

    assert (sample.index, sample.uuid, sample.name) == (3, "GPU-x", "NVIDIA H100 80GB HBM3")
    assert (sample.pci_bus_id, sample.taken, sample.kind) == ("00000000:1B:00.0", 5.0, "gpu")
    assert read(series("DCGM_FI_DEV_GPU_UTIL", 1)).driver == "580.65.06"


def test_only_this_pods_devices_are_read():
    rows = [
        series("DCGM_FI_DEV_GPU_UTIL", 1, uuid="GPU-ours"),
        series("DCGM_FI_DEV_GPU_UTIL", 2, uuid="GPU-theirs", pod="phone-1"),
        series("DCGM_FI_DEV_GPU_UTIL", 3, uuid="GPU-other-namespace", namespace="test"),
        series("DCGM_FI_DEV_GPU_UTIL", 4, uuid="GPU-idle", pod=""),
    ]
    assert [sample.uuid for sample in read(*rows).samples] == ["GPU-ours"]
    assert len(read(*rows, pod=Pod()).samples) == 4


@pytest.mark.parametrize(
    "labels",
    [
        {"pod": "exporter-1", "namespace": "gpu", "exported_pod": "phone-0", "exported_namespace": "serving"},
        {"pod": "", "namespace": "", "pod_name": "phone-0", "pod_namespace": "serving"},
    ],
)
def test_pod_is_found_under_its_other_labels(labels):
    assert read(series("DCGM_FI_DEV_GPU_UTIL", 1, **labels)).samples


def test_exporters_own_pod_is_not_taken_for_ours():
    labels = {"pod": "phone-0", "namespace": "serving", "exported_pod": "theirs", "exported_namespace": "x"}
    assert read(series("DCGM_FI_DEV_GPU_UTIL", 1, **labels)).samples == []


def test_mig_devices_are_told_apart_by_claim_or_instance():
    rows = [
        series("DCGM_FI_DEV_FB_USED", 1, GPU_I_PROFILE="1g.10gb", GPU_I_ID="7"),
        series("DCGM_FI_DEV_FB_USED", 2, GPU_I_PROFILE="2g.20gb", GPU_I_ID="3", dra_mig_device_uuid="MIG-x"),
    ]
    first, second = read(*rows).samples

    assert (first.uuid, first.mig_profile, first.parent_uuid, first.kind) == ("GPU-a/7", "1g.10gb", "GPU-a", "mig")
    assert (second.uuid, second.memory_used_bytes) == ("MIG-x", 2 * MIB)


def test_labels_with_quotes_braces_and_commas_are_read():
    row = series("DCGM_FI_DEV_GPU_UTIL", 1, modelName='a\\"b}c,d=\\"e\\\\')

    assert one(row).name == 'a"b}c,d="e\\'


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-1", "9223372036854775794", "0x1", "", "forty"])
def test_value_that_no_gpu_has_costs_only_itself(value):
    scrape = read(series("DCGM_FI_DEV_FB_USED", value), series("DCGM_FI_DEV_GPU_TEMP", 50))

    assert scrape.invalid == 1
    assert (scrape.samples[0].memory_used_bytes, scrape.samples[0].temperature_celsius) == (None, 50.0)


def test_figures_that_contradict_each_other_are_no_sample():
    scrape = read(series("DCGM_FI_DEV_GPU_UTIL", 250))

    assert (scrape.samples, scrape.invalid) == ([], 1)


@pytest.mark.parametrize(
    "row",
    [
        "DCGM_FI_DEV_GPU_UTIL",
        "DCGM_FI_DEV_GPU_UTIL{",
        'DCGM_FI_DEV_GPU_UTIL{gpu="0} 1',
        'DCGM_FI_DEV_GPU_UTIL{gpu="0"}',
        "DCGM_FI_DEV_GPU_UTIL 5",
        "\x00\xff{}",
        '{"json": 1}',
    ],
)
def test_malformed_lines_are_counted_and_the_rest_is_read(row):
    scrape = read(row, series("DCGM_FI_DEV_GPU_UTIL", 1))

    assert len(scrape.samples) == 1
    assert scrape.invalid + scrape.series >= 2


def test_devices_are_bounded():
    rows = (series("DCGM_FI_DEV_GPU_UTIL", 1, uuid=f"GPU-{number}") for number in range(1000))

    assert len(read(*rows).samples) == 128


# ---- the exporter


class Exporter:
    """A server that answers every connection with what it is told to: bytes, chunks with pauses, or nothing."""

    def __init__(self):
        self.body = b""
        self.status = b"200 OK"
        self.raw = None
        self.pause = 0.0
        self.requests = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/metrics"
        threading.Thread(target=self._serve, daemon=True).start()

    def show(self, *rows):
        self.body = "\n".join(rows).encode() + b"\n"

    def _serve(self):
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                self.requests.append(connection.recv(4096))
                try:
                    self._answer(connection)
                except OSError:
                    continue

    def _answer(self, connection):
        head = b"HTTP/1.1 %b\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n" % self.status
        if self.raw is not None:
            connection.sendall(self.raw)
        elif self.pause:
            connection.sendall(head)
            for byte in self.body:
                connection.sendall(bytes([byte]))
                time.sleep(self.pause)
        else:
            connection.sendall(head)
            connection.sendall(self.body)

    def close(self):
        self._socket.close()


@pytest.fixture
def exporter():
    made = Exporter()
    made.show(series("DCGM_FI_DEV_GPU_UTIL", 40), series("DCGM_FI_DEV_XID_ERRORS", 79))
    yield made
    made.close()


@pytest.fixture
def source(exporter, clock):
    return DcgmSource(exporter.url, POD, clock)


def after(source, clock, seconds=5):
    clock.now += seconds
    return source.read()


def test_exporter_is_asked_every_five_seconds_and_its_last_answer_shown_in_between(exporter, source, clock):
    readings = [after(source, clock, 1) for _ in range(20)]

    assert len(exporter.requests) == 4
    assert exporter.requests[0].startswith(b"GET /metrics HTTP/1.")
    assert {reading.samples[0].utilization for reading in readings} == {0.4}
    assert max(clock.now - reading.samples[0].taken for reading in readings[-1:]) < 5
    assert readings[-1].driver == "580.65.06"


def test_last_xid_is_news_only_when_it_changes(exporter, source, clock):
    assert source.read().xids == ()
    assert after(source, clock).xids == ()

    exporter.show(series("DCGM_FI_DEV_GPU_UTIL", 40), series("DCGM_FI_DEV_XID_ERROR", 31))
    assert [(each.uuid, each.xid) for each in after(source, clock).xids] == [("GPU-a", 31)]
    assert after(source, clock, 1).xids == ()
    assert after(source, clock, 4).xids == ()


@pytest.mark.parametrize("name", sorted(XID_COUNTS))
def test_count_of_xids_is_news_when_it_rises_and_its_window_may_pass(exporter, source, clock, name):
    def show(*counts):
        rows = [series(name, count, xid=xid) for xid, count in counts]
        exporter.show(series("DCGM_FI_DEV_GPU_UTIL", 40), series(min(LAST_XID), 0), *rows)

    show((79, 1))
    assert source.read().xids == ()
    show((79, 1), (31, 2))
    assert [each.xid for each in after(source, clock).xids] == [31]
    show((31, 1))
    assert after(source, clock).xids == ()
    show((31, 3))
    assert [each.xid for each in after(source, clock).xids] == [31]


def broken(exporter):
    """Return the ways in which an exporter can fail, with the reason that is given."""
    line = series("DCGM_FI_DEV_GPU_UTIL", 40).encode() + b"\n"
    return {
        "too_large": lambda: setattr(exporter, "body", line * (50_000_000 // len(line))),
        "too_many": lambda: setattr(exporter, "body", b"a 1\n" * 100_000),
        "long_line": lambda: setattr(exporter, "body", b"x" * 1_000_000),
        "no_http": lambda: setattr(exporter, "raw", b"\x16\x03\x01 hello\r\n\r\n"),
        "cut_off": lambda: setattr(exporter, "raw", b""),
        "error": lambda: setattr(exporter, "status", b"503 no"),
        "empty": lambda: setattr(exporter, "body", b""),
        "other_pods": lambda: exporter.show(series("DCGM_FI_DEV_GPU_UTIL", 1, pod="theirs")),
    }


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ("too_large", "too_large"),
        ("too_many", "too_large"),
        ("long_line", "malformed"),
        ("no_http", "malformed"),
        ("cut_off", "malformed"),
        ("error", "http"),
        ("empty", "no_series"),
        ("other_pods", "no_series_of_this_pod"),
    ],
)
def test_exporter_that_fails_is_said_to_be_down_and_is_back_within_15_seconds(exporter, source, clock, case, reason):
    assert source.read().down == ""
    body = exporter.body
    broken(exporter)[case]()

    readings = [after(source, clock, 1) for _ in range(60)]

    assert {reading.down for reading in readings[5:]} == {reason}
    assert {error for reading in readings for error in reading.errors} == {reason}
    assert len(exporter.requests) < 16
    exporter.body, exporter.raw, exporter.status = body, None, b"200 OK"
    readings = [after(source, clock, 1) for _ in range(15)]
    assert (readings[-1].down, len(readings[-1].samples)) == ("", 1)


def test_exporter_that_is_not_there_is_refused(clock):
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}/metrics"

    reading = DcgmSource(url, POD, clock).read()
    assert (reading.down, reading.errors, reading.samples) == ("refused", ("refused",), ())


def test_exporter_that_drips_is_given_up_after_three_seconds(exporter):
    exporter.pause = 0.02
    source = DcgmSource(exporter.url, POD, time.monotonic)
    began = time.monotonic()

    assert source.read().down == "timeout"
    assert time.monotonic() - began < 4


def test_answer_of_50_megabytes_costs_no_memory(exporter, source):
    row = series("DCGM_FI_DEV_GPU_UTIL", 40).encode() + b"\n"
    exporter.body = row * (50_000_000 // len(row))
    tracemalloc.start()
    try:
        assert source.read().down == "too_large"
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 1_000_000
    assert MOST_BYTES < 50_000_000
