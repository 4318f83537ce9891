"""Where the server listens."""

import asyncio
import errno
import socket

import pytest

from llmi_server import listening
from llmi_server.errors import StartupError
from llmi_server.listening import open_listener
from llmi_server.settings import EVERYWHERE
from llmi_testing.server import running_server


def has_ipv6():
    with socket.socket(socket.AF_INET6) as tried:
        try:
            tried.bind(("::1", 0))
        except OSError:
            return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")


def test_a_taken_port_is_a_failure_with_a_name():
    listener = open_listener("127.0.0.1", 0)
    with listener, pytest.raises(StartupError, match="cannot listen on"):
        open_listener("127.0.0.1", listener.getsockname()[1])


def test_a_port_that_is_taken_for_one_kind_of_address_is_not_shared():
    with open_listener("0.0.0.0", 0) as taken, pytest.raises(StartupError, match="cannot listen on port"):
        open_listener(EVERYWHERE, taken.getsockname()[1])


@needs_ipv6
def test_an_address_of_version_6_works():
    with open_listener("::1", 0) as listener:
        assert listener.getsockname()[1] > 0


@needs_ipv6
def test_by_default_both_kinds_of_addresses_are_answered():
    with running_server(host=EVERYWHERE) as server:
        for address in ("127.0.0.1", "::1"):
            with socket.create_connection((address, server.port), timeout=20) as connection:
                connection.sendall(b"GET /livez HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
                assert connection.recv(12) == b"HTTP/1.1 200"


def test_a_machine_without_version_6_is_listened_on_by_version_4(monkeypatch):
    whole = socket.socket

    def without_ipv6(family, kind, protocol):
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return whole(family, kind, protocol)

    monkeypatch.setattr(listening.socket, "socket", without_ipv6)
    with open_listener(EVERYWHERE, 0) as listener:
        assert listener.family == socket.AF_INET


def test_what_is_sent_on_its_connections_is_sent_at_once():
    accepted = []

    async def run():
        with open_listener("127.0.0.1", 0) as listener:

            async def note(_, writer):
                accepted.append(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
                writer.close()

            server = await asyncio.start_server(note, sock=listener)
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            await reader.read()
            writer.close()
            server.close()

    asyncio.run(run())
    assert accepted == [1]
