"""What is asked of every target, and what counts as one unit of its work."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

PROXIES = ("direct", "nginx", "sidecar", "vllm-router", "litellm")
OPEN_STREAMS = 1000
WARMING_SECONDS = 0.1
"""Proxies close connections to an engine that nobody has used for seconds, which is as long as others are measured."""


class Unit(StrEnum):
    """What CPU time is divided by."""

    REQUEST = "request"
    TOKEN = "token"


@dataclass(frozen=True)
class Workload:
    """One kind of load. `seconds` are measured after `warm_up`; `options` are the load generator's."""

    name: str
    title: str
    options: tuple[str, ...]
    unit: Unit = Unit.REQUEST
    seconds: float = 1.2
    warm_up: float = 0.3
    targets: tuple[str, ...] = PROXIES

    def arguments(self, port: int, model: str, scale: float) -> tuple[str, ...]:
        """Of the load generator, with both times scaled."""
        times = ("-d", f"{self.seconds * scale:g}", "-w", f"{self.warm_up * scale:g}")
        return ("-p", str(port), "-m", model, *times, *self.options)

    def warming(self, port: int, model: str) -> tuple[str, ...]:
        """The same for as many clients, which ask something small for a moment."""
        clients = self.options[self.options.index("-c") + 1]
        return ("-p", str(port), "-m", model, "-d", f"{WARMING_SECONDS:g}", "-c", clients, "-n", "1", "-s")


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


TINY = Workload("tiny", "tiny answers, whole, 64 clients", _words("-c 64 -n 1"))
FAST = Workload("fast", "fast streams, 64 clients, 128 tokens", _words("-c 64 -n 128 -s"), Unit.TOKEN)
PACED = Workload(
    "paced", "paced streams, 64 x 50 tokens/s", _words("-c 64 -n 32 -s -i 20000 -g 10000"), Unit.TOKEN, 1.6, 0.7
)
FIRST = Workload("first-token", "one client at a time, to the first token", _words("-c 1 -n 1 -s"), seconds=0.8)
REFUSAL = Workload(
    "refusal",
    "three agents, two refuse, one client at a time",
    _words("-c 1 -n 1 -s"),
    seconds=0.8,
    targets=("direct", "nginx", "sidecar", "chain"),
)
LONG = Workload("long-prompt", "prompts of 100 KB, streamed, 16 clients", _words("-c 16 -n 1 -s -b 100000"))
IDLE = Workload(
    "idle-streams",
    f"{OPEN_STREAMS:,} streams with a token every two seconds",
    (),  # the load is memory.py's own
    targets=PROXIES[1:],
)
WORKLOADS = {workload.name: workload for workload in (TINY, FAST, PACED, FIRST, REFUSAL, LONG, IDLE)}
