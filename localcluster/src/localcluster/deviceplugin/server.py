"""Serves the fake devices and registers them; registers again whenever the kubelet has started anew."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc

from localcluster.deviceplugin.messages import PACKAGE, message

_PLUGINS = Path("/var/lib/kubelet/device-plugins")
_API_VERSION = "v1beta1"
_POLL = 0.5
_CALL_TIMEOUT = 5.0


class FakeDevices:
    """Devices by number, always healthy."""

    def __init__(self, count: int) -> None:
        self.ids = [f"FAKE-GPU-{number}" for number in range(count)]

    def options(self, _request: Any, _context: Any) -> Any:
        """Ask for no call before a container starts."""
        return message("DevicePluginOptions")()

    def list_and_watch(self, _request: Any, context: Any) -> Any:
        """Tell the devices once, and keep the stream open: its end would mean that they are gone."""
        device = message("Device")
        yield message("ListAndWatchResponse")(devices=[device(ID=name, health="Healthy") for name in self.ids])
        while context.is_active():
            time.sleep(_POLL)

    def allocate(self, request: Any, _context: Any) -> Any:
        """Tell each container which devices it was given, as NVIDIA's plugin does, and give it nothing else."""
        response = message("ContainerAllocateResponse")
        entry = message("EnvironmentEntry")
        answers = [
            response(envs=[entry(key="NVIDIA_VISIBLE_DEVICES", value=",".join(container.devices_ids))])
            for container in request.container_requests
        ]
        return message("AllocateResponse")(container_responses=answers)

    def handler(self) -> grpc.GenericRpcHandler:
        """Return the service as gRPC wants it."""
        calls = {
            "GetDevicePluginOptions": _unary(self.options, "Empty"),
            "ListAndWatch": grpc.unary_stream_rpc_method_handler(
                self.list_and_watch, message("Empty").FromString, _serialize
            ),
            "Allocate": _unary(self.allocate, "AllocateRequest"),
        }
        return grpc.method_handlers_generic_handler(f"{PACKAGE}.DevicePlugin", calls)


def serve(resource: str, count: int, folder: Path = _PLUGINS) -> None:
    """Offer the devices for ever."""
    registered = None
    server = None
    while True:
        present = _identity(folder / "kubelet.sock")
        if present is not None and present != registered:
            # A kubelet that starts empties the folder, so the plugin's own socket is made anew.
            if server is not None:
                server.stop(grace=None).wait()
            server = _listen(folder / _endpoint(resource), count)
            if register(folder, resource):
                registered = present
        time.sleep(_POLL)


def register(folder: Path, resource: str) -> bool:
    """Tell the kubelet of the devices and say whether it took them."""
    request = message("RegisterRequest")(version=_API_VERSION, endpoint=_endpoint(resource), resource_name=resource)
    with grpc.insecure_channel(f"unix://{folder}/kubelet.sock") as channel:
        call = channel.unary_unary(f"/{PACKAGE}.Registration/Register", _serialize, message("Empty").FromString)
        try:
            call(request, timeout=_CALL_TIMEOUT)
        except grpc.RpcError as error:
            _log(f"not registered yet: {error}")
            return False
    _log(f"registered {resource}")
    return True


def _listen(socket: Path, count: int) -> grpc.Server:
    socket.unlink(missing_ok=True)
    server = grpc.server(ThreadPoolExecutor(max_workers=4))
    server.add_generic_rpc_handlers((FakeDevices(count).handler(),))
    server.add_insecure_port(f"unix://{socket}")
    server.start()
    return server


def _endpoint(resource: str) -> str:
    return f"fake-{resource.replace('/', '-')}.sock"


def _identity(socket: Path) -> tuple[int, int] | None:
    try:
        status = socket.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_ctime_ns


def _unary(call: Any, request: str) -> Any:
    return grpc.unary_unary_rpc_method_handler(call, message(request).FromString, _serialize)


def _serialize(value: Any) -> bytes:
    data: bytes = value.SerializeToString()
    return data


def _log(text: str) -> None:
    print(text, flush=True)  # noqa: T201  # its output is its log
