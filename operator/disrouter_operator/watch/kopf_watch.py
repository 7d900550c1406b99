"""Kopf's watches as wake-ups: any event on a cascade or its children is forwarded, and nothing is kept or written.

The only module that imports kopf. Only `on.event` is used: it writes no annotation and no finalizer on anything. What
is not ours never leaves the API server: Kopf lists and watches with our label's selector.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Collection, Sequence
from typing import Any, cast

import aiohttp
import kopf

from disrouter import names
from disrouter_operator.kube import service_account
from disrouter_operator.kube.resources import CASCADES, Object, Resource
from disrouter_operator.watch.sessions import Observe, Sessions

logger = logging.getLogger(__name__)

Deliver = Callable[[Resource, Object], None]
"""Told of every object that a watch brings, in the watch's own thread."""

INACTIVITY_SECONDS = 150.0
"""A stream without even a bookmark (one per minute) for so long is opened again."""

IDENTITY = "disrouter"
"""What Kopf calls itself to its peers. There are none, but it would ask for the user's name, which a pod's may lack."""

BACKOFFS = (1.0, 2.0, 4.0, 8.0)
"""Seconds between tries of a request. Kopf's own take a minute, and 20 s of it after the API server is back."""

RECONNECT_SECONDS = 1.0
"""Before a watch begins anew that was told that its version is gone, or to come later. Kopf's own tenth of a second is
no pause for a server that asks for one."""

IDLE_SECONDS = 0.5
"""Kopf keeps a task, and in it an object's whole body, for so long after each event."""


def registry(deliver: Deliver, kinds: Collection[Resource], sessions: Sessions | None = None) -> kopf.OperatorRegistry:
    """A private registry: nothing global, so that several operators can live in one process."""
    handlers = kopf.OperatorRegistry()
    kopf.on.login(registry=handlers, errors=kopf.ErrorsMode.PERMANENT)(_login(sessions or Sessions()))
    for kind in kinds:
        kopf.on.event(kind.group, kind.version, kind.plural, registry=handlers)(_handler(deliver, kind))
    return handlers


def settings(kinds: Collection[Resource]) -> kopf.OperatorSettings:
    """Kopf posts no Events of its own and takes part in no peering: leadership is a Lease (`leader_election.py`)."""
    chosen = kopf.OperatorSettings()
    chosen.posting.enabled = False
    chosen.peering.standalone = True
    # Saves the right to watch every CRD and namespace; `supervisor.py` asks for kinds that are installed later.
    chosen.scanning.disabled = True
    chosen.watching.inactivity_timeout = INACTIVITY_SECONDS
    chosen.watching.reconnect_backoff = RECONNECT_SECONDS
    chosen.networking.error_backoffs = BACKOFFS
    chosen.queueing.idle_timeout = IDLE_SECONDS
    # Else a watch that ended by itself, and was started again, would kill this process ten minutes later.
    chosen.process.ultimate_exiting_timeout = None
    for kind in kinds:
        if kind != CASCADES:
            chosen.watching.label_selectors[kind.group, kind.version, kind.plural] = names.LABEL_CASCADE
    return chosen


async def watch(
    deliver: Deliver, observe: Observe, kinds: Collection[Resource], namespaces: Sequence[str], stop: threading.Event
) -> None:
    """Watch `kinds` until `stop`; no namespaces means all of them. `observe` is told how far each watch is.

    Needs an event loop of its own in a thread of its own: Kopf takes the signals of a main thread, and when it ends it
    cancels every task of its loop that is younger than itself. Raises whatever ends a watch.
    """
    # It warns that it gets no signals here, and prints what it raises; of several failures asyncio prints the others.
    logging.getLogger("kopf._core.reactor.running").setLevel(logging.CRITICAL)
    asyncio.get_running_loop().set_exception_handler(lambda _, context: logger.debug("%s", context))
    sessions = Sessions(kinds, namespaces, observe)
    try:
        await kopf.operator(
            registry=registry(deliver, kinds, sessions),
            settings=settings(kinds),
            identity=cast(Any, IDENTITY),  # a type that Kopf keeps to itself
            standalone=True,
            clusterwide=not namespaces,
            namespaces=list(namespaces),
            stop_flag=stop,
        )
    finally:
        # Kopf waits for the flag in a thread that the loop joins when it closes: a failure would never be heard of.
        stop.set()
        await sessions.close()


def _handler(deliver: Deliver, kind: Resource) -> Callable[..., Any]:
    async def on_event(body: Any, **_: Any) -> None:
        deliver(kind, body)

    return on_event


def _login(sessions: Sessions) -> Callable[..., Any]:
    async def login(**kwargs: Any) -> kopf.AiohttpSession | None:
        """The pod's service account in a cluster, else the kubeconfig (a token or a certificate, no plugin)."""
        account = service_account.mounted()
        info = _info(account) if account is not None else kopf.login_with_kubeconfig(**kwargs)
        if info is None:
            return None
        session = sessions.of(info, lambda: _session(info, sessions.trace(info.server)))
        return kopf.AiohttpSession(
            server=info.server, default_namespace=info.default_namespace, aiohttp_session=session
        )

    return login


def _info(account: service_account.ServiceAccount) -> kopf.ConnectionInfo:
    """The token of now. Kopf asks again when it is refused, and would itself ask DNS for the API server."""
    return kopf.ConnectionInfo(server=account.server, ca_path=str(account.ca_file), token=account.token())


def _session(info: kopf.ConnectionInfo, trace: aiohttp.TraceConfig) -> aiohttp.ClientSession:
    """As Kopf makes it of the same credentials (kopf/_cogs/clients/auth.py), and traced."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()),
        headers=info.as_http_headers(),
        proxy=info.proxy_url,
        trust_env=info.trust_env,
        trace_configs=[trace],
    )
