"""Being asked to stop: finish the step at hand, keep the work, leave."""

from __future__ import annotations

import signal
from types import FrameType

from disrouter_training.errors import Interrupted


class StopSignal:
    """Set by SIGTERM (the kubelet) or SIGINT (a person); a second signal ends the process at once."""

    def __init__(self) -> None:
        self.requested = False

    def install(self) -> None:
        """Listen, instead of the default of dying in the middle of a step."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._receive)

    def check(self, where: str) -> None:
        """Raise Interrupted if a stop was asked for; call it where the work so far is safe."""
        if self.requested:
            raise Interrupted(f"{where} was interrupted; its work is kept, run it again to go on")

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        self.requested = True
        signal.signal(number, signal.SIG_DFL)
