"""The messages of the kubelet's device plugin API v1beta1, as far as a plugin without real devices needs them.

They are described here and not generated, so that they fit whichever protobuf runtime is installed. Source: api.proto
of k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1. A field that is left out is skipped by whoever reads the message.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "v1beta1"
_Field = descriptor_pb2.FieldDescriptorProto
#: message → (field, number, type, whether repeated); a type that is a message is named
_MESSAGES: dict[str, list[tuple[str, int, str, bool]]] = {
    "Empty": [],
    "DevicePluginOptions": [("pre_start_required", 1, "bool", False)],
    "RegisterRequest": [
        ("version", 1, "string", False),
        ("endpoint", 2, "string", False),
        ("resource_name", 3, "string", False),
        ("options", 4, "DevicePluginOptions", False),
    ],
    "Device": [("ID", 1, "string", False), ("health", 2, "string", False)],
    "ListAndWatchResponse": [("devices", 1, "Device", True)],
    "ContainerAllocateRequest": [("devices_ids", 1, "string", True)],
    "AllocateRequest": [("container_requests", 1, "ContainerAllocateRequest", True)],
    # A map on the wire is a repeated pair of key and value.
    "EnvironmentEntry": [("key", 1, "string", False), ("value", 2, "string", False)],
    "ContainerAllocateResponse": [("envs", 1, "EnvironmentEntry", True)],
    "AllocateResponse": [("container_responses", 1, "ContainerAllocateResponse", True)],
}
_SCALARS = {"bool": _Field.TYPE_BOOL, "string": _Field.TYPE_STRING}


def _describe() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="deviceplugin.proto", package=PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind, repeated in fields:
            label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
            described = message.field.add(name=field, number=number, label=label)
            described.type = _SCALARS.get(kind, _Field.TYPE_MESSAGE)
            if kind not in _SCALARS:
                described.type_name = f".{PACKAGE}.{kind}"
    return file


_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(_describe())


def message(name: str) -> Any:
    """Return the class of a message."""
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{PACKAGE}.{name}"))
