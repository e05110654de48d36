"""History for a Prometheus: series with made-up values, sent by remote write.

The series come from two real scrapes of a program, some seconds apart. A counter goes on at the rate between the two; a
gauge swings around what it was; values differ from target to target. The samples go through Prometheus' own ingestion
into its head, as those of live targets would.
"""

import hashlib
import math
import struct
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import httpx
import numpy as np
import numpy.typing as npt
from prometheus_client.parser import text_string_to_metric_families

Labels = dict[str, str]
_BATCH_SERIES = 2000
_SLICE_SAMPLES = 60
#: One sample of a WriteRequest: field 2, 16 bytes; a double; the time as a varint of six bytes, right until 2109.
_SAMPLE_BYTES = 18
_TIMESTAMP_BYTES = 6


@dataclass(frozen=True, slots=True)
class Template:
    """One series of a scrape.

    Attributes:
        name: of the series.
        labels: that the program gives.
        value: in the first scrape.
        rate: by which it grew each second; `None` if it is a gauge.
        whole: whether it only takes whole numbers.
    """

    name: str
    labels: Labels
    value: float
    rate: float | None
    whole: bool


@dataclass(frozen=True, slots=True)
class Series:
    """One series of the fleet.

    Attributes:
        labels: encoded, as a WriteRequest wants them.
        template: what its values follow.
        phase: 0 to 1, by which it differs from others of its template.
    """

    labels: bytes
    template: Template
    phase: float


def templates(first: str, second: str, seconds: float) -> list[Template]:
    """Return the series that are in both scrapes, taken that many seconds apart."""
    before = dict(_samples(first))
    found = []
    for key, (value, growing) in _samples(second):
        if key in before and math.isfinite(value):
            start = before[key][0]
            rate = (value - start) / seconds if growing else None
            found.append(Template(key[0], dict(key[1]), start, rate, whole=value.is_integer() and start.is_integer()))
    return found


def _samples(text: str) -> Iterator[tuple[tuple[str, tuple[tuple[str, str], ...]], tuple[float, bool]]]:
    for family in text_string_to_metric_families(text):
        growing = family.type in {"counter", "histogram"}
        for sample in family.samples:
            yield (sample.name, tuple(sorted(sample.labels.items()))), (sample.value, growing)


def series(template: Template, target: Labels) -> Series:
    """Return the series of a template on one target, whose labels give way to the program's own."""
    labels = {**target, **template.labels, "__name__": template.name}
    encoded = b"".join(_field(1, _field(1, key.encode()) + _field(2, labels[key].encode())) for key in sorted(labels))
    # Of the target, not of the series: the buckets of a histogram must stay in order.
    digest = hashlib.blake2b(repr(sorted(target.items())).encode(), digest_size=4).digest()
    return Series(encoded, template, int.from_bytes(digest) / 2**32)


def write(url: str, fleet: Sequence[Series], start: float, end: float, step: float) -> int:
    """Send the fleet's samples from `start` to `end`, each `step` seconds; return how many they were.

    All series get a slice of time before any gets the next, because a head takes no sample that is much older than its
    newest.
    """
    times = np.arange(start, end, step)
    with httpx.Client(base_url=url, timeout=120) as http:
        for begin in range(0, len(times), _SLICE_SAMPLES):
            part = times[begin : begin + _SLICE_SAMPLES]
            for first in range(0, len(fleet), _BATCH_SERIES):
                _post(http, b"".join(_encoded(fleet[first : first + _BATCH_SERIES], part, start)))
    return len(fleet) * len(times)


def _encoded(group: Sequence[Series], times: npt.NDArray[np.float64], start: float) -> Iterable[bytes]:
    """Yield the time series of a WriteRequest."""
    values = np.array([_values(item, times, start) for item in group])
    records = np.empty((len(group), len(times), _SAMPLE_BYTES), dtype=np.uint8)
    records[:, :, :3] = (0x12, _SAMPLE_BYTES - 2, 0x09)
    records[:, :, 3:11] = values.astype("<f8").view(np.uint8).reshape(len(group), len(times), 8)
    records[:, :, 11] = 0x10
    milliseconds = (times * 1000).astype(np.int64)
    for place in range(_TIMESTAMP_BYTES):
        more = 0x80 if place < _TIMESTAMP_BYTES - 1 else 0
        records[:, :, 12 + place] = (milliseconds >> (7 * place)) & 0x7F | more
    for item, record in zip(group, records, strict=True):
        yield _field(1, item.labels + record.tobytes())


def _values(item: Series, times: npt.NDArray[np.float64], start: float) -> npt.NDArray[np.float64]:
    template = item.template
    if template.rate is None:
        values = template.value * (1 + 0.2 * np.sin((times - start) / 300 + 2 * math.pi * item.phase))
    else:
        values = template.value + template.rate * (0.75 + item.phase / 2) * (times - start)
    return np.floor(values) if template.whole else values


def _post(http: httpx.Client, body: bytes) -> None:
    headers = {
        "Content-Encoding": "snappy",
        "Content-Type": "application/x-protobuf",
        "X-Prometheus-Remote-Write-Version": "0.1.0",
    }
    answer = http.post("/api/v1/write", content=_snappy(body), headers=headers)
    if not answer.is_success:
        raise SystemExit(f"Prometheus refused a write: {answer.status_code} {answer.text}")


def _snappy(body: bytes) -> bytes:
    """Return the body in Snappy's format, as literals: to squeeze it would take longer than to send it to loopback."""
    parts = [_varint(len(body))]
    for begin in range(0, len(body), 2**16):
        chunk = body[begin : begin + 2**16]
        parts += [b"\xf4", struct.pack("<H", len(chunk) - 1), chunk]
    return b"".join(parts)


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 0x7F:  # noqa: PLR2004  # seven bits a byte
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*parts, number])


def scrape(url: str) -> tuple[float, str]:
    """Return when a program was scraped, and its text."""
    answer = httpx.get(url, timeout=10, headers={"Accept": "text/plain"})
    answer.raise_for_status()
    return time.monotonic(), answer.text
