"""Kopf's watches as wake-ups: any event on a cascade or its children is handed on, and nothing is kept or written.

The only module that imports kopf. Only `on.event` is used: it writes no annotation and no finalizer on anything. What
is not ours never leaves the API server: Kopf lists and watches with our label's selector.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Sequence
from typing import Any, cast

import kopf

from disrouter import names
from disrouter_operator.resources import CASCADES, Object, Resource

Deliver = Callable[[Resource, Object], None]
"""Told of every object that a watch brings, in the watch's own thread."""

INACTIVITY_SECONDS = 150.0
"""A stream without even a bookmark (one a minute) for so long is opened again."""

IDENTITY = "disrouter"
"""What Kopf calls itself to its peers. There are none, but it would ask for the user's name, which a pod's may lack."""

IDLE_SECONDS = 0.5
"""Kopf keeps a task, and in it an object's whole body, for so long after each event."""


def registry(deliver: Deliver, kinds: Collection[Resource]) -> kopf.OperatorRegistry:
    """A private registry: nothing global, so that several operators can live in one process."""
    handlers = kopf.OperatorRegistry()
    kopf.on.login(registry=handlers, errors=kopf.ErrorsMode.PERMANENT)(_login)
    for kind in kinds:
        kopf.on.event(kind.group, kind.version, kind.plural, registry=handlers)(_handler(deliver, kind))
    return handlers


def settings(kinds: Collection[Resource]) -> kopf.OperatorSettings:
    """Kopf posts no Events of its own and takes part in no peering: leadership is a Lease (`leader.py`)."""
    chosen = kopf.OperatorSettings()
    chosen.posting.enabled = False
    chosen.peering.standalone = True
    # Saves the right to watch every CRD and namespace; `watching.py` asks for kinds that are installed later.
    chosen.scanning.disabled = True
    chosen.watching.inactivity_timeout = INACTIVITY_SECONDS
    chosen.queueing.idle_timeout = IDLE_SECONDS
    # Else a watch that ended by itself, and was started again, would kill this process ten minutes later.
    chosen.process.ultimate_exiting_timeout = None
    for kind in kinds:
        if kind != CASCADES:
            chosen.watching.label_selectors[kind.group, kind.version, kind.plural] = names.LABEL_CASCADE
    return chosen


async def watch(
    deliver: Deliver, kinds: Collection[Resource], namespaces: Sequence[str], stop: threading.Event
) -> None:
    """Watch `kinds` until `stop`; no namespaces means all of them.

    Needs an event loop of its own in a thread of its own: Kopf takes the signals of a main thread, and when it ends it
    cancels every task of its loop that is younger than itself. Raises whatever ends a watch.
    """
    logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)  # it warns that it gets no signals here
    try:
        await kopf.operator(
            registry=registry(deliver, kinds),
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


def _handler(deliver: Deliver, kind: Resource) -> Callable[..., Any]:
    async def on_event(body: Any, **_: Any) -> None:
        deliver(kind, body)

    return on_event


async def _login(**kwargs: Any) -> kopf.ConnectionInfo | None:
    """The pod's service account in a cluster, else the kubeconfig (a token or a certificate, no plugin)."""
    return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)
