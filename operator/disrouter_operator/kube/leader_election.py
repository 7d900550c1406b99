"""Leader election by a Lease, so that a second replica waits instead of writing too.

The rules are client-go's: the holder renews; a candidate takes over when it has seen no renewal for the lease's whole
duration on its own clock; every write carries the resourceVersion that was read, so one of two candidates loses.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from disrouter_operator.errors import Conflict, KubeError, LeadershipLost, Unreachable
from disrouter_operator.kube.client import Kube
from disrouter_operator.kube.resources import LEASES, Object

LEASE_NAME = "disrouter-operator"

logger = logging.getLogger(__name__)


@dataclass
class Election:
    """One candidate. Times are in seconds; `renew` is how often the holder says that it lives."""

    kube: Kube
    namespace: str
    identity: str
    name: str = LEASE_NAME
    duration: float = 15.0
    renew: float = 4.0
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _seen: str = field(default="", init=False)
    _seen_at: float = field(default=0.0, init=False)
    _renewed: float = field(default=-math.inf, init=False)

    async def acquire(self, tried: Callable[[KubeError | None], None] = lambda _: None) -> None:
        """Wait until this candidate leads; `tried` is told of each attempt in vain: another leads, or an error."""
        said = ""
        while True:
            error = None
            try:
                if await self._attempt(self.renew):
                    logger.info("%s leads", self.identity)
                    return
            except KubeError as caught:
                error = caught
                if said != str(error):
                    logger.warning("cannot read or write the lease %s/%s: %s", self.namespace, self.name, error)
            said = str(error or "")
            tried(error)
            await self.sleep(self.renew)

    async def hold(self) -> None:
        """Renew until leadership is lost. Raises LeadershipLost in time before others may lead; stop writing then."""
        problem: KubeError | None = None
        while True:
            await self.sleep(max(0.0, min(self.renew, self._time_left())))
            left = self._time_left()
            if left <= 0:
                why = problem or "this process was held up"
                raise LeadershipLost(f"the lease could not be renewed in time: {why}") from problem
            try:
                if not await self._attempt(left):
                    raise LeadershipLost(f"another replica took the lease {self.namespace}/{self.name}")
                problem = None
            except KubeError as error:
                problem = error

    async def release(self) -> None:
        """Let the next candidate lead at once."""
        lease = await self.kube.get(LEASES, self.namespace, self.name)
        if lease is not None and lease["spec"].get("holderIdentity") == self.identity:
            await self.kube.delete(LEASES, self.namespace, self.name, uid=lease["metadata"]["uid"])

    def leads(self) -> bool:
        """Whether this candidate may write now, by its own clock; asked before every write (`api_server.py`)."""
        return self._time_left() > 0

    def _time_left(self) -> float:
        """Seconds that the holder may still try to renew; what remains of the lease then is for stopping."""
        return self._renewed + self.duration - self.renew - self.monotonic()

    async def _attempt(self, seconds: float) -> bool:
        """Take or renew the lease. False if somebody else holds it. Raises Unreachable after `seconds`.

        The lease counts from before the request: a candidate's clock starts when the write arrives, not its answer.
        """
        started = self.monotonic()
        try:
            async with asyncio.timeout(seconds):
                leads = await self._write()
        except TimeoutError:
            raise Unreachable(f"the API server did not answer about the lease within {seconds:.1f} s") from None
        self._renewed = started if leads else -math.inf
        return leads

    async def _write(self) -> bool:
        """False if somebody else holds the lease or was faster."""
        lease = await self.kube.get(LEASES, self.namespace, self.name)
        try:
            if lease is None:
                await self.kube.create(self._manifest(None))
                return True
            if lease["spec"].get("holderIdentity") != self.identity and not self._expired(lease):
                return False
            await self.kube.apply(self._manifest(lease))
        except Conflict:
            return False
        return True

    def _expired(self, lease: Object) -> bool:
        """Whether nothing moved for the lease's duration, by this candidate's own clock (clocks may disagree)."""
        version = str(lease["metadata"]["resourceVersion"])
        if version != self._seen:
            self._seen, self._seen_at = version, self.monotonic()
        return self.monotonic() - self._seen_at > float(lease["spec"].get("leaseDurationSeconds") or self.duration)

    def _manifest(self, lease: Object | None) -> Object:
        metadata: Object = {"name": self.name, "namespace": self.namespace}
        now = self.clock().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        before = lease["spec"] if lease is not None else {}
        ours = before.get("holderIdentity") == self.identity
        if lease is not None:
            metadata["resourceVersion"] = lease["metadata"]["resourceVersion"]
        spec = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": max(1, round(self.duration)),
            "renewTime": now,
            "acquireTime": (ours and before.get("acquireTime")) or now,
            "leaseTransitions": int(before.get("leaseTransitions") or 0) + (lease is not None and not ours),
        }
        return {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": metadata, "spec": spec}
