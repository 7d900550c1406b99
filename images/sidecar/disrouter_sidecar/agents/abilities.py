"""What the local engine has shown that it cannot do, remembered for a while: an engine may be replaced meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from disrouter_sidecar.request.needs import Capability

REMEMBERED_SECONDS = 600.0


class Abilities:
    """Learned from errors, by one sidecar of its local engine."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lacks: dict[Capability, float] = {}
        """Until when each is believed to be missing."""
        self._context_length: tuple[int, float] | None = None
        self.known = False
        """Whether anything was learned at all."""

    def learn(self, lacks: Iterable[Capability], context_length: int | None) -> None:
        """An error has said so."""
        until = self._clock() + REMEMBERED_SECONDS
        for capability in lacks:
            self._lacks[capability] = until
            self.known = True
        if context_length is not None:
            self._context_length = (context_length, until)
            self.known = True

    def lacks(self) -> frozenset[Capability]:
        """What it is believed to lack now."""
        now = self._clock()
        return frozenset(capability for capability, until in self._lacks.items() if now < until)

    def context_length(self) -> int | None:
        """Tokens that it takes, by its own word."""
        limit = self._context_length
        return limit[0] if limit is not None and self._clock() < limit[1] else None
