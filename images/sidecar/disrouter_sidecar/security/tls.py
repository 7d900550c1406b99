"""TLS on the port and towards the next agents, from one mounted Secret as cert-manager writes it.

The port keeps one context, into which a renewed certificate is loaded: connections that are open stay as they are. The
context for next hops trusts `ca.crt` alone; external providers are verified by the system's authorities.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from disrouter_sidecar.errors import InvalidConfig
from disrouter_sidecar.mounted_files import Mounted

CERTIFICATE, KEY, AUTHORITY = "tls.crt", "tls.key", "ca.crt"


class Tls:
    """The two contexts of one sidecar."""

    def __init__(self, folder: Path) -> None:
        """Raises InvalidConfig where a file is missing or does not fit the others."""
        self.server = server_context(folder)
        self._client = Mounted.required(folder, self._load)

    @property
    def client(self) -> ssl.SSLContext:
        """For the next hops; replaced when `poll` returns True."""
        return self._client.value

    def poll(self) -> bool:
        """Load what has changed; True when the next hops' context is another. A bad pair is not used. Never raises."""
        return self._client.poll()

    def _load(self, folder: Path) -> ssl.SSLContext:
        """Both contexts; files that are swapped between one look and the next are read again at the next poll."""
        client = client_context(folder)
        _load_pair(self.server, folder)
        return client


def server_context(folder: Path) -> ssl.SSLContext:
    """TLS 1.2 or later with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load_pair(context, folder)
    return context


def client_context(folder: Path) -> ssl.SSLContext:
    """Verifies host names against `ca.crt`. The pair is tried too, so that a bad one is noticed before it is used."""
    _load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(folder / AUTHORITY)
    except (ssl.SSLError, OSError) as error:
        raise _unusable(folder / AUTHORITY, error) from None
    return context


def _load_pair(context: ssl.SSLContext, folder: Path) -> None:
    try:
        context.load_cert_chain(folder / CERTIFICATE, folder / KEY)
    except (ssl.SSLError, OSError) as error:
        raise _unusable(folder / CERTIFICATE, error) from None


def _unusable(path: Path, error: Exception) -> InvalidConfig:
    return InvalidConfig(f"cannot use {path} (with {KEY} beside it): {type(error).__name__}; check the TLS Secret")
