"""Errors, sent to the client where nothing has been sent yet."""

from __future__ import annotations

import logging
from contextlib import suppress

from disrouter.errors import InvalidRequest
from disrouter.names import HEADER_REQUEST_ID
from disrouter_sidecar.errors import ClientGone, Rejected
from disrouter_sidecar.headers import lines
from disrouter_sidecar.http.server.exchange import Exchange
from disrouter_sidecar.openai import shape_of
from disrouter_sidecar.openai.errors import rejection
from disrouter_sidecar.telemetry.logs import request_id

_log = logging.getLogger(__name__)


def send_error(exchange: Exchange, error: Exception) -> None:
    """Reply with an error in the shape of the path's API; an unexpected one is a 500, and the log says why."""
    if isinstance(error, ClientGone):
        return
    if not isinstance(error, Rejected | InvalidRequest):
        _log.error("unexpected error", exc_info=error, extra={"path": exchange.head.path})
        error = Rejected(500, "internal_error", "the sidecar failed on this request; its log says why")
    if exchange.started:
        return
    status, headers, body = rejection(error, shape_of(exchange.head.path))
    number = request_id(exchange.head.headers.get(HEADER_REQUEST_ID))
    code = error.code if isinstance(error, Rejected) else "invalid_request"
    _log.info("refused", extra={"request_id": number, "status": status, "outcome": code})
    with suppress(ClientGone):
        exchange.put(status, lines({**headers, HEADER_REQUEST_ID: number}), body)
