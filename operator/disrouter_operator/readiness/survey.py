"""Asks the API server, now and then, whether it has each kind and lets this replica list it.

A list of one object says more than a SelfSubjectAccessReview: it goes the way that reconciles and watches go, through
every authorizer, and finds a conversion webhook or a storage that does not work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from disrouter_operator.errors import REFUSED, KubeError
from disrouter_operator.kube.observed import CHILDREN, OPTIONAL, PUBLISHING
from disrouter_operator.kube.resources import CASCADES, Resource
from disrouter_operator.readiness.assessment import SurveyResult

LOOK_SECONDS = 10.0
"""How soon a kind that is installed or removed is noticed."""
HURRY_SECONDS = 3.0
"""The same while something is missing that no cascade can do without."""
RIGHTS_SECONDS = 60.0
"""How soon a right is missed that was there before, or found that may be kept back on purpose; what else is missing is
asked for with every look."""


class Probe(Protocol):
    """The two questions. Both raise KubeError."""

    async def serves(self, resource: Resource) -> bool:
        """Whether the kind is installed."""
        ...

    async def reach(self, resource: Resource, namespace: str | None) -> None:
        """List one object of the kind."""
        ...


@dataclass
class Survey:
    """`findings` is what the last look found; None before the first one."""

    probe: Probe
    namespaces: Sequence[str] = ()
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    findings: SurveyResult | None = field(default=None, init=False)
    _looked: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _good_for: float = field(default=0.0, init=False)
    """Seconds for which rights that were found need not be asked for again."""

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            found = await self.look()
            pause = LOOK_SECONDS if found.usable else HURRY_SECONDS
            await self.sleep(pause)
            self._good_for -= pause

    async def look(self) -> SurveyResult:
        """Ask now."""
        known = self.findings or SurveyResult()
        try:
            found = await self._ask(known)
        except KubeError as error:
            found = replace(known, away=error.answer)
        if not found.usable or found.forbidden.keys() - PUBLISHING:
            self._good_for = 0.0
        self.findings = found
        looked, self._looked = self._looked, asyncio.Event()
        looked.set()
        return found

    async def usable(self) -> SurveyResult:
        """What is found as soon as the operator can work with it."""
        while self.findings is None or not self.findings.usable:
            await self._looked.wait()
        return self.findings

    async def _ask(self, known: SurveyResult) -> SurveyResult:
        absent = frozenset([kind for kind in (CASCADES, *sorted(OPTIONAL)) if not await self.probe.serves(kind)])
        if self._good_for > 0 and absent == known.absent:
            return SurveyResult(absent, known.forbidden)
        forbidden = {}
        for kind in (CASCADES, *CHILDREN):
            words = await self._refusal(kind) if kind not in absent else None
            if words is not None:
                forbidden[kind] = words
        self._good_for = RIGHTS_SECONDS
        return SurveyResult(absent, forbidden)

    async def _refusal(self, kind: Resource) -> str | None:
        """Why a kind may not be listed in one of the namespaces; None if it may."""
        for namespace in self.namespaces or (None,):
            try:
                await self.probe.reach(kind, namespace)
            except KubeError as error:
                if error.status not in REFUSED:
                    raise
                return error.answer
        return None
