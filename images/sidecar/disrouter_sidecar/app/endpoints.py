"""The endpoints: each path, and the few lines between it and the policy."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache, partial

import orjson

from disrouter import __version__
from disrouter.names import HEADER_REQUEST_ID
from disrouter_sidecar.app.health import Readiness
from disrouter_sidecar.app.pass_through import PassThroughService
from disrouter_sidecar.app.service import Service
from disrouter_sidecar.cascade.inbound_request import Call
from disrouter_sidecar.errors import Rejected
from disrouter_sidecar.headers import Headers, lines
from disrouter_sidecar.http.memory_limits import parsed_size
from disrouter_sidecar.http.ports import Client, Request
from disrouter_sidecar.http.server.cors import Cors
from disrouter_sidecar.http.server.router import Routes
from disrouter_sidecar.openai import DIALECTS, PASS_THROUGH, Dialect, PassThrough
from disrouter_sidecar.openai.errors import JSON, model_list, rejection
from disrouter_sidecar.openai.openapi import document
from disrouter_sidecar.openai.pass_through.form import is_form
from disrouter_sidecar.telemetry import logs
from disrouter_sidecar.telemetry.prometheus_text import CONTENT_TYPE

_MODELS = "/v1/models"
_DECISIONS = "/disrouter/v1/decisions"
_TEXT = {"content-type": "text/plain; charset=utf-8"}
_JSON = {"content-type": JSON}
_FORM_COPIES = 2
"""Times that a form is held beside its own bytes: as the engine's body, and while that is written."""


@lru_cache(maxsize=1)
def _openapi() -> bytes:
    return orjson.dumps(document(DIALECTS, PASS_THROUGH, __version__))


def _check_type(headers: Headers) -> None:
    """Raises Rejected (415) for a body that is not called JSON.

    Browsers let every page send other types to every address, this one on a developer's machine included; a page can
    also send none, which other clients may.
    """
    kind = headers.get("content-type")
    if kind is None and "origin" not in headers:
        return
    if kind is None or kind.partition(";")[0].strip().lower() != JSON:
        message = f"the content type {(kind or '')[:64]!r} is not served; send JSON with `content-type: {JSON}`"
        raise Rejected(415, "unsupported_media_type", message, param="content-type")


class Endpoints:
    """The handlers; each does HTTP and nothing else."""

    def __init__(self, service: Service, readiness: Readiness) -> None:
        self._service = service
        self._readiness = readiness
        self._pass_through = PassThroughService(service)
        self._cors = Cors(self._origins)

    def routes(self) -> Routes:
        """The table of paths."""
        return Routes(
            {
                **{f"/v1{dialect.path}": {"POST": partial(self.answer, dialect)} for dialect in DIALECTS},
                **{f"/v1{api.path}": {"POST": partial(self.pass_on, api)} for api in PASS_THROUGH},
                _MODELS: {"GET": self.models},
                f"{_MODELS}/*": {"GET": self.model},
                f"{_DECISIONS}/*": {"GET": self.decisions},
                "/openapi.json": {"GET": self.openapi},
                "/healthz": {"GET": self.healthz},
                "/readyz": {"GET": self.readyz},
                "/metrics": {"GET": self.metrics},
            },
            self._service.authenticator.admit,
            self._origins,
        )

    def _origins(self) -> Sequence[str]:
        """Those of the route table as it is now."""
        table = self._service.holder.current
        return () if table is None else table.cors_origins

    def answer(self, dialect: Dialect, request: Request, client: Client) -> None:
        """POST to one of the APIs."""
        request_id = logs.request_id(request.headers.get(HEADER_REQUEST_ID))
        try:
            headers = self._service.authenticator.admit(request.headers)
            if request.headers.get("content-type") != JSON:
                _check_type(request.headers)
            request.claim(parsed_size(request.body) - len(request.body))
        except Rejected as error:
            self._reject(dialect, request_id, error, client)
            return
        self._service.answer(Call(dialect, request.body, headers, request_id), client)

    def pass_on(self, api: PassThrough, request: Request, client: Client) -> None:
        """POST to a pass-through API."""
        request_id = logs.request_id(request.headers.get(HEADER_REQUEST_ID))
        try:
            headers = self._service.authenticator.admit(request.headers)
            if api.form and is_form(request.headers.get("content-type")):
                self._check_form(request)
            else:
                _check_type(request.headers)
                request.claim(parsed_size(request.body) - len(request.body))
        except Rejected as error:
            self._reject(api, request_id, error, client)
            return
        self._pass_through.answer(Call(api, request.body, headers, request_id), client)

    def _check_form(self, request: Request) -> None:
        """Raises Rejected: 403 for a page that may not ask, as browsers let every page send a form everywhere."""
        origin = request.headers.get("origin")
        if origin is not None:
            self._cors.check(request.path, origin)
        request.claim(_FORM_COPIES * len(request.body))

    def _reject(self, dialect: Dialect, request_id: str, error: Rejected, client: Client) -> None:
        """Answer a request that is rejected unread."""
        status, error_headers, body = rejection(error, dialect.error_body)
        client.put(status, lines({**error_headers, HEADER_REQUEST_ID: request_id}), body)
        client.done()
        self._service.rejected(dialect.name, request_id, error)

    async def models(self, request: Request, client: Client) -> None:
        """GET /v1/models."""
        self._service.authenticator.admit(request.headers)
        data = model_list(self._service.table(), int(self._service.holder.loaded_at))
        await client.reply(200, _JSON, orjson.dumps({"object": "list", "data": data}))

    async def model(self, request: Request, client: Client) -> None:
        """GET /v1/models/{model}."""
        self._service.authenticator.admit(request.headers)
        name = request.path.removeprefix(f"{_MODELS}/")
        for model in model_list(self._service.table(), int(self._service.holder.loaded_at)):
            if model["id"] == name:
                await client.reply(200, _JSON, orjson.dumps(model))
                return
        raise Rejected(404, "model_not_found", f"the model {name[:128]!r} does not exist", param="model")

    async def decisions(self, request: Request, client: Client) -> None:
        """GET /disrouter/v1/decisions/{request id}."""
        self._service.authenticator.admit(request.headers)
        request_id = request.path.removeprefix(f"{_DECISIONS}/")
        found = self._service.decisions.find(request_id)
        if found is None:
            kept = self._service.kept_decisions()
            message = (
                f"no request {request_id[:128]!r} is remembered here; each pod remembers its own last {kept} "
                "(`keptDecisions`), and the log line of a request says the same"
            )
            raise Rejected(404, "request_not_found", message, param="request_id")
        await client.reply(200, _JSON, json.dumps(found).encode())

    async def openapi(self, _: Request, client: Client) -> None:
        """GET /openapi.json."""
        await client.reply(200, _JSON, _openapi())

    async def healthz(self, _: Request, client: Client) -> None:
        """GET /healthz: the event loop runs."""
        await client.reply(200, _TEXT, b"ok\n")

    async def readyz(self, _: Request, client: Client) -> None:
        """GET /readyz: a request would be served."""
        problem = await self._readiness.problem()
        lines = [problem] if problem is not None else ["ok", *self._readiness.remarks()]
        await client.reply(200 if problem is None else 503, _TEXT, "".join(f"{line}\n" for line in lines).encode())

    async def metrics(self, _: Request, client: Client) -> None:
        """GET /metrics."""
        await client.reply(200, {"content-type": CONTENT_TYPE}, self._service.metrics.render())
