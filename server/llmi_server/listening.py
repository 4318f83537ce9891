"""Opening the port: every address of the machine unless one is named, IPv6 and IPv4 alike where there is IPv6."""

import errno
import socket

from llmi_api.failure import FailureCode
from llmi_server.errors import StartupError
from llmi_server.settings import EVERYWHERE

BACKLOG = 2048
_NO_IPV6 = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})


def open_listener(host: str, port: int) -> socket.socket:
    """Return a socket that listens on ``host`` and ``port``; port 0 takes any free one.

    Raises:
        StartupError: The address cannot be listened on.
    """
    try:
        return _listen_everywhere(port) if host == EVERYWHERE else _listen(host, port)
    except OSError as error:
        place = f"port {port}" if host == EVERYWHERE else f"{host} port {port}"
        raise StartupError(
            FailureCode.INVALID_SETTINGS,
            f"The server cannot listen on {place}: {error.strerror or error}.",
            next_step="Set LLMI_PORT to a free port, and LLMI_HOST to an address of this machine.",
        ) from None


def _listen_everywhere(port: int) -> socket.socket:
    """Listen on one socket for both; on IPv4 alone where the machine has no IPv6, as some kernels and pods."""
    try:
        return _listen("::", port)
    except OSError as error:
        if error.errno not in _NO_IPV6:
            raise
        return _listen("0.0.0.0", port)  # noqa: S104 - a pod's address is not known


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named, or asyncio does not know the connections for TCP and leaves Nagle's algorithm on: an answer's body then
    # waits 40 ms, until the client has acknowledged its head.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if host == "::":
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # whatever the system's default is
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    listener.settimeout(0)
    return listener
