"""The local reward by which an agent learns when to refuse: equation 7 of the paper.

What a whole cascade is worth (equations 1 and 2, and the controls of Table 2) is the trainer's to measure.
"""

from __future__ import annotations

from disrouter.scenario import reject_threshold


def reward(*, refused: bool, correct: bool, alpha: float, gamma: float = 0.5) -> float:
    """The local, scenario-conditioned reward of one reply (eq. 7): 1, 0, or (1 - alpha) ** gamma for a refusal."""
    if refused:
        return reject_threshold(alpha, gamma)
    return 1.0 if correct else 0.0
