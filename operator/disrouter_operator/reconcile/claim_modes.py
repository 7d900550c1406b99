"""How many nodes mount a claim at once, remembered for a while: access modes do not change while a claim lives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from disrouter_operator.errors import FORBIDDEN, KubeError
from disrouter_operator.kube.client import Kube
from disrouter_operator.kube.resources import PERSISTENT_VOLUME_CLAIMS

FRESH = timedelta(minutes=15)
"""Until a claim is read again, that somebody may have replaced."""
MISSING = timedelta(minutes=1)
"""Until one is asked for again that was not there, or might not be read."""


class ClaimModes:
    """In memory alone. What may not be read, and what is not there, has no modes."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], tuple[datetime, frozenset[str]]] = {}
        """Until when what is known of a claim counts."""

    async def of(
        self, kube: Kube, namespace: str, claims: Iterable[str], now: datetime
    ) -> Mapping[str, frozenset[str]]:
        """Access modes by claim."""
        self._known = {key: known for key, known in self._known.items() if now < known[0]}
        return {claim: await self._of_one(kube, (namespace, claim), now) for claim in sorted(set(claims))}

    async def _of_one(self, kube: Kube, key: tuple[str, str], now: datetime) -> frozenset[str]:
        if key in self._known:
            return self._known[key][1]
        found = await _read(kube, *key)
        self._known[key] = (now + (FRESH if found else MISSING), found)
        return self._known[key][1]


async def _read(kube: Kube, namespace: str, claim: str) -> frozenset[str]:
    """What a claim has got, or asks for."""
    try:
        found = await kube.get(PERSISTENT_VOLUME_CLAIMS, namespace, claim)
    except KubeError as error:
        if error.status == FORBIDDEN:
            return frozenset()
        raise
    if found is None:
        return frozenset()
    got, asked = ((found.get(part) or {}).get("accessModes") for part in ("status", "spec"))
    return frozenset(got or asked or ())
