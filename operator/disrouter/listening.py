"""A port that is reached by IPv4 and by IPv6, whichever a cluster gives its pods."""

from __future__ import annotations

import errno
import socket

ANY_ADDRESS = "::"
"""Every address of the machine, of both families."""
_ANY_IPV4 = "0.0.0.0"  # noqa: S104  a pod's port must be reachable from its Service


def listening(host: str, port: int, backlog: int = 128) -> socket.socket:
    """A socket that listens on `port` of `host`; `::` stands for every address, of IPv4 alone where the node has no
    IPv6. Loops' own servers would make it IPv6's alone. Raises OSError when it cannot be bound.

    A kernel may know no IPv6 at all (`ipv6.disable=1`: no such socket), or know it and give out no address of it.
    """
    if host != ANY_ADDRESS:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=backlog)
    if socket.has_dualstack_ipv6():
        try:
            return socket.create_server((host, port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=backlog)
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
    return socket.create_server((_ANY_IPV4, port), backlog=backlog)
