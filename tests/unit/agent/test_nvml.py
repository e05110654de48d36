import dataclasses

import pynvml
import pytest

from autoglm_agent.device import FIGURES, ClockEvent, GpuProcess
from autoglm_agent.nvml import NvmlSource
from autoglm_agent.nvml_calls import FIELDS

GIB = 1 << 30
EVERY = -1
NOT_SUPPORTED = pynvml.NVML_ERROR_NOT_SUPPORTED


@pytest.fixture
def source(nvml, clock):
    made = NvmlSource(pynvml, clock)
    yield made
    made.close()


def field(name):
    return f"field:{getattr(pynvml, name)}"


def passes(source, clock, seconds):
    """Read once a second; return the readings."""
    readings = []
    for _ in range(seconds):
        readings.append(source.read())
        clock.now += 1
    return readings


def support_everything(nvml):
    for number, each in enumerate(FIELDS):
        nvml.set(f"field:{getattr(pynvml, each.constant)}", 1000 * (number + 1), EVERY)
    nvml.set("gpm", 1, EVERY)
    for metric in (2, 3, 5, 10, 20, 21, 60, 61):
        nvml.set(f"gpm:{metric}", 1000 * metric, EVERY)


def test_reads_every_figure_in_the_units_of_a_sample(nvml, source, clock):
    nvml.gpus(1)
    support_everything(nvml)
    nvml.set("clock_events", int(ClockEvent.SW_POWER_CAP))
    nvml.set("processes", 2)

    source.read()
    clock.now += 1
    sample = source.read().samples[0]

    assert {name for name in FIGURES if getattr(sample, name) is None} == set()
    assert sample.taken == clock.now
    expected = {
        "index": 0,
        "uuid": "GPU-0",
        "name": "NVIDIA H100 80GB HBM3",
        "kind": "gpu",
        "pci_bus_id": "00000000:1B:00.0",
        "memory_used_bytes": 10 * GIB,
        "memory_total_bytes": 80 * GIB,
        "memory_reserved_bytes": GIB,
        "memory_free_bytes": 69 * GIB,
        "utilization": 0.4,
        "memory_utilization": 0.2,
        "power_limit_watts": 700.0,
        "temperature_celsius": 50.0,
        "sm_clock_hertz": 1980e6,
        "memory_clock_hertz": 2619e6,
        "clock_events": 4,
        "memory_temperature_celsius": 1000.0,
        "energy_joules": 2.0,
        "power_watts": 3.0,
        "ecc_corrected": 4000,
        "ecc_uncorrected": 5000,
        "rows_remapped_corrected": 6000,
        "rows_remapped_uncorrected": 7000,
        "row_remap_pending": True,
        "row_remap_failed": True,
        "pcie_replays": 10000,
        "pcie_sent_bytes": 11000,
        "pcie_received_bytes": 12000,
        "nvlink_sent_bytes": 13000 * 1024,
        "nvlink_received_bytes": 14000 * 1024,
        "nvlink_errors": 15000 + 16000 + 17000 + 18000,
        "recovery_action": 19000,
        "pcie_generation": 5,
        "pcie_generation_max": 5,
        "pcie_width": 16,
        "pcie_width_max": 16,
        "sm_utilization": 0.02,
        "sm_occupancy": 0.03,
        "tensor_utilization": 0.05,
        "dram_utilization": 0.1,
        "pcie_sent_bytes_per_second": 20 * 1024**2,
        "pcie_received_bytes_per_second": 21 * 1024**2,
        "nvlink_received_bytes_per_second": 60 * 1024**2,
        "nvlink_sent_bytes_per_second": 61 * 1024**2,
        "processes": (GpuProcess(1000, 5), GpuProcess(1001, 5)),
    }
    assert {key: value for key, value in dataclasses.asdict(sample).items() if key in expected} == {
        **expected,
        "processes": ({"pid": 1000, "memory_bytes": 5}, {"pid": 1001, "memory_bytes": 5}),
    }


def test_fields_of_a_gpu_are_fetched_in_one_call_and_those_of_links_for_all_links(nvml, source, clock):
    nvml.gpus(1)
    support_everything(nvml)

    readings = passes(source, clock, 10)

    assert nvml.calls("nvmlDeviceGetFieldValues") == 10
    assert nvml.calls(field("NVML_FI_DEV_GET_GPU_RECOVERY_ACTION")) == 10
    assert nvml.calls("nvmlDeviceGetPowerUsage") == 0
    # A counter is not asked for each second, and keeps its value in between.
    assert nvml.calls(field("NVML_FI_DEV_PCIE_COUNT_TX_BYTES")) == 2
    assert {reading.samples[0].pcie_sent_bytes for reading in readings} == {11000}
    assert nvml.seen(f"field_scope:{pynvml.NVML_FI_DEV_NVLINK_THROUGHPUT_DATA_TX}") == 0xFFFFFFFF
    assert nvml.seen(f"field_scope:{pynvml.NVML_FI_DEV_MEMORY_TEMP}") == 0
    assert source.read().driver == "580.65.06"


@pytest.mark.parametrize("kind", [0, 1, 3])
def test_value_of_a_field_is_read_in_the_type_that_the_driver_says(nvml, source, kind):
    nvml.gpus(1)
    number = pynvml.NVML_FI_DEV_MEMORY_TEMP
    nvml.set(f"field:{number}", 71)
    nvml.set(f"field_type:{number}", kind)

    assert source.read().samples[0].memory_temperature_celsius == 71.0


def test_what_is_not_supported_is_asked_once_and_is_no_error(nvml, source, clock):
    nvml.gpus(2)
    nvml.set(field("NVML_FI_DEV_GET_GPU_RECOVERY_ACTION"), 0, EVERY)
    refused = [
        "nvmlDeviceGetUtilizationRates",
        "nvmlDeviceGetClockInfo",
        "nvmlDeviceGetTemperatureV",
        "nvmlDeviceGetTemperature",
        "nvmlDeviceGetComputeRunningProcesses_v3",
    ]
    for function in refused:
        nvml.fail(function, NOT_SUPPORTED, device=0)

    readings = passes(source, clock, 25)

    assert all(reading.errors == () for reading in readings)
    assert [nvml.calls(function, 0) for function in refused] == [1] * len(refused)
    assert nvml.calls("nvmlDeviceGetUtilizationRates", 1) == 25
    assert nvml.calls(field("NVML_FI_DEV_MEMORY_TEMP"), 0) == 1
    assert nvml.calls(field("NVML_FI_DEV_GET_GPU_RECOVERY_ACTION"), 0) == 25
    first, second = readings[-1].samples
    assert (first.utilization, first.temperature_celsius, first.recovery_action) == (None, None, 0)
    assert (second.utilization, second.temperature_celsius) == (0.4, 50.0)


@pytest.mark.parametrize("code", [NOT_SUPPORTED, pynvml.NVML_ERROR_FUNCTION_NOT_FOUND])
def test_old_driver_is_asked_by_the_older_calls(nvml, source, clock, code):
    nvml.gpus(1)
    for function in ("MemoryInfo_v2", "TemperatureV", "CurrentClocksEventReasons"):
        nvml.fail(f"nvmlDeviceGet{function}", code)
    nvml.set("clock_events", 1)

    sample = passes(source, clock, 3)[-1].samples[0]

    assert sample.memory_used_bytes == 11 * GIB
    assert (sample.temperature_celsius, sample.clock_events, sample.power_watts) == (50.0, 1, 300.0)
    assert nvml.calls("nvmlDeviceGetMemoryInfo_v2") == 1


def test_failing_call_costs_neither_the_other_figures_nor_a_call_each_second(nvml, source, clock):
    nvml.gpus(1)
    nvml.fail("nvmlDeviceGetUtilizationRates", pynvml.NVML_ERROR_UNKNOWN)

    readings = passes(source, clock, 10)

    assert readings[0].errors == ("unknown",)
    assert all(reading.samples[0].memory_used_bytes == 10 * GIB for reading in readings)
    assert nvml.calls("nvmlDeviceGetUtilizationRates") == 1
    nvml.fail("nvmlDeviceGetUtilizationRates", 0)
    assert passes(source, clock, 2)[-1].samples[0].utilization == 0.4
    assert nvml.calls("nvmlInitWithFlags") == 1


def test_failing_field_is_left_alone_for_a_while_and_the_others_go_on(nvml, source, clock):
    nvml.gpus(1)
    number = pynvml.NVML_FI_DEV_MEMORY_TEMP
    nvml.set(f"field:{number}", 60)
    nvml.set(f"field_code:{number}", pynvml.NVML_ERROR_UNKNOWN)
    nvml.set(field("NVML_FI_DEV_POWER_INSTANT"), 300_000)

    readings = passes(source, clock, 10)

    assert {reading.samples[0].power_watts for reading in readings} == {300.0}
    assert nvml.calls(f"field:{number}") == 1
    nvml.set(f"field_code:{number}", 0)
    assert source.read().samples[0].memory_temperature_celsius == 60.0


def test_processes_are_listed_at_most_every_ten_seconds(nvml, source, clock):
    nvml.gpus(1)
    nvml.set("processes", 1)

    readings = passes(source, clock, 30)

    # NVML is asked twice for each list: for its length, and for the list.
    assert nvml.calls("nvmlDeviceGetComputeRunningProcesses_v3") == 2 * 3
    assert all(len(reading.samples[0].processes) == 1 for reading in readings)


def test_field_that_costs_much_is_asked_seldom_and_keeps_its_value(nvml, source, clock):
    nvml.gpus(1)
    dear, cheap = pynvml.NVML_FI_DEV_MEMORY_TEMP, pynvml.NVML_FI_DEV_POWER_INSTANT
    nvml.set(f"field:{dear}", 60)
    nvml.set(f"field:{cheap}", 300_000)
    nvml.set(f"field_latency:{dear}", 8000)

    readings = passes(source, clock, 16)

    assert nvml.calls(f"field:{dear}") == 2  # with 8 ms every 8 s, and not every 5 s
    assert nvml.calls(f"field:{cheap}") == 16
    assert {reading.samples[0].memory_temperature_celsius for reading in readings} == {60.0}


def test_call_that_costs_much_is_asked_seldom_but_memory_always(nvml, clock):
    nvml.gpus(1)

    class Slow:
        """pynvml, with calls that take 4 ms."""

        def __getattr__(self, name):
            if name in {"nvmlDeviceGetUtilizationRates", "nvmlDeviceGetMemoryInfo"}:
                clock.now += 0.004
            return getattr(pynvml, name)

    source = NvmlSource(Slow(), clock)
    readings = passes(source, clock, 10)
    source.close()

    assert nvml.calls("nvmlDeviceGetMemoryInfo_v2") == 10
    assert nvml.calls("nvmlDeviceGetUtilizationRates") == 3
    assert {reading.samples[0].utilization for reading in readings} == {0.4}


def test_gpm_needs_two_samples_and_survives_figures_that_are_missing_or_no_number(nvml, source, clock):
    nvml.gpus(2)
    nvml.set("gpm", 1, 0)
    nvml.set("gpm:2", 100_400)
    nvml.set("gpm:10", -1)

    first, second = passes(source, clock, 2)

    assert first.samples[0].sm_utilization is None
    assert second.samples[0].sm_utilization == 1.0
    assert second.samples[0].dram_utilization is None
    assert second.samples[0].tensor_utilization is None
    assert second.samples[1].sm_utilization is None
    assert nvml.calls("nvmlGpmSampleGet", 1) == 0


def test_gpm_that_fails_once_starts_again_with_a_new_pair_of_samples(nvml, source, clock):
    nvml.gpus(1)
    nvml.set("gpm", 1)
    nvml.set("gpm:2", 50_000)
    passes(source, clock, 3)
    nvml.fail("nvmlGpmSampleGet", pynvml.NVML_ERROR_UNKNOWN)
    assert source.read().errors == ("unknown",)
    nvml.fail("nvmlGpmSampleGet", 0)

    clock.now += 10
    readings = passes(source, clock, 2)

    assert [reading.samples[0].sm_utilization for reading in readings] == [None, 0.5]


def mig(nvml, gpu, slots):
    nvml.set("mig", 1, gpu)
    for slot in slots:
        nvml.set("exists", 1, nvml.part(gpu, slot))


def test_mig_devices_stand_in_for_their_gpu_with_its_health_and_their_own_use(nvml, source, clock):
    nvml.gpus(2)
    mig(nvml, 1, (0, 2))
    nvml.set("total", 10 * GIB, nvml.part(1, 0))
    nvml.set("used", GIB, nvml.part(1, 0))
    nvml.set("gpm", 1, 1)
    nvml.set("gpm:2", 30_000, nvml.part(1, 2))
    nvml.set(field("NVML_FI_DEV_GET_GPU_RECOVERY_ACTION"), 1, 1)
    nvml.set(field("NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION"), 5, 1)

    first, second = passes(source, clock, 2)
    whole, small, other = second.samples

    assert first.errors == second.errors == ()
    assert [(each.index, each.uuid, each.kind) for each in second.samples] == [
        (0, "GPU-0", "gpu"),
        (1, "MIG-1-0-0", "mig"),
        (1, "MIG-1-2-0", "mig"),
    ]
    assert (small.parent_uuid, small.mig_profile, whole.mig_profile) == ("GPU-1", "1g.10gb", "")
    assert (small.memory_used_bytes, small.memory_total_bytes) == (GIB, 10 * GIB)
    assert (small.utilization, other.sm_utilization, small.sm_utilization) == (None, 0.03 * 10, None)
    assert (small.recovery_action, other.recovery_action, whole.recovery_action) == (1, 1, None)
    assert (small.energy_joules, small.power_watts, small.temperature_celsius) == (None, None, 50.0)
    assert nvml.calls("nvmlDeviceGetTemperatureV", 1) == 2


@pytest.mark.parametrize("code", [NOT_SUPPORTED, pynvml.NVML_ERROR_FUNCTION_NOT_FOUND])
def test_gpu_that_knows_no_mig_is_read_whole(nvml, source, code):
    nvml.gpus(1)
    nvml.fail("nvmlDeviceGetMigMode", code)

    reading = source.read()

    assert ([sample.uuid for sample in reading.samples], reading.errors) == (["GPU-0"], ())


def test_mig_layout_that_changes_under_a_running_driver_is_seen_within_15_seconds(nvml, source, clock):
    nvml.gpus(1)
    assert [sample.uuid for sample in source.read().samples] == ["GPU-0"]

    mig(nvml, 0, (0, 1))
    seen = [sorted(sample.uuid for sample in reading.samples) for reading in passes(source, clock, 15)]
    assert seen[-1] == ["MIG-0-0-0", "MIG-0-1-0"]

    nvml.set("exists", 0, nvml.part(0, 1))
    nvml.set("uuid", 1, nvml.part(0, 0))
    seen = [[sample.uuid for sample in reading.samples] for reading in passes(source, clock, 15)]
    assert seen[-1] == ["MIG-0-0-1"]
    assert nvml.depth == 1


def test_virtual_gpu_is_named_and_tells_what_it_can(nvml, source, clock):
    nvml.gpus(1)
    nvml.set("virtualization", pynvml.NVML_GPU_VIRTUALIZATION_MODE_VGPU)
    for function in ("RegisterEvents", "GetEnforcedPowerLimit", "GetPowerUsage", "GetTemperatureV", "GetTemperature"):
        nvml.fail(f"nvmlDevice{function}", NOT_SUPPORTED)

    readings = passes(source, clock, 3)

    assert {(reading.samples[0].kind, reading.samples[0].power_watts, reading.errors) for reading in readings} == {
        ("vgpu", None, ())
    }
    assert nvml.calls("nvmlEventSetWait_v2") == 0
    assert nvml.held == 0


def test_xids_are_taken_without_waiting_and_name_the_mig_device(nvml, source, clock):
    nvml.gpus(2)
    mig(nvml, 1, (0, 2))
    source.read()

    nvml.event(0, 31)
    nvml.event(1, 94, instance=2 + 7)
    nvml.event(1, 31, instance=5 + 7)  # a MIG device of somebody else
    nvml.event(1, 79)
    nvml.event(0, 43, instance=0)
    nvml.event(0, 1, kind=1)
    reading = source.read()

    assert [(each.uuid, each.xid, each.taken) for each in reading.xids] == [
        ("GPU-0", 31, clock.now),
        ("MIG-1-2-0", 94, clock.now),
        ("GPU-1", 79, clock.now),
        ("GPU-0", 43, clock.now),
    ]
    assert source.read().xids == ()


def test_flood_of_xids_does_not_hold_up_the_samples(nvml, source):
    nvml.gpus(1)
    source.read()
    for _ in range(200):
        nvml.event(0, 31)

    assert len(source.read().xids) == 64


def test_values_no_gpu_can_have_are_errors(nvml, source):
    nvml.gpus(2)
    nvml.set("used", 90 * GIB, 0)
    nvml.set("gpu", 101, 1)

    reading = source.read()

    assert reading.samples == ()
    assert reading.errors == ("invalid_value",) * 2


def test_only_the_devices_that_the_container_was_given_are_read(nvml, clock):
    nvml.gpus(3)
    mig(nvml, 2, (0,))
    one = NvmlSource(pynvml, clock, frozenset({"GPU-1"}))
    part = NvmlSource(pynvml, clock, frozenset({"MIG-2-0-0"}))

    assert [sample.uuid for sample in one.read().samples] == ["GPU-1"]
    assert [sample.uuid for sample in part.read().samples] == ["MIG-2-0-0"]
    passes(one, clock, 30)
    assert nvml.calls("nvmlInitWithFlags") == 2
    one.close()
    part.close()


def test_lost_gpu_does_not_hide_the_others_and_comes_back_within_15_seconds(nvml, source, clock):
    nvml.gpus(2)
    assert len(source.read().samples) == 2

    for function in ("nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetHandleByIndex_v2"):
        nvml.fail(function, pynvml.NVML_ERROR_GPU_IS_LOST, device=0)
    readings = passes(source, clock, 30)
    assert {tuple(sample.uuid for sample in reading.samples) for reading in readings} == {("GPU-1",)}
    assert {error for reading in readings for error in reading.errors} == {"gpu_is_lost"}
    assert {reading.down for reading in readings} == {""}
    assert nvml.calls("nvmlInitWithFlags") < 10

    for function in ("nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetHandleByIndex_v2"):
        nvml.fail(function, 0, device=0)
    assert len(passes(source, clock, 15)[-1].samples) == 2
    assert (nvml.depth, nvml.held) == (1, 1)


def test_gpu_that_is_lost_to_a_lesser_call_is_not_asked_on(nvml, source, clock):
    nvml.gpus(1)
    source.read()
    nvml.fail("nvmlDeviceGetUtilizationRates", pynvml.NVML_ERROR_GPU_IS_LOST)
    clock.now += 1

    reading = source.read()

    assert (reading.samples, reading.errors) == ((), ("gpu_is_lost",))


def test_driver_that_comes_late_is_met_with_back_off_and_within_15_seconds(nvml, source, clock):
    nvml.gpus(1)
    nvml.fail("nvmlInitWithFlags", pynvml.NVML_ERROR_DRIVER_NOT_LOADED)

    readings = passes(source, clock, 300)

    assert {reading.down for reading in readings} == {"driver_not_loaded"}
    assert 30 <= sum(len(reading.errors) for reading in readings) <= 45
    nvml.fail("nvmlInitWithFlags", 0)
    assert len(passes(source, clock, 15)[-1].samples) == 1
    assert source.read().down == ""


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (pynvml.NVML_ERROR_UNINITIALIZED, "uninitialized"),
        (pynvml.NVML_ERROR_UNKNOWN, "unknown"),
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "lib_rm_version_mismatch"),
        (pynvml.NVML_ERROR_INVALID_ARGUMENT, "invalid_argument"),
    ],
)
def test_driver_reload_opens_the_library_again_and_asks_anew_what_is_supported(nvml, source, clock, code, name):
    nvml.gpus(1)
    nvml.fail("nvmlDeviceGetUtilizationRates", NOT_SUPPORTED)
    assert source.read().samples[0].utilization is None
    nvml.fail("nvmlDeviceGetMemoryInfo_v2", code)
    assert source.read().errors == (name,)

    nvml.fail("nvmlDeviceGetMemoryInfo_v2", 0)
    nvml.fail("nvmlDeviceGetUtilizationRates", 0)
    clock.now += 1

    assert source.read().samples[0].utilization == 0.4
    assert nvml.calls("nvmlInitWithFlags") == 2
    assert (nvml.depth, nvml.held) == (1, 1)


def test_shutdown_that_fails_because_the_driver_went_first_is_no_trouble(nvml, source, clock):
    nvml.gpus(1)
    nvml.set("gpm", 1)
    source.read()
    for function in ("nvmlShutdown", "nvmlGpmSampleFree", "nvmlEventSetFree", "nvmlDeviceGetMemoryInfo_v2"):
        nvml.fail(function, pynvml.NVML_ERROR_DRIVER_NOT_LOADED)
    source.read()
    clock.now += 2

    assert source.read().samples == ()
    for function in ("nvmlShutdown", "nvmlGpmSampleFree", "nvmlEventSetFree", "nvmlDeviceGetMemoryInfo_v2"):
        nvml.fail(function, 0)
    assert len(passes(source, clock, 15)[-1].samples) == 1


def test_machine_with_a_driver_and_no_gpu_is_well_and_notices_one_that_comes(nvml, source, clock):
    readings = passes(source, clock, 12)
    assert {(reading.samples, reading.errors, reading.down) for reading in readings} == {((), (), "")}
    assert nvml.calls("nvmlInitWithFlags") == 1

    nvml.gpus(1)
    assert len(passes(source, clock, 15)[-1].samples) == 1


def test_clock_that_jumps_ahead_costs_nothing(nvml, source, clock):
    nvml.gpus(1)
    nvml.set("gpm", 1)
    nvml.set("gpm:2", 50_000)
    source.read()
    clock.now += 1e9

    reading = source.read()

    assert (reading.errors, reading.samples[0].taken, reading.samples[0].sm_utilization) == ((), clock.now, 0.5)
    assert nvml.calls("nvmlInitWithFlags") == 1


def test_close_releases_everything_once(nvml, source):
    nvml.gpus(1)
    nvml.set("gpm", 1)
    source.read()
    assert (nvml.depth, nvml.held) == (1, 3)

    source.close()
    source.close()

    assert (nvml.depth, nvml.held) == (0, 0)
