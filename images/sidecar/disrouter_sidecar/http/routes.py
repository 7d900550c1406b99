"""Path and method to handler."""

from __future__ import annotations

from collections.abc import Mapping

from disrouter_sidecar.errors import Rejected
from disrouter_sidecar.http.head import Head
from disrouter_sidecar.ports import Handler

Methods = Mapping[str, Handler]


class Routes:
    """A table of paths; one that ends in `/*` stands for everything longer that begins so. HEAD is answered as GET."""

    def __init__(self, table: Mapping[str, Methods]) -> None:
        self._exact = {path: methods for path, methods in table.items() if not path.endswith("/*")}
        self._below = {path[:-1]: methods for path, methods in table.items() if path.endswith("/*")}
        self._known = ", ".join(
            f"{method} {path}" for path, methods in table.items() for method in methods if path.startswith("/v1/")
        )

    def find(self, head: Head) -> Handler:
        """Raises Rejected: 404 for an unknown path, 405 for a method that it does not know."""
        methods = self._exact.get(head.path) or self._longer(head.path)
        if methods is not None:
            handler = methods.get("GET" if head.method == "HEAD" else head.method)
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
