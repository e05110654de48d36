import pynvml
import pytest

from autoglm_agent.nvml import NvmlReader

GIB = 1 << 30


def error(code):
    return pynvml.NVMLError(code)


@pytest.fixture
def reader(library, clock):
    return NvmlReader(library.module, clock)


def test_reads_identity_memory_and_utilization(library, device, reader, clock):
    library.devices = [device(0), device(1, memory=(0, 80 * GIB), gpu=100)]

    first, second = reader.read().samples

    assert (first.index, first.uuid, first.name) == (0, "GPU-0", "NVIDIA H100 80GB HBM3")
    assert (first.memory_used_bytes, first.memory_total_bytes) == (10 * GIB, 80 * GIB)
    assert first.utilization == 0.4
    assert first.taken == clock.now
    assert (second.index, second.memory_used_bytes, second.utilization) == (1, 0, 1.0)


def test_prefers_the_call_that_does_not_count_reserved_memory_as_used(library, device, reader):
    library.devices = [device(memory=(12 * GIB, 80 * GIB), memory_v2=(10 * GIB, 80 * GIB))]

    assert reader.read().samples[0].memory_used_bytes == 10 * GIB


@pytest.mark.parametrize("code", [pynvml.NVML_ERROR_NOT_SUPPORTED, pynvml.NVML_ERROR_FUNCTION_NOT_FOUND])
def test_old_driver_falls_back_to_the_first_memory_call_and_remembers(library, device, reader, code):
    library.devices = [device(memory_v2=error(code))]

    readings = [reader.read() for _ in range(3)]

    assert all(reading.samples[0].memory_used_bytes == 10 * GIB for reading in readings)
    assert all(not reading.errors for reading in readings)
    assert library.calls.count("memory_v2") == 1


def test_field_that_is_not_supported_is_asked_once_and_not_an_error(library, device, reader):
    library.devices = [device(gpu=error(pynvml.NVML_ERROR_NOT_SUPPORTED)), device(1)]

    readings = [reader.read() for _ in range(3)]

    assert [reading.samples[0].utilization for reading in readings] == [None] * 3
    assert [reading.samples[1].utilization for reading in readings] == [0.4] * 3
    assert all(not reading.errors for reading in readings)
    assert library.calls.count("utilization") == 1 + 3


def test_failing_utilization_does_not_cost_the_memory_figures(library, device, reader):
    library.devices = [device(gpu=error(pynvml.NVML_ERROR_UNKNOWN))]

    reading = reader.read()

    assert reading.samples[0].memory_used_bytes == 10 * GIB
    assert reading.errors == ("unknown",)


def test_mig_devices_stand_in_for_their_gpu(library, device, reader):
    slices = [
        {"uuid": f"MIG-{n}", "name": "NVIDIA H100 80GB HBM3 MIG 1g.10gb", "memory": (n, 10 * GIB), "gpu": 0}
        for n in range(2)
    ]
    for part in slices:
        part["gpu"] = error(pynvml.NVML_ERROR_NOT_SUPPORTED)
    library.devices = [device(0), device(1, parts=[slices[0], None, slices[1]])]

    samples = reader.read().samples

    assert [(sample.index, sample.uuid) for sample in samples] == [(0, "GPU-0"), (1, "MIG-0"), (1, "MIG-1")]
    assert samples[2].utilization is None


def test_gpu_without_mig_is_read_whole(library, device, reader):
    library.devices = [device(mig=error(pynvml.NVML_ERROR_NOT_SUPPORTED))]

    assert [sample.uuid for sample in reader.read().samples] == ["GPU-0"]


def test_values_no_gpu_can_have_are_errors(library, device, reader):
    library.devices = [device(memory=(90 * GIB, 80 * GIB)), device(1, memory=(-1, 80 * GIB)), device(2, gpu=101)]

    reading = reader.read()

    assert reading.samples == ()
    assert reading.errors == ("invalid_value",) * 3


def test_lost_gpu_does_not_hide_the_others_and_comes_back_within_15_seconds(library, device, reader, clock):
    library.devices = [device(0), device(1)]
    assert len(reader.read().samples) == 2

    lost = error(pynvml.NVML_ERROR_GPU_IS_LOST)
    library.devices = [lost, device(1)]
    for each in reader._devices:
        if each.index == 0:
            each.handle["memory"] = lost
    for _ in range(30):
        clock.now += 1
        reading = reader.read()
        assert [(sample.index, sample.uuid) for sample in reading.samples] == [(1, "GPU-1")]
    assert library.calls.count("init") < 10

    library.devices = [device(0), device(1)]
    found = 0
    while len(reader.read().samples) < 2:
        clock.now += 1
        found += 1
    assert found < 15
    assert library.depth == 1


def test_driver_that_comes_late_is_met_with_back_off_and_within_15_seconds(library, device, reader, clock):
    library.init = error(pynvml.NVML_ERROR_DRIVER_NOT_LOADED)
    errors = []
    for _ in range(300):
        errors += reader.read().errors
        clock.now += 1
    assert set(errors) == {"driver_not_loaded"}
    assert len(errors) <= 45

    library.init = None
    library.devices = [device()]
    clock.now += 15
    assert len(reader.read().samples) == 1


def test_driver_reload_opens_the_library_again(library, device, reader, clock):
    library.devices = [device()]
    reader.read()
    library.devices[0]["memory"] = error(pynvml.NVML_ERROR_UNINITIALIZED)
    assert reader.read().errors == ("uninitialized",)

    library.devices = [device()]
    clock.now += 1

    assert len(reader.read().samples) == 1
    assert library.calls.count("init") == 2
    assert library.depth == 1


def test_close_releases_the_library_once(library, device, reader):
    library.devices = [device()]
    reader.read()

    reader.close()
    reader.close()

    assert library.depth == 0
