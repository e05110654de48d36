"""NVML's GPU performance monitoring (GPM): what SMs, tensor pipes and memory really do, on Hopper and newer.

A figure is the difference of two samples that lie at least 100 ms apart, so the first reading has none. Two samples
are enough: the newer one of a reading is the older one of the next.
"""

from collections.abc import Callable
from math import isfinite
from typing import Any, Final

_MIB: Final = 1 << 20


def _ratio(percent: float) -> float:
    # The counters of two samples are not read at one instant, so that a full pipe may come out a little above 100.
    return min(1.0, max(0.0, percent / 100))


def _bytes(mebibytes: float) -> float:
    return mebibytes * _MIB


#: Name of the metric's id in `pynvml`, field of a sample, and the conversion.
METRICS: Final[tuple[tuple[str, str, Callable[[float], float]], ...]] = (
    ("NVML_GPM_METRIC_SM_UTIL", "sm_utilization", _ratio),
    ("NVML_GPM_METRIC_SM_OCCUPANCY", "sm_occupancy", _ratio),
    ("NVML_GPM_METRIC_ANY_TENSOR_UTIL", "tensor_utilization", _ratio),
    ("NVML_GPM_METRIC_DRAM_BW_UTIL", "dram_utilization", _ratio),
    ("NVML_GPM_METRIC_PCIE_TX_PER_SEC", "pcie_sent_bytes_per_second", _bytes),
    ("NVML_GPM_METRIC_PCIE_RX_PER_SEC", "pcie_received_bytes_per_second", _bytes),
    ("NVML_GPM_METRIC_NVLINK_TOTAL_TX_PER_SEC", "nvlink_sent_bytes_per_second", _bytes),
    ("NVML_GPM_METRIC_NVLINK_TOTAL_RX_PER_SEC", "nvlink_received_bytes_per_second", _bytes),
)


class Gpm:
    """The performance monitor of one GPU or MIG device.

    Args:
        nvml: the `pynvml` module.
        handle: NVML's handle of the whole GPU.
        instance: GPU instance id of the MIG device; `None` for the whole GPU.

    Raises:
        NVMLError: the samples cannot be had.
    """

    #: Two samples have to be this far apart (nvml.h).
    SECONDS: Final = 0.1

    def __init__(self, nvml: Any, handle: Any, instance: int | None) -> None:
        self._nvml = nvml
        self._handle = handle
        self._instance = instance
        self._free = [nvml.nvmlGpmSampleAlloc(), nvml.nvmlGpmSampleAlloc()]
        self._last: Any = None
        self._question = nvml.c_nvmlGpmMetricsGet_t()
        self._question.version = nvml.NVML_GPM_METRICS_GET_VERSION
        self._question.numMetrics = len(METRICS)
        for position, (constant, _, _) in enumerate(METRICS):
            self._question.metrics[position].metricId = getattr(nvml, constant)

    @classmethod
    def of(cls, nvml: Any, handle: Any, instance: int | None = None) -> "Gpm | None":
        """Return the monitor of a device; `None` where there is none."""
        try:
            supported = nvml.nvmlGpmQueryDeviceSupport(handle).isSupportedDevice
            return cls(nvml, handle, instance) if supported else None
        except nvml.NVMLError:
            return None

    def read(self) -> dict[str, float]:
        """Return the figures since the last reading; none at the first.

        Raises:
            NVMLError: the device does not answer.
        """
        last, self._last = self._last, None
        sample = self._free.pop()
        try:
            if self._instance is None:
                self._nvml.nvmlGpmSampleGet(self._handle, sample)
            else:
                self._nvml.nvmlGpmMigSampleGet(self._handle, self._instance, sample)
        except self._nvml.NVMLError:
            self._free = [each for each in (*self._free, last, sample) if each is not None]
            raise
        self._last = sample
        if last is None:
            return {}
        self._free.append(last)
        self._question.sample1, self._question.sample2 = last, sample
        self._nvml.nvmlGpmMetricsGet(self._question)
        return self._figures()

    def close(self) -> None:
        """Free the samples.

        Raises:
            NVMLError: the library is gone, and the samples with it.
        """
        samples = [each for each in (*self._free, self._last) if each is not None]
        self._free, self._last = [], None
        for sample in samples:
            self._nvml.nvmlGpmSampleFree(sample)

    def _figures(self) -> dict[str, float]:
        figures = {}
        for position, (_, field, convert) in enumerate(METRICS):
            metric = self._question.metrics[position]
            if metric.nvmlReturn == self._nvml.NVML_SUCCESS and isfinite(metric.value):
                figures[field] = convert(metric.value)
        return figures
