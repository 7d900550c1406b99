"""As many at once as fit: real lists, and a memory that is full from a certain size on."""

import pytest
import torch

from disrouter_training.generation.halving import Halving


class Memory:
    """Holds at most `most` items at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.sizes: list[int] = []

    def doubled(self, part: list[int]) -> list[int]:
        self.sizes.append(len(part))
        if len(part) > self._most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        return [2 * item for item in part]


def test_out_of_memory_halves_what_is_done_at_once_and_nothing_is_lost_or_done_twice() -> None:
    memory, said = Memory(3), list[str]()
    halving = Halving(said.append)
    assert halving.map(range(20), 16, memory.doubled) == [2 * item for item in range(20)]  # type: ignore[arg-type]
    assert memory.sizes == [16, 8, 4, *[2] * 10]
    assert said[-1] == "out of memory with 4 prompts at once: goes on with 2"
    memory.sizes.clear()
    halving.map(range(5), 16, memory.doubled)  # type: ignore[arg-type]
    assert memory.sizes == [2, 2, 1], "what was too much once is not tried again"


def test_what_does_not_fit_alone_is_an_error() -> None:
    with pytest.raises(torch.OutOfMemoryError):
        Halving(lambda _: None).map([1, 2], 2, Memory(0).doubled)  # type: ignore[arg-type]


def test_another_error_is_not_taken_for_it() -> None:
    def fail(_: object) -> list[int]:
        raise RuntimeError("expected scalar type Half")

    with pytest.raises(RuntimeError, match="scalar type"):
        Halving(lambda _: None).map([1, 2], 2, fail)
