"""Ports of the loopback that nobody listens on, and that nobody is given by chance before they are used."""

import contextlib
import secrets
import socket

# Below those from which the system gives connections their own: a program that begins to listen a second later, or
# after an outage, must not find that a client has got its port meanwhile. Kubernetes' node ports begin at 30000.
_PORTS = range(15_000, 30_000)
_TRIES = 200


def free_ports(count: int) -> list[int]:
    """Choose at random, as others do at the same time; all at once, so that they differ."""
    with contextlib.ExitStack() as stack:
        return [_hold_one(stack) for _ in range(count)]


def free_port() -> int:
    """Choose one."""
    (port,) = free_ports(1)
    return port


def _hold_one(stack: contextlib.ExitStack) -> int:
    for _ in range(_TRIES):
        port = secrets.choice(_PORTS)
        one = stack.enter_context(socket.socket())
        with contextlib.suppress(OSError):
            one.bind(("127.0.0.1", port))
            return port
    raise OSError(f"no port from {_PORTS.start} on is free")
