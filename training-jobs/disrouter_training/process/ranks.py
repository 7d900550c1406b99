"""Several processes that train one model: who this one is among them, and what they agree on (torchrun).

Rank 0 leads: it alone holds the run's lock and writes what the run leaves. The others only compute; what they write is
their random state in a checkpoint, which goes with the checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

from disrouter.artifacts import Stage
from disrouter_training.errors import RanksError

PARALLEL = (Stage.SFT, Stage.RL)
"""Stages that train; the others generate, in one process."""
LONGEST_WAIT = timedelta(days=1)
"""That processes wait for each other. While the leader extracts with a larger model the others wait for hours, and the
half hour of gloo would end them. A process that dies is no reason for less: torchrun ends the others at once."""

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """This process among `size` processes. `local` counts on one machine and chooses its GPU."""

    rank: int = 0
    local: int = 0
    size: int = 1

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Ranks:
        """What torchrun says by RANK, LOCAL_RANK and WORLD_SIZE; alone without it. Raises RanksError for nonsense."""
        if "LOCAL_RANK" not in environment:
            return cls()
        ranks = cls(*(_number(environment, name) for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE")))
        if not (ranks.rank < ranks.size and ranks.local < ranks.size):
            raise RanksError(
                f"RANK {ranks.rank} and LOCAL_RANK {ranks.local} must be below WORLD_SIZE {ranks.size}; use torchrun"
            )
        return ranks

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    def check(self, stages: Sequence[Stage]) -> None:
        """Raise RanksError if several processes were started for stages that are one process's work."""
        alone = [str(stage) for stage in stages if stage not in PARALLEL]
        if self.size > 1 and alone:
            raise RanksError(
                f"{', '.join(alone)} is the work of one process, and torchrun started {self.size}; "
                "start it with python -m disrouter_training, and only sft and rl with torchrun"
            )

    def share(self, total: int, field: str) -> int:
        """One process's part of a batch. Raises RanksError that names the field if the parts would not be equal."""
        if total % self.size:
            raise RanksError(
                f"{field} is {total}, which {self.size} processes cannot share equally; make it a multiple of "
                f"{self.size}, or change spec.training.jobs.nodes or processesPerNode"
            )
        return total // self.size

    @contextmanager
    def together(self) -> Iterator[None]:
        """Meet the others, and leave when all are done. After a failure there is no leaving: torchrun ends them all."""
        if self.size == 1:
            yield
            return
        import torch

        gpu = torch.cuda.is_available()
        if gpu:
            torch.cuda.set_device(self.local)
        torch.distributed.init_process_group("cpu:gloo,cuda:nccl" if gpu else "gloo", timeout=LONGEST_WAIT)
        yield
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()

    def gather(self, value: T) -> list[T]:
        """The values of all processes, in all of them; all must give one."""
        if self.size == 1:
            return [value]
        from torch import distributed

        values: list[Any] = [None] * self.size
        distributed.all_gather_object(values, value)
        return values

    def from_leader(self, work: Callable[[], T]) -> T:
        """Done by the leader alone, known to all; nobody goes on before it is done."""
        return cast(T, self.gather(work() if self.leads else None)[0])


def _number(environment: Mapping[str, str], name: str) -> int:
    value = environment.get(name, "")
    if not value.isdecimal():
        raise RanksError(f"{name} is {value!r}, not a number; start several processes with torchrun, which sets it")
    return int(value)
