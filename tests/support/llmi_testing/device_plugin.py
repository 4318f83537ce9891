"""A device plugin for tests: offers devices that do not exist to a node's kubelet, by its real API (v1beta1).

It runs in a pod on the node, beside grpc and protobuf only: ``device_plugin.py nvidia.com/gpu=2 amd.com/gpu=1``.
SIGUSR1 lets the first device of each resource fall off, SIGUSR2 brings it back.
"""

import re
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

FOLDER = Path("/var/lib/kubelet/device-plugins")
PACKAGE = "v1beta1"
STRING, BOOL, MESSAGE = 9, 8, 11
ONE, MANY = 1, 3
# kubelet/pkg/apis/deviceplugin/v1beta1/api.proto, as far as it is used here: name, number, label, type, type's name.
MESSAGES: dict[str, list[tuple[str, int, int, int, str]]] = {
    "Empty": [],
    "DevicePluginOptions": [("pre_start_required", 1, ONE, BOOL, "")],
    "RegisterRequest": [
        ("version", 1, ONE, STRING, ""),
        ("endpoint", 2, ONE, STRING, ""),
        ("resource_name", 3, ONE, STRING, ""),
    ],
    "Device": [("ID", 1, ONE, STRING, ""), ("health", 2, ONE, STRING, "")],
    "ListAndWatchResponse": [("devices", 1, MANY, MESSAGE, "Device")],
    "ContainerAllocateRequest": [("devices_ids", 1, MANY, STRING, "")],
    "AllocateRequest": [("container_requests", 1, MANY, MESSAGE, "ContainerAllocateRequest")],
    # A map is a list of keys and values on the wire.
    "Variable": [("key", 1, ONE, STRING, ""), ("value", 2, ONE, STRING, "")],
    "ContainerAllocateResponse": [("envs", 1, MANY, MESSAGE, "Variable")],
    "AllocateResponse": [("container_responses", 1, MANY, MESSAGE, "ContainerAllocateResponse")],
}


def _make_messages() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="device_plugin.proto", package=PACKAGE, syntax="proto3")
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, label, kind, of in fields:
            message.field.add(
                name=field, number=number, label=label, type=kind, type_name=f".{PACKAGE}.{of}" if of else None
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}")) for name in MESSAGES}


TYPES = _make_messages()


class Devices:
    """The devices of one resource, and the socket at which the kubelet asks about them."""

    def __init__(self, resource: str, count: int) -> None:
        self._resource = resource
        self._names = [f"{resource.replace('/', '-')}-{number}" for number in range(count)]
        self._healthy = True
        self._changed = threading.Condition()
        self._socket = f"llmi-test-{re.sub('[^a-z0-9]', '-', resource)}.sock"

    def serve(self) -> grpc.Server:
        """Listen, and tell the kubelet so."""
        (FOLDER / self._socket).unlink(missing_ok=True)
        server = grpc.server(ThreadPoolExecutor(4))
        handlers = {
            "GetDevicePluginOptions": _unary(lambda _: TYPES["DevicePluginOptions"](), "Empty"),
            "ListAndWatch": grpc.unary_stream_rpc_method_handler(
                self._list_and_watch, TYPES["Empty"].FromString, _to_bytes
            ),
            "Allocate": _unary(self._allocate, "AllocateRequest"),
        }
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(f"{PACKAGE}.DevicePlugin", handlers)])
        server.add_insecure_port(f"unix://{FOLDER / self._socket}")
        server.start()
        request = TYPES["RegisterRequest"](version=PACKAGE, endpoint=self._socket, resource_name=self._resource)
        with grpc.insecure_channel(f"unix://{FOLDER / 'kubelet.sock'}") as channel:
            register = channel.unary_unary(f"/{PACKAGE}.Registration/Register", _to_bytes, TYPES["Empty"].FromString)
            register(request, timeout=30, wait_for_ready=True)
        print(f"registered {len(self._names)} {self._resource}", flush=True)
        return server

    def set_first_healthy(self, *, healthy: bool) -> None:
        """Let the first device fall off, or bring it back."""
        with self._changed:
            self._healthy = healthy
            self._changed.notify_all()

    def _list_and_watch(self, _: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        while context.is_active():
            with self._changed:
                states = ["Healthy" if self._healthy else "Unhealthy", *["Healthy"] * (len(self._names) - 1)]
                devices = [
                    TYPES["Device"](ID=name, health=state) for name, state in zip(self._names, states, strict=True)
                ]
            yield TYPES["ListAndWatchResponse"](devices=devices)
            with self._changed:
                self._changed.wait()

    def _allocate(self, request: Any) -> Any:
        responses = []
        for container in request.container_requests:
            names = ",".join(container.devices_ids)
            print(f"allocated {names}", flush=True)
            variable = TYPES["Variable"](key="TEST_DEVICES", value=names)
            responses.append(TYPES["ContainerAllocateResponse"](envs=[variable]))
        return TYPES["AllocateResponse"](container_responses=responses)


def _unary(answer: Any, asked: str) -> grpc.RpcMethodHandler:
    return grpc.unary_unary_rpc_method_handler(lambda request, _: answer(request), TYPES[asked].FromString, _to_bytes)


def _to_bytes(message: Any) -> bytes:
    data: bytes = message.SerializeToString()
    return data


def main() -> None:
    """Serve until SIGTERM."""
    signals = {signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    offered = [Devices(name, int(count)) for name, _, count in (word.partition("=") for word in sys.argv[1:])]
    servers = [devices.serve() for devices in offered]
    while (got := signal.sigwait(signals)) != signal.SIGTERM:
        for devices in offered:
            devices.set_first_healthy(healthy=got == signal.SIGUSR2)
    for server in servers:
        server.stop(grace=None)


if __name__ == "__main__":
    main()
