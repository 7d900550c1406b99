"""A port that is reached by both families."""

from __future__ import annotations

import socket

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


def test_a_kernel_without_ipv6_gets_ipv4(monkeypatch: pytest.MonkeyPatch) -> None:
    real = socket.create_server

    def refusing(address: tuple[str, int], **how: object) -> socket.socket:
        if how.get("family") == socket.AF_INET6:
            raise OSError(97, "Address family not supported by protocol")
        return real(address, **how)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "create_server", refusing)
    with listening(ANY_ADDRESS, 0) as bound:
        assert bound.family == socket.AF_INET
        assert _connects("127.0.0.1", bound.getsockname()[1])


def test_a_taken_port_is_an_error_and_no_reason_for_another_family() -> None:
    with listening(ANY_ADDRESS, 0) as bound, pytest.raises(OSError, match="in use"):
        listening(ANY_ADDRESS, bound.getsockname()[1])
