"""The HTTP surface on aiohttp: routes, the client's side of a request, and errors in OpenAI's shape."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import orjson
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from disrouter.errors import InvalidRequest
from disrouter.names import HEADER_REQUEST_ID
from disrouter_sidecar import logs
from disrouter_sidecar.errors import ClientGone, Rejected
from disrouter_sidecar.health import Readiness
from disrouter_sidecar.memory import Take, parsed_size
from disrouter_sidecar.replies import JSON, error_body, model_list, rejection
from disrouter_sidecar.service import Service
from disrouter_sidecar.table import POLL_SECONDS

BODY_SECONDS = 60.0
"""A client that has not sent its body by then is not sending it."""
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_log = logging.getLogger(__name__)


class AioClient:
    """`ports.Client` over one aiohttp request."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self.response = web.StreamResponse()

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the head."""
        self.response.set_status(status)
        self.response.headers.update(headers)
        try:
            await self.response.prepare(self._request)
        except ConnectionError as error:
            raise ClientGone from error

    async def write(self, piece: bytes) -> None:
        """Send bytes, waiting for a slow reader."""
        try:
            await self.response.write(piece)
        except ConnectionError as error:
            raise ClientGone from error

    async def end(self) -> None:
        """The body is complete."""
        try:
            await self.response.write_eof()
        except ConnectionError as error:
            raise ClientGone from error

    def abort(self) -> None:
        """Close the connection so that the client sees an incomplete reply."""
        if self._request.transport is not None:
            self._request.transport.abort()


class Surface:
    """The handlers; each does HTTP and nothing else."""

    def __init__(self, service: Service, readiness: Readiness) -> None:
        self._service = service
        self._readiness = readiness

    async def chat(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/chat/completions."""
        client = AioClient(request)
        request_id = logs.request_id(request.headers.get(HEADER_REQUEST_ID))
        try:
            with self._service.requests.share() as take:
                await self._service.chat(await _body(request, take), request.headers, request_id, client)
        except (Rejected, InvalidRequest) as error:
            return _rejected(error, {HEADER_REQUEST_ID: request_id})
        except ClientGone:
            client.response.force_close()
        except Exception:
            if not client.response.prepared:
                raise
            _log.exception("unexpected error after the head was sent")
            client.abort()
        return client.response

    async def models(self, _: web.Request) -> web.Response:
        """GET /v1/models."""
        data = model_list(self._service.table(), int(self._service.holder.loaded_at))
        return _json({"object": "list", "data": data})

    async def model(self, request: web.Request) -> web.Response:
        """GET /v1/models/{model}."""
        name = request.match_info["model"]
        for model in model_list(self._service.table(), int(self._service.holder.loaded_at)):
            if model["id"] == name:
                return _json(model)
        raise Rejected(404, "model_not_found", f"the model {name[:128]!r} does not exist", param="model")

    async def healthz(self, _: web.Request) -> web.Response:
        """GET /healthz: the process turns its loop."""
        return web.Response(text="ok\n")

    async def readyz(self, _: web.Request) -> web.Response:
        """GET /readyz: a request would be served."""
        problem = await self._readiness.problem()
        return web.Response(text="ok\n") if problem is None else web.Response(status=503, text=f"{problem}\n")

    async def metrics(self, _: web.Request) -> web.Response:
        """GET /metrics."""
        return web.Response(body=self._service.metrics.render(), headers={"content-type": CONTENT_TYPE_LATEST})


def build_app(service: Service, readiness: Readiness) -> web.Application:
    """The application; while it runs it also watches the route table."""
    surface = Surface(service, readiness)
    app = web.Application(middlewares=[_shape_errors], client_max_size=service.config.max_body_bytes)
    app.router.add_post("/v1/chat/completions", surface.chat)
    app.router.add_get("/v1/models", surface.models)
    app.router.add_get("/v1/models/{model:.+}", surface.model)
    app.router.add_get("/healthz", surface.healthz)
    app.router.add_get("/readyz", surface.readyz)
    app.router.add_get("/metrics", surface.metrics)

    async def watch(_: web.Application) -> AsyncIterator[None]:
        service.holder.poll()
        task = asyncio.create_task(_poll(service))
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def close_connections(_: web.Request, response: web.StreamResponse) -> None:
        if service.draining:  # aiohttp has written its own Connection header by now
            response.force_close()
            response.headers["connection"] = "close"

    app.cleanup_ctx.append(watch)
    app.on_response_prepare.append(close_connections)
    return app


async def _poll(service: Service) -> None:
    while True:
        await asyncio.sleep(POLL_SECONDS)
        service.holder.poll()


async def _body(request: web.Request, take: Take) -> bytes:
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        message = f"content-encoding {encoding[:32]!r} is not supported; send the body as it is"
        raise Rejected(415, "unsupported_encoding", message, param="content-encoding")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            raw = await _read(request, take)
    except TimeoutError:
        raise Rejected(408, "request_timeout", f"the body did not arrive within {BODY_SECONDS:g} s") from None
    except web.RequestPayloadError:
        raise Rejected(400, "invalid_request", "the body is not complete") from None
    take(parsed_size(raw) - len(raw))
    return raw


async def _read(request: web.Request, take: Take) -> bytes:
    """The body, claiming its bytes as they come: a client that announces much and sends nothing holds nothing."""
    limit = request.client_max_size
    raw = bytearray()
    if (request.content_length or 0) <= limit:
        async for piece in request.content.iter_any():
            take(len(piece))
            raw += piece
            if len(raw) > limit:
                break
        else:
            return bytes(raw)
    raise Rejected(413, "request_too_large", f"the body is larger than {limit} bytes; send less")


@web.middleware
async def _shape_errors(request: web.Request, handler: _Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except (Rejected, InvalidRequest) as error:
        return _rejected(error, {})
    except web.HTTPException as error:
        return _http_error(request, error)
    except Exception:
        _log.exception("unexpected error", extra={"path": request.path})
        body = error_body(500, "internal_error", "the sidecar failed on this request; its log says why")
        return web.Response(status=500, body=body, content_type=JSON)


def _http_error(request: web.Request, error: web.HTTPException) -> web.Response:
    """aiohttp's own refusals: an unknown path, a wrong method."""
    message = f"{request.method} {request.path[:128]} is not served here; see POST /v1/chat/completions, GET /v1/models"
    code = "unknown_url" if error.status in (404, 405) else "invalid_request"
    response = web.Response(status=error.status, body=error_body(error.status, code, message), content_type=JSON)
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response


def _rejected(error: Rejected | InvalidRequest, more: Mapping[str, str]) -> web.Response:
    status, headers, body = rejection(error)
    return web.Response(status=status, body=body, headers={**headers, **more})


def _json(value: object) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type=JSON)
