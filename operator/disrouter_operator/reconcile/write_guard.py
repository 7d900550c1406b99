"""Writes that do not last: an admission webhook, or another controller, changes a wanted field after every apply.

Undoing a slip of the hand at once is right; doing the same against a machine is a hot loop of writes. So the memory of
what was applied to which object decides when the same content may be applied to it again. Content that differs is
always written at once.
"""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta

from disrouter.backoff import Backoff
from disrouter_operator.kube import diff
from disrouter_operator.kube.resources import Object

WINDOW = timedelta(minutes=10)
MOST = 5
"""Applies of the same content to one object within `WINDOW`: more than a person undoes by hand."""
RETRIES = Backoff(first=10.0)
"""Seconds until what was refused is tried again when nothing wakes the cascade before. What refuses
(a webhook, a quota, a name that is taken) may change without telling us."""
REMEMBERED = 4096
"""Objects; what is forgotten is written once too often."""


@dataclass(frozen=True)
class _Applied:
    digest: str
    times: tuple[datetime, ...]


class WriteGuard:
    """What was applied lately, by the object's uid. In memory alone: a new process tries again once."""

    def __init__(self) -> None:
        self._applied: OrderedDict[str, _Applied] = OrderedDict()
        self._refused: OrderedDict[str, tuple[str, int]] = OrderedDict()

    def wait(self, live: Object | None, desired: Object, now: datetime) -> float:
        """Seconds until `desired` may be applied to `live`; 0: now."""
        known = self._applied.get(live["metadata"]["uid"]) if live is not None else None
        if known is None or known.digest != _digest(desired) or len(known.times) < MOST:
            return 0.0
        return max(0.0, (known.times[0] + WINDOW - now).total_seconds())

    def note(self, applied: Object, desired: Object, now: datetime) -> float:
        """Remember that applying `desired` left `applied`; returns the seconds to wait if that is not what was wanted.

        The API server answers with the object after admission: what differs there will differ after the next apply.
        """
        uid, digest = str(applied["metadata"]["uid"]), _digest(desired)
        known = self._applied.pop(uid, None)
        times = (*(known.times if known is not None and known.digest == digest else ()), now)[-MOST:]
        settled = diff.satisfies(applied, desired)
        self._applied[uid] = _Applied(digest, times if settled else (now,) * MOST)
        while len(self._applied) > REMEMBERED:
            self._applied.popitem(last=False)
        return 0.0 if settled else WINDOW.total_seconds()

    def refused(self, desired: Object) -> float:
        """Remember that `desired` was refused; returns the seconds until it is worth another try by the clock alone."""
        name, digest = _id(desired), _digest(desired)
        known, times = self._refused.pop(name, (digest, 0))
        times = times + 1 if known == digest else 1
        self._refused[name] = (digest, times)
        while len(self._refused) > REMEMBERED:
            self._refused.popitem(last=False)
        return RETRIES.delay(times)

    def accepted(self, desired: Object) -> None:
        """It was refused no longer."""
        self._refused.pop(_id(desired), None)


def _id(obj: Object) -> str:
    return f"{obj['kind']}/{obj['metadata']['namespace']}/{obj['metadata']['name']}"


def _digest(desired: Object) -> str:
    return hashlib.sha256(json.dumps(desired, sort_keys=True).encode()).hexdigest()
