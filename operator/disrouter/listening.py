"""A port that is reached by IPv4 and by IPv6, whichever a cluster gives its pods."""

from __future__ import annotations

import errno
import socket

ANY_ADDRESS = "::"
"""Every address of the machine, of both families."""
_ANY_IPV4 = "0.0.0.0"  # noqa: S104  a pod's port must be reachable from its Service
_NO_IPV6 = (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)


def listening(host: str, port: int, backlog: int = 128) -> socket.socket:
    """A socket that listens on `port` of `host`; `::` stands for every address, of IPv4 alone where the kernel has no
    IPv6. Loops' own servers would make it IPv6's alone. Raises OSError when it cannot be bound."""
    if host != ANY_ADDRESS:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=backlog)
    try:
        return socket.create_server((host, port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=backlog)
    except OSError as error:
        if error.errno not in _NO_IPV6:
            raise
        return socket.create_server((_ANY_IPV4, port), backlog=backlog)
