import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from localcluster.deviceplugin import server
from localcluster.deviceplugin.messages import PACKAGE, message


def _serialize(value):
    return value.SerializeToString()


@pytest.fixture
def kubelet(tmp_path):
    """The kubelet's side of the registration."""
    requests, arrived = [], threading.Event()

    def register(request, _context):
        requests.append(request)
        arrived.set()
        return message("Empty")()

    handler = grpc.unary_unary_rpc_method_handler(register, message("RegisterRequest").FromString, _serialize)
    listening = grpc.server(ThreadPoolExecutor())
    service = grpc.method_handlers_generic_handler(f"{PACKAGE}.Registration", {"Register": handler})
    listening.add_generic_rpc_handlers((service,))
    listening.add_insecure_port(f"unix://{tmp_path}/kubelet.sock")
    listening.start()
    yield requests, arrived
    listening.stop(grace=None).wait()


def test_registers_and_says_what_it_is(tmp_path, kubelet):
    requests, _ = kubelet
    assert server.register(tmp_path, "nvidia.com/gpu")
    assert (requests[0].version, requests[0].resource_name) == ("v1beta1", "nvidia.com/gpu")
    assert requests[0].endpoint == "fake-nvidia.com-gpu.sock"


def test_a_kubelet_that_is_not_there_is_tried_again(tmp_path):
    assert not server.register(tmp_path, "nvidia.com/gpu")


def test_a_kubelet_sees_healthy_devices_and_gets_their_names_for_containers(tmp_path, kubelet):
    _, arrived = kubelet
    threading.Thread(target=server.serve, args=("nvidia.com/gpu", 2, tmp_path), daemon=True).start()
    assert arrived.wait(10)
    with grpc.insecure_channel(f"unix://{tmp_path}/fake-nvidia.com-gpu.sock") as channel:
        path = f"/{PACKAGE}.DevicePlugin"
        watch = channel.unary_stream(f"{path}/ListAndWatch", _serialize, message("ListAndWatchResponse").FromString)
        stream = watch(message("Empty")())
        devices = next(iter(stream)).devices
        stream.cancel()
        assert [(device.ID, device.health) for device in devices] == [
            ("FAKE-GPU-0", "Healthy"),
            ("FAKE-GPU-1", "Healthy"),
        ]
        allocate = channel.unary_unary(f"{path}/Allocate", _serialize, message("AllocateResponse").FromString)
        wanted = message("ContainerAllocateRequest")(devices_ids=["FAKE-GPU-1"])
        answer = allocate(message("AllocateRequest")(container_requests=[wanted]))
        (variable,) = answer.container_responses[0].envs
        assert (variable.key, variable.value) == ("NVIDIA_VISIBLE_DEVICES", "FAKE-GPU-1")
