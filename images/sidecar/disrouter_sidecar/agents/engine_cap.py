"""The cap on requests that are at the local engine at once (`maxInflight`): the next one is not asked of it.

A request is counted from when the engine is asked until its reply has ended, has failed or is given up.
"""

from __future__ import annotations

from collections.abc import Callable

from disrouter_sidecar.agents.attempt import AttemptContext
from disrouter_sidecar.agents.engine import Cancellable, LocalEngine
from disrouter_sidecar.agents.outcomes import Answered, AttemptListener, Outcome
from disrouter_sidecar.config import Config
from disrouter_sidecar.errors import Reason, UpstreamFailed
from disrouter_sidecar.headers import Headers
from disrouter_sidecar.http.ports import BodyListener, Relay, Reply
from disrouter_sidecar.openai.preference import Preference
from disrouter_sidecar.request.context import RequestContext
from disrouter_sidecar.request.deadline import Budget

Ask = Callable[[AttemptContext, AttemptListener], Cancellable]


class Inflight:
    """How many requests are at the engine, of those that are counted."""

    def __init__(self) -> None:
        self.count = 0

    def take(self, cap: int) -> Slot:
        """Count one more. Raises UpstreamFailed where `cap` are there already."""
        if self.count >= cap:
            raise UpstreamFailed(Reason.BUSY, f"{self.count} requests are at its engine, and maxInflight is {cap}")
        self.count += 1
        return Slot(self)


class Slot:
    """One that is counted, until it is released."""

    __slots__ = ("_inflight",)

    def __init__(self, inflight: Inflight | None) -> None:
        self._inflight = inflight

    def release(self) -> None:
        """It has ended; again does nothing."""
        inflight, self._inflight = self._inflight, None
        if inflight is not None:
            inflight.count -= 1

    def passed_on(self) -> Slot:
        """The same one, for somebody else to release."""
        passed, self._inflight = Slot(self._inflight), None
        return passed


class CappedEngine:
    """`LocalEngine` that asks another one while there is room. Under a route table without a cap nothing is counted."""

    def __init__(self, engine: LocalEngine, own: str, inflight: Inflight) -> None:
        self._engine = engine
        self._own = own
        self._inflight = inflight

    @property
    def plain_head(self) -> None:
        """`LocalEngine`."""
        return None

    def use(self, config: Config) -> None:
        """Ask the engine that this configuration names."""
        self._engine.use(config)

    def answer(self, parent: AttemptContext, *, last: bool) -> Cancellable:
        """Must-answer. Raises UpstreamFailed."""
        return self._ask(parent, parent, lambda context, _: self._engine.answer(context, last=last))

    def decide(self, parent: AttemptContext, preference: Preference) -> Cancellable:
        """Let it decide. Raises UpstreamFailed."""
        return self._ask(parent, parent, lambda context, _: self._engine.decide(context, preference))

    def check(self, parent: AttemptContext, listener: AttemptListener) -> Cancellable:
        """See whether it takes the client's own request. Raises UpstreamFailed."""
        return self._ask(parent, listener, self._engine.check)

    def _ask(self, parent: AttemptContext, listener: AttemptListener, ask: Ask) -> Cancellable:
        cap = parent.context.table.agents[self._own].max_inflight
        if cap is None:
            return ask(parent, listener)
        slot = self._inflight.take(cap)
        try:
            return CountedAttempt(parent, listener, slot, ask)
        except Exception:
            slot.release()
            raise


class CountedAttempt:
    """What the engine does for one request, and its `AttemptContext`: releases the slot at whatever end."""

    __slots__ = ("_attempt", "_listener", "_parent", "_slot")

    def __init__(self, parent: AttemptContext, listener: AttemptListener, slot: Slot, ask: Ask) -> None:
        self._parent = parent
        self._listener = listener
        self._slot = slot
        self._attempt = ask(self, self)

    @property
    def context(self) -> RequestContext:
        """The request's."""
        return self._parent.context

    @property
    def budget(self) -> Budget:
        """The request's."""
        return self._parent.budget

    def trace(self) -> Headers:
        """The request's."""
        return self._parent.trace()

    def weighed(self, refusal_probability: float, competence: float, threshold: float) -> None:
        """The request's."""
        self._parent.weighed(refusal_probability, competence, threshold)

    def cancel(self) -> None:
        """The client has left."""
        attempt = self._attempt
        self._end()
        attempt.cancel()

    def ended(self, outcome: Outcome) -> None:
        """`AttemptListener`: a stream is counted until it ends."""
        if isinstance(outcome, Answered) and not outcome.ended:
            outcome = outcome._replace(reply=CountedReply(outcome.reply, self._slot.passed_on()))
        self._end().ended(outcome)

    def _end(self) -> AttemptListener:
        """Release the slot and every reference, so that no cycle is left for the collector; returns the listener."""
        self._slot.release()
        listener = self._listener
        del self._listener, self._parent, self._attempt
        return listener


class CountedReply:
    """`ports.Reply` that releases its slot when it is closed, which happens at every end of a stream."""

    __slots__ = ("_reply", "_slot")

    def __init__(self, reply: Reply, slot: Slot) -> None:
        self._reply = reply
        self._slot = slot

    @property
    def status(self) -> int:
        """The reply's."""
        return self._reply.status

    @property
    def headers(self) -> Headers:
        """The reply's."""
        return self._reply.headers

    async def chunk(self, seconds: float) -> bytes:
        """The reply's."""
        return await self._reply.chunk(seconds)

    def pipe(self, listener: BodyListener, idle: float, relay: Relay | None = None) -> None:
        """The reply's."""
        self._reply.pipe(listener, idle, relay)

    def patience(self, seconds: float) -> None:
        """The reply's."""
        self._reply.patience(seconds)

    def forget(self) -> None:
        """The reply's."""
        self._reply.forget()

    def pause(self) -> None:
        """The reply's."""
        self._reply.pause()

    def resume(self) -> None:
        """The reply's."""
        self._reply.resume()

    def close(self, *, ending: bool = False) -> None:
        """The reply's, and the end of what is counted."""
        self._slot.release()
        self._reply.close(ending=ending)
