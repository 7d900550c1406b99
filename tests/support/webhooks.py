"""A real mutating admission webhook, called by a real API server over TLS."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from support.controlplane import ControlPlane


def patching_config_maps(
    plane: ControlPlane, namespace: str, patch: list[dict[str, Any]]
) -> AbstractContextManager[None]:
    """Every ConfigMap that is written in `namespace` (labelled `webhook: <namespace>`) gets the JSON patch."""
    encoded = base64.b64encode(json.dumps(patch).encode()).decode()
    return _judging_config_maps(plane, namespace, {"allowed": True, "patchType": "JSONPatch", "patch": encoded})


def denying_config_maps(plane: ControlPlane, namespace: str, code: int) -> AbstractContextManager[None]:
    """Every ConfigMap that is written in `namespace`, labelled so, is denied with an HTTP status."""
    return _judging_config_maps(plane, namespace, {"allowed": False, "status": {"code": code, "message": "not now"}})


@contextmanager
def _judging_config_maps(plane: ControlPlane, namespace: str, verdict: dict[str, Any]) -> Iterator[None]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(verdict))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(plane.ca_file, plane.ca_file.with_suffix(".key"))  # the API server signed itself
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    configuration = _configuration(plane, namespace, f"https://127.0.0.1:{server.server_port}/")
    try:
        plane.apply(configuration)
        yield
    finally:
        plane.kubectl("delete", "mutatingwebhookconfiguration", configuration["metadata"]["name"])
        server.shutdown()
        thread.join()
        server.server_close()


def _configuration(plane: ControlPlane, namespace: str, url: str) -> dict[str, Any]:
    everything = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"]}
    webhook = {
        "name": "patch.disrouter.test",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "clientConfig": {"url": url, "caBundle": base64.b64encode(plane.ca_file.read_bytes()).decode()},
        "namespaceSelector": {"matchLabels": {"webhook": namespace}},
        "rules": [{**everything, "operations": ["CREATE", "UPDATE"]}],
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": f"patch-{namespace}"},
        "webhooks": [webhook],
    }


def _handler(verdict: dict[str, Any]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            review = json.loads(self.rfile.read(int(self.headers["content-length"])))
            answer = {"uid": review["request"]["uid"], **verdict}
            body = json.dumps({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": answer}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    return Handler
