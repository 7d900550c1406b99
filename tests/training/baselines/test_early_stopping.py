"""A training stops when dev gets no better, and leaves its best weights."""

import torch
from torch import nn

from disrouter_training.baselines.early_stopping import EarlyStopping


def test_the_best_weights_come_back_and_patience_counts_looks_without_a_better_loss() -> None:
    network = nn.Linear(1, 1, bias=False)
    stopping = EarlyStopping(network, patience=2)
    said = []
    for step, loss in enumerate((0.9, 0.5, 0.5, 0.4, 0.6, 0.7)):
        with torch.no_grad():
            network.weight.fill_(step)
        said.append(stopping.should_stop(loss))
    assert said == [False, False, False, False, False, True], "an equal loss is not a better one"
    stopping.restore()
    assert network.weight.item() == 3
