"""The account that the kubelet mounts into a pod: where the API server is, and the token as it is now.

A token lives for an hour or so and the kubelet writes the next one in time; what is kept in memory runs out. So every
request of ours reads the file, and Kopf reads it again when the API server takes a token no longer. The address comes
from the environment and needs no DNS.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from disrouter_operator.errors import InvalidSettings

FOLDER = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_HOST, _PORT = "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"


@dataclass(frozen=True)
class ServiceAccount:
    """A mounted account and the API server that knows it."""

    server: str
    folder: Path

    @property
    def ca_file(self) -> Path:
        """Whom to trust."""
        return self.folder / "ca.crt"

    def token(self) -> str:
        """What the file says now. Raises OSError where it is gone."""
        return (self.folder / "token").read_text().strip()


def mounted(environ: Mapping[str, str] = os.environ, folder: Path | None = None) -> ServiceAccount | None:
    """The pod's account; None outside of a pod. Raises InvalidSettings for a pod without the API server's address."""
    folder = folder or FOLDER
    if not (folder / "token").exists():
        return None
    host, port = environ.get(_HOST), environ.get(_PORT)
    if not host or not port:
        raise InvalidSettings(f"{folder} has a token but {_HOST} or {_PORT} is not set; a kubelet sets both: set them")
    return ServiceAccount(f"https://{f'[{host}]' if ':' in host else host}:{port}", folder)
