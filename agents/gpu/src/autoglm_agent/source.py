"""Chooses where the GPU figures come from."""

import importlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from autoglm_agent.device import Reading, Source, SourceName
from autoglm_agent.recording import RecordingError

#: What `--source` takes.
CHOICES: Final = ("auto", "nvml", "dcgm", "replay")
#: How often `auto` looks again while there is no GPU: a driver or an exporter may come later.
_LOOK_SECONDS: Final = 10.0
#: Environment: address of the node, name and namespace of the pod (the downward API), and NVIDIA's list of devices.
NODE_VARIABLE: Final = "NODE_IP"
POD_VARIABLE: Final = "POD_NAME"
NAMESPACE_VARIABLE: Final = "POD_NAMESPACE"
DEVICES_VARIABLE: Final = "NVIDIA_VISIBLE_DEVICES"

_EXPORTER_PORT: Final = 9400

Clock = Callable[[], float]


class SourceError(ValueError):
    """A source that cannot be had: the message says which option is wrong and what was expected."""


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for.

    Attributes:
        source: one of `CHOICES`.
        gpus: devices of the pod, and those that a replay pretends; `None` if nobody said.
        dcgm_url: address of dcgm-exporter; `None` takes the node's.
        recording: what to replay; `None` takes the one that is shipped.
        scenario: faults to add to a replay.
        record: file to write what is read into.
        environment: the process's variables.
        devices: where device nodes are.
    """

    source: str
    gpus: int | None = None
    dcgm_url: str | None = None
    recording: Path | None = None
    scenario: Path | None = None
    record: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    devices: Path = Path("/dev")

    @property
    def exporter(self) -> str | None:
        """Return the address of the exporter that is to be asked; `None` if there is none."""
        node = self.environment.get(NODE_VARIABLE)
        host = f"[{node}]" if node and ":" in node else node
        return self.dcgm_url or (f"http://{host}:{_EXPORTER_PORT}/metrics" if host else None)

    @property
    def visible(self) -> str:
        """Return which devices this container sees, for people."""
        nodes = sum(1 for each in self.devices.glob("nvidia*") if re.fullmatch(r"nvidia\d+", each.name))
        listed = self.environment.get(DEVICES_VARIABLE, "")
        if not nodes:
            return "no /dev/nvidia* here" + (f", {DEVICES_VARIABLE}={listed}" if listed else "")
        # CDI edits set the variable to void, so that the NVIDIA runtime does not add devices of its own.
        by = (
            "by CDI (a DRA claim or the device plugin)" if listed in {"", "void"} else f"by {DEVICES_VARIABLE}={listed}"
        )
        return f"{nodes} of /dev/nvidia* here, {by}"

    @property
    def uuids(self) -> frozenset[str]:
        """Return the devices that the environment restricts this container to; empty if it does not name them."""
        listed = self.environment.get(DEVICES_VARIABLE, "").split(",")
        return frozenset(listed) if all(each.startswith(("GPU-", "MIG-")) for each in listed) else frozenset()


def choose(request: Request, clock: Clock) -> Source:
    """Return the source that was asked for.

    `auto` takes NVML if it shows a device and no more than the pod has, else the node's dcgm-exporter if it shows one
    of this pod's, else none. It never ends in a replay: invented figures have to be asked for.

    Args:
        request: what was asked for.
        clock: monotonic time in seconds.

    Raises:
        SourceError: the source cannot be had.
    """
    try:
        source = _chosen(request, clock)
        if request.record is None:
            return source
        from autoglm_agent.recorder import Recorder  # noqa: PLC0415  # takes memory that is seldom needed

        return Recorder(source, request.record, clock)
    except RecordingError as error:
        raise SourceError(str(error)) from error


def _chosen(request: Request, clock: Clock) -> Source:
    if request.source == "replay":
        return _replay(request, clock)
    if request.source == "nvml":
        return _nvml(request, clock, f"nvml was asked for; {request.visible}")
    if request.source == "dcgm":
        if request.exporter is None:
            raise SourceError(f"--source dcgm needs the exporter's address: set --dcgm-url or {NODE_VARIABLE}")
        return _dcgm(request, request.exporter, clock, "dcgm was asked for")
    return AutoSource(request, clock)


# The modules are imported where they are needed: each takes memory that the other sources do not need.


def _replay(request: Request, clock: Clock) -> Source:
    from autoglm_agent.recording import load  # noqa: PLC0415
    from autoglm_agent.replay import ReplaySource, shipped  # noqa: PLC0415
    from autoglm_agent.scenario import load_scenario  # noqa: PLC0415

    recording = load(request.recording) if request.recording else shipped()
    scenario = load_scenario(request.scenario) if request.scenario else None
    return ReplaySource(recording, request.gpus, clock, scenario)


def _nvml(request: Request, clock: Clock, why: str) -> Source:
    from autoglm_agent.nvml import NvmlSource  # noqa: PLC0415

    return NvmlSource(importlib.import_module("pynvml"), clock, request.uuids, why)


def _dcgm(request: Request, url: str, clock: Clock, why: str) -> Source:
    from autoglm_agent.dcgm import DcgmSource  # noqa: PLC0415
    from autoglm_agent.dcgm_text import Pod  # noqa: PLC0415

    variables = request.environment
    pod = Pod(variables.get(POD_VARIABLE, ""), variables.get(NAMESPACE_VARIABLE, ""))
    of = f"the devices of pod {pod.namespace}/{pod.name}" if pod.name else f"every device: {POD_VARIABLE} is not set"
    return DcgmSource(url, pod, clock, f"{why}; {url} shows {of}")


@dataclass(frozen=True, slots=True)
class Tried:
    """A source that `auto` has looked at, and what it found."""

    name: SourceName
    found: str


class AutoSource:
    """Takes the best source that shows a device; while none does, looks again every ten seconds.

    Args:
        request: what was asked for.
        clock: monotonic time in seconds.
    """

    def __init__(self, request: Request, clock: Clock) -> None:
        self._request = request
        self._clock = clock
        self._source: Source | None = None
        self._first: Reading | None = None
        self._look_at = clock()
        self.tried: tuple[Tried, ...] = ()
        self._look()

    @property
    def name(self) -> SourceName:
        """Where the figures come from."""
        return self._source.name if self._source else "none"

    @property
    def why(self) -> str:
        """Why it is this source, for people."""
        found = "; ".join(f"{each.name}: {each.found}" for each in self.tried)
        return f"{found} ({self._request.visible})"

    def read(self) -> Reading:
        """Return the present state of every device."""
        if self._source is None and self._clock() >= self._look_at:
            self._look()
        if self._first is not None:
            reading, self._first = self._first, None
            return reading
        return self._source.read() if self._source else Reading()

    def close(self) -> None:
        """Release what the source holds."""
        if self._source:
            self._source.close()

    def _look(self) -> None:
        """Take the first source that shows a device; its reading is the next one that is returned."""
        self._look_at = self._clock() + _LOOK_SECONDS
        tried: list[Tried] = []
        url = self._request.exporter
        makers: list[Callable[[], Source]] = [lambda: _nvml(self._request, self._clock, "auto")]
        if url is not None:
            makers.append(lambda: _dcgm(self._request, url, self._clock, "auto"))
        for make in makers:
            source = make()
            reading = source.read()
            expected = self._request.gpus
            # Which of them are this pod's is not known, and another pod's fault must not take this one down.
            too_many = source.name == "nvml" and expected and len(reading.samples) > expected
            if reading.samples and not too_many:
                self._source, self._first = source, reading
                tried.append(Tried(source.name, f"shows {len(reading.samples)} device(s)"))
                break
            source.close()
            tried.append(Tried(source.name, _nothing(reading, expected)))
        if url is None and self._source is None:
            tried.append(Tried("dcgm", f"no address: set --dcgm-url or {NODE_VARIABLE}"))
        self.tried = tuple(tried)


def _nothing(reading: Reading, expected: int | None) -> str:
    """Return why a source was not taken."""
    if reading.samples:
        return f"shows {len(reading.samples)} devices, and the pod has {expected}"
    return f"shows no device: {', '.join(sorted(set(reading.errors))) or 'its count is 0'}"


def exporter_address(url: str) -> tuple[str, str]:
    """Return address and path of an exporter's URL; port and path are dcgm-exporter's own if left out.

    Raises:
        ValueError: the URL is not `http://HOST[:PORT][/PATH]`.
    """
    expected = "expected http://HOST:PORT/metrics, such as http://10.0.0.5:9400/metrics"
    try:
        parts = urlsplit(url)
        port = parts.port or _EXPORTER_PORT
    except ValueError as error:
        raise ValueError(f"exporter URL is {url!r}: {error}; {expected}") from error
    if parts.scheme != "http" or not parts.hostname or parts.query or any(each.isspace() for each in url):
        raise ValueError(f"exporter URL is {url!r}; {expected}")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"http://{host}:{port}", parts.path if parts.path not in {"", "/"} else "/metrics"
