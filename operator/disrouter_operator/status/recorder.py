"""Writes Events without spam, by the rules of client-go's correlator.

The same news again raises a count. News that differ only in their words are combined when there are many. And one
cascade gets so many Events at once and then one every few minutes; what is beyond that is only in the log.
"""

from __future__ import annotations

import hashlib
import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from disrouter_operator.errors import KubeError
from disrouter_operator.kube.client import Kube
from disrouter_operator.kube.resources import Object
from disrouter_operator.status import events
from disrouter_operator.status.events import Note, Series

SERIES = timedelta(minutes=50)
"""The API server keeps an Event for an hour after its last change; news after so long begin a new one."""
ALIKE = 10
"""Events of one reason with different words within `SERIES`, before they are combined."""
BURST = 25
REFILL = timedelta(minutes=5)
"""One further Event of a cascade in so long after `BURST`."""
REMEMBERED = 4096

_K = TypeVar("_K")
_V = TypeVar("_V")

logger = logging.getLogger(__name__)

_Kind = tuple[str, str, str]
"""Uid of the cascade, type, reason."""


@dataclass(frozen=True)
class _Budget:
    tokens: float
    at: datetime


class Recorder:
    """Remembers in memory alone what it wrote: after a restart a series begins anew."""

    def __init__(self) -> None:
        self._series: OrderedDict[tuple[_Kind, str], Series] = OrderedDict()
        self._words: OrderedDict[_Kind, dict[str, datetime]] = OrderedDict()
        self._budgets: OrderedDict[str, _Budget] = OrderedDict()

    async def record(self, kube: Kube, parent: Object, notes: Sequence[Note], now: datetime) -> None:
        """Log the notes and write Events of them; failing to write one must not fail the reconcile."""
        metadata = parent["metadata"]
        who = f"{metadata['namespace']}/{metadata['name']}"
        for note in notes:
            level = logging.INFO if note.type == "Normal" else logging.WARNING
            logger.log(level, "%s: %s: %s", who, note.reason, note.message)
            if not self._afford(metadata["uid"], now):
                logger.info("%s: too many events, so %s is only logged", who, note.reason)
                continue
            try:
                await self._write(kube, parent, note, now)
            except KubeError as error:
                logger.warning("%s: event %s is lost: %s", who, note.reason, error)

    async def _write(self, kube: Kube, parent: Object, note: Note, now: datetime) -> None:
        kind = (str(parent["metadata"]["uid"]), note.type, note.reason)
        words = self._combined(kind, note.message, now)
        known = self._series.pop((kind, words), None)
        if known is not None and now - known.last < SERIES:
            series = replace(known, last=now, count=known.count + 1)
        else:
            series = Series(_name(parent, kind, words, now), now, now, 1)
        _remember(self._series, (kind, words), series)
        message = note.message if words else f"(combined from similar events): {note.message}"
        manifest = events.manifest(parent, replace(note, message=message), series)
        await (kube.create(manifest) if series.count == 1 else kube.apply(manifest))

    def _combined(self, kind: _Kind, message: str, now: datetime) -> str:
        """`message`, or nothing when there were too many like it."""
        known = self._words.pop(kind, {})
        recent = {words: at for words, at in known.items() if now - at < SERIES}
        if message in recent or len(recent) < ALIKE:
            recent[message] = now
            _remember(self._words, kind, recent)
            return message
        _remember(self._words, kind, recent)
        return ""

    def _afford(self, uid: str, now: datetime) -> bool:
        budget = self._budgets.pop(uid, _Budget(BURST, now))
        tokens = min(float(BURST), budget.tokens + (now - budget.at) / REFILL)
        affordable = tokens >= 1
        _remember(self._budgets, uid, _Budget(tokens - affordable, now))
        return affordable


def _remember(memory: OrderedDict[_K, _V], key: _K, value: _V) -> None:
    memory[key] = value
    while len(memory) > REMEMBERED:
        memory.popitem(last=False)


def _name(parent: Object, kind: _Kind, words: str, now: datetime) -> str:
    text = "\n".join([*kind, words, now.isoformat()])
    return f"{parent['metadata']['name']}.{hashlib.sha256(text.encode()).hexdigest()[:16]}"
