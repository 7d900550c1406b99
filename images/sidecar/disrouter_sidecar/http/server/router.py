"""Path and method to handler."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from disrouter_sidecar.errors import Rejected
from disrouter_sidecar.headers import Headers
from disrouter_sidecar.http.head import Head
from disrouter_sidecar.http.ports import Handler
from disrouter_sidecar.http.server.cors import Cors, Origins

Methods = Mapping[str, Handler]
Admit = Callable[[Headers], object]
"""Raises Rejected (401) for a client without a valid key."""
MAX_UNKNOWN = 16 * 1024
"""Bytes of a body that are read before authentication; a larger one is authenticated by its head."""


class Routes:
    """A table of paths; one that ends in `/*` stands for everything longer that begins so. HEAD is answered as GET."""

    def __init__(
        self, table: Mapping[str, Methods], admit: Admit = lambda _: None, origins: Origins = tuple[str]
    ) -> None:
        """`admit` keeps clients without a key from filling the memory; the handler authenticates small requests.

        `origins` tells which pages of other origins may ask.
        """
        self.cors = Cors(origins)
        self._admit = admit
        self._exact = {path: methods for path, methods in table.items() if not path.endswith("/*")}
        self._below = {path[:-1]: methods for path, methods in table.items() if path.endswith("/*")}
        self._known = ", ".join(
            f"{method} {path}" for path, methods in table.items() for method in methods if path.startswith("/v1/")
        )

    def find(self, head: Head) -> Handler:
        """Raises Rejected: 401 for a large body without a key, 404 for an unknown path, 405 for an unknown method."""
        if head.length is None or head.length > MAX_UNKNOWN:
            self._admit(head.headers)
        methods = self._exact.get(head.path) or self._longer(head.path)
        if methods is not None:
            handler = methods.get("GET" if head.method == "HEAD" else head.method)
            if handler is not None:
                return handler
            handler = self.cors.preflight(head, methods)
            if handler is not None:
                return handler
        message = f"{head.method} {head.path[:128]} is not served here; see {self._known}"
        if methods is None:
            raise Rejected(404, "unknown_url", message)
        raise Rejected(405, "unknown_url", message, allow=", ".join(methods))

    def _longer(self, path: str) -> Methods | None:
        for start, methods in self._below.items():
            if path.startswith(start) and len(path) > len(start):
                return methods
        return None
