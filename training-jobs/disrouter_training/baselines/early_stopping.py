"""The weights of the epoch with the least loss on dev, and the end of a training that gets no better."""

from __future__ import annotations

import copy
from typing import Any


class EarlyStopping:
    """Keeps the best weights of a network of torch. `patience` is in looks without a better loss."""

    def __init__(self, network: Any, patience: int) -> None:
        self._network, self._patience = network, patience
        self._best, self._kept, self._waited = float("inf"), copy.deepcopy(network.state_dict()), 0

    def should_stop(self, loss: float) -> bool:
        """Look at a loss on dev: keep the weights if it is the least so far, and say whether to stop."""
        if loss < self._best:
            self._best, self._kept, self._waited = loss, copy.deepcopy(self._network.state_dict()), 0
        else:
            self._waited += 1
        return self._waited >= self._patience

    def restore(self) -> None:
        """Give the network its best weights back."""
        self._network.load_state_dict(self._kept)
