"""A port that is reached by both families."""

from __future__ import annotations

import errno
import socket
from typing import Any

import pytest

from disrouter.listening import ANY_ADDRESS, listening


@pytest.mark.parametrize(("host", "reached"), [(ANY_ADDRESS, {"127.0.0.1", "::1"}), ("127.0.0.1", {"127.0.0.1"})])
def test_a_port_is_reached_by_the_families_of_its_host(host: str, reached: set[str]) -> None:
    with listening(host, 0) as bound:
        port = bound.getsockname()[1]
        assert {address for address in ("127.0.0.1", "::1") if _connects(address, port)} == reached


def _connects(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=5):
            return True
    except ConnectionRefusedError:
        return False


class _WithoutIpv6(socket.socket):
    """As `ipv6.disable=1` has it: there is no such socket."""

    def __init__(self, family: int = -1, *rest: Any, **named: Any) -> None:
        if family == socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        super().__init__(family, *rest, **named)


class _WithoutAddress(socket.socket):
    """There is one, and no address of that family."""

    def bind(self, address: Any) -> None:
        if self.family == socket.AF_INET6:
            raise OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")
        super().bind(address)


@pytest.mark.parametrize("node", [_WithoutIpv6, _WithoutAddress])
def test_a_node_without_ipv6_gets_ipv4(monkeypatch: pytest.MonkeyPatch, node: type[socket.socket]) -> None:
    monkeypatch.setattr(socket, "socket", node)
    with listening(ANY_ADDRESS, 0) as bound:
        assert bound.family == socket.AF_INET
        assert _connects("127.0.0.1", bound.getsockname()[1])


def test_a_taken_port_is_an_error_and_no_reason_for_another_family() -> None:
    with listening(ANY_ADDRESS, 0) as bound, pytest.raises(OSError, match="in use"):
        listening(ANY_ADDRESS, bound.getsockname()[1])
