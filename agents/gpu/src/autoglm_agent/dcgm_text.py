"""Reads what dcgm-exporter answers, line by line: pure, and never trusting the text to be well-formed."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Final

from autoglm_agent.dcgm_names import (
    AMBIGUOUS,
    DRIVER_LABELS,
    LAST_XID,
    NAMES,
    NAMESPACE_LABELS,
    POD_LABELS,
    SUMS,
    XID_COUNTS,
    Name,
)
from autoglm_agent.device import RATIOS, GpuSample
from autoglm_agent.recording import typed

#: DCGM's blank values begin here (0x7ffffffffffffff0); nothing that a GPU counts comes near.
_BLANK: Final = 9.2e18
#: What is read, by its name in the text: a figure, or the name itself for XIDs.
_NUMBERS: Final[Mapping[bytes, Name | str]] = {
    name.encode(): NAMES.get(name, name) for name in (*NAMES, *LAST_XID, *XID_COUNTS)
}
#: A node has 16 GPUs of seven MIG devices at the most.
_MOST_DEVICES: Final = 128


@dataclass(frozen=True, slots=True)
class Pod:
    """The pod whose devices are wanted; an empty name takes every device."""

    name: str = ""
    namespace: str = ""

    def owns(self, labels: Mapping[str, str]) -> bool:
        """Return whether a series is this pod's."""
        if not self.name:
            return True
        pod, namespace = (_first(labels, names) for names in (POD_LABELS, NAMESPACE_LABELS))
        # A Prometheus in between calls the exporter's own pod `pod` and ours `exported_pod`.
        if "exported_pod" in labels:
            pod, namespace = labels["exported_pod"], labels.get("exported_namespace", "")
        return pod == self.name and namespace == self.namespace


@dataclass(slots=True)
class _Device:
    labels: Mapping[str, str]
    values: dict[str, tuple[str, float]] = field(default_factory=dict)


@dataclass(slots=True)
class Scrape:
    """What one answer of the exporter held.

    Attributes:
        samples: this pod's devices.
        last_xids: the last XID of each device, by UUID.
        xid_counts: XIDs of each device, by metric, UUID and number.
        series: series of the exporter's, of any pod.
        invalid: values that no GPU can have, and lines that are no series.
        driver: version of the driver.
    """

    samples: list[GpuSample] = field(default_factory=list)
    last_xids: dict[str, int] = field(default_factory=dict)
    xid_counts: dict[tuple[str, str, int], float] = field(default_factory=dict)
    series: int = 0
    invalid: int = 0
    driver: str = ""


def parse(lines: Iterable[bytes], pod: Pod, taken: float) -> Scrape:
    """Return what the exporter's answer says of a pod's devices; the time of the samples is `taken`."""
    scrape = Scrape()
    found = _Found()
    is_percent = False
    for raw in lines:
        if raw.startswith(b"#"):
            is_percent = is_percent or (raw.startswith(_AMBIGUOUS_HELP) and b"%" in raw)
        elif raw.startswith(b"DCGM_"):
            _take(raw, pod, scrape, found, is_percent=is_percent)
        elif raw.strip() and not raw[:1].isalpha():
            scrape.invalid += 1
    for uuid, device in found.devices.items():
        try:
            scrape.samples.append(_sample(uuid, device, taken))
        except ValueError:
            scrape.invalid += 1
    scrape.samples.sort(key=lambda sample: (sample.index, sample.uuid))
    return scrape


_MOST_LABELS: Final = 1024
_AMBIGUOUS: Final = AMBIGUOUS.encode()
_AMBIGUOUS_HELP: Final = b"# HELP " + _AMBIGUOUS
# A quote in a label's value is escaped.
_LABELS: Final = re.compile(r'\s*+(?:\w++\s*+=\s*+"(?:[^"\\]++|\\.)*+"\s*+,?\s*+)*+')
_LABEL: Final = re.compile(r'(\w+)\s*=\s*"((?:[^"\\]++|\\.)*+)"')


class _Found:
    """The devices of one answer; the series of one device have the same labels, which are read once."""

    def __init__(self) -> None:
        self.devices: dict[str, _Device] = {}
        self._labels: dict[str, Mapping[str, str]] = {}

    def labels(self, text: str) -> Mapping[str, str]:
        """Return the labels between the braces; none if they are no labels."""
        if text not in self._labels:
            if len(self._labels) >= _MOST_LABELS:
                self._labels.clear()
            pairs = _LABEL.findall(text) if _LABELS.fullmatch(text) else ()
            self._labels[text] = {key: _unescaped(value) for key, value in pairs}
        return self._labels[text]

    def add(self, uuid: str, labels: Mapping[str, str]) -> bool:
        """Make room for a device; return whether there is."""
        if uuid not in self.devices:
            if len(self.devices) >= _MOST_DEVICES:
                return False
            self.devices[uuid] = _Device(labels)
        return True


def _take(raw: bytes, pod: Pod, scrape: Scrape, found: _Found, *, is_percent: bool) -> None:
    scrape.series += 1
    # Most series are another pod's; a pod's name needs no escapes.
    if pod.name.encode() not in raw:
        return
    head, _, text = raw.rpartition(b"}")
    name, _, inside = head.partition(b"{")
    known = _NUMBERS.get(name)
    if known is None:
        return
    labels = found.labels(inside.decode("utf-8", "replace"))
    value = _number(text)
    uuid = _uuid(labels)
    if uuid and not pod.owns(labels):
        return
    if value is None or not uuid or not found.add(uuid, labels):
        scrape.invalid += 1
        return
    scrape.driver = scrape.driver or _first(labels, DRIVER_LABELS)
    if isinstance(known, Name):
        percent = name == _AMBIGUOUS and (is_percent or value > 1)
        found.devices[uuid].values[known.key] = (known.figure, value * (0.01 if percent else known.unit))
    elif known in LAST_XID:
        scrape.last_xids[uuid] = int(value)
    elif labels.get("xid", "").isdigit():
        scrape.xid_counts[known, uuid, int(labels["xid"])] = value


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    return re.sub(r"\\(.)", lambda found: "\n" if found[1] == "n" else found[1], text)


def _number(text: bytes) -> float | None:
    """Return the value in what follows the labels, which may have a time; `None` if no GPU can have it."""
    try:
        value = float(text.split()[0])
    except (ValueError, IndexError):
        return None
    return value if isfinite(value) and 0 <= value < _BLANK else None


def _first(labels: Mapping[str, str], names: Iterable[str]) -> str:
    return next((labels[name] for name in names if labels.get(name)), "")


def _uuid(labels: Mapping[str, str]) -> str:
    """Return the UUID of the device; the exporter knows that of a MIG device only from its claim."""
    gpu = labels.get("UUID", "")
    if not labels.get("GPU_I_ID"):
        return gpu
    return labels.get("dra_mig_device_uuid") or f"{gpu}/{labels['GPU_I_ID']}"


def _sample(uuid: str, device: _Device, taken: float) -> GpuSample:
    labels = device.labels
    sums: dict[str, float] = {}
    for figure, value in device.values.values():
        sums[figure] = sums.get(figure, 0.0) + value if figure in SUMS else value
    figures: dict[str, Any] = {figure: typed(figure, value) for figure, value in sums.items()}
    for name in RATIOS:
        # Averages of several counters, which may come out a little above all of them.
        if name in figures and 1.0 < figures[name] <= _TOLERANCE:
            figures[name] = 1.0
    parts = [figures.get(f"memory_{part}_bytes") for part in ("used", "free", "reserved")]
    if "memory_total_bytes" not in figures and parts[0] is not None and parts[1] is not None:
        figures["memory_total_bytes"] = sum(part or 0 for part in parts)
    is_mig = bool(labels.get("GPU_I_ID"))
    index = labels.get("gpu", "")
    return GpuSample(
        index=int(index) if index.isdigit() else 0,
        uuid=uuid,
        name=labels.get("modelName", "") or "GPU",
        kind="mig" if is_mig else "gpu",
        parent_uuid=labels.get("UUID", "") if is_mig else "",
        mig_profile=labels.get("GPU_I_PROFILE", "") if is_mig else "",
        pci_bus_id=labels.get("pci_bus_id", ""),
        taken=taken,
        **{**_UNTOLD, **figures},
    )


_TOLERANCE: Final = 1.05
_UNTOLD: Final[Mapping[str, Any]] = dict.fromkeys(("memory_used_bytes", "memory_total_bytes", "utilization"))
