"""How many pods a HorizontalPodAutoscaler wants: the algorithm of Kubernetes, by its documentation and podautoscaler/.

KEDA makes an HPA of a ScaledObject and itself only moves it between no pod and one (`activation`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil

PERIOD = 15.0
"""Seconds between two looks (--horizontal-pod-autoscaler-sync-period)."""
TOLERANCE = 0.1
STABILISED = 300.0
"""Seconds over which the largest wish counts before pods go (behavior.scaleDown.stabilizationWindowSeconds)."""
POLLED = 30.0
"""Seconds between KEDA's looks at an agent without pods (pollingInterval)."""
COOLDOWN = 300.0
"""Seconds without any demand after which KEDA takes the last pod (cooldownPeriod)."""


def by_value(value: float, target: float, pods: int) -> int:
    """Of an external metric with a target for each pod."""
    if pods and abs(value / (target * pods) - 1) <= TOLERANCE:
        return pods
    return ceil(value / target)


def by_utilisation(busy: Sequence[float], target: float, pods: int) -> int:
    """Of utilisations of the pods that are ready, among `pods` in all: of the others none is known.

    Where more are wanted, those that start count as idle, so that they are not asked for again and again.
    """
    if not busy:
        return pods
    ratio, starting = sum(busy) / len(busy) / target, pods - len(busy)
    if abs(ratio - 1) <= TOLERANCE:
        return pods
    if ratio < 1 or not starting:
        return ceil(ratio * len(busy))
    damped = sum(busy) / pods / target
    return pods if damped <= 1 + TOLERANCE else ceil(damped * pods)


@dataclass
class Behaviour:
    """What is made of the wishes: bounds, the default policies, and patience on the way down."""

    least: int
    most: int
    wishes: list[tuple[float, int]] = field(default_factory=list)

    def pods(self, now: float, current: int, wished: int) -> int:
        """How many there should be from now on."""
        self.wishes = [(moment, wish) for moment, wish in self.wishes if moment > now - STABILISED]
        self.wishes.append((now, wished))
        highest = max(wish for _, wish in self.wishes)
        up, down = min(wished, max(2 * current, current + 4)), min(current, highest)
        return max(self.least, 1, min(up if wished > current else down, self.most))
