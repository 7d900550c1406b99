"""How much memory a training stage will need, reported before it starts.

Model states as in "Anatomy of Model's Memory" of transformers' documentation: per trained parameter 4 bytes of weights,
4 of gradient and 8 of AdamW, and 2 of a cast weight under bf16 autocast. Activations as Korthikanti et al. (2022,
arXiv:2205.05198) count them for attention that keeps no scores: 34 bytes a token, layer and hidden unit in half
precision. It is an estimate: expect a tenth more or less.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path

from disrouter_training.errors import TooLarge

GIB = 1 << 30
COPIES_OF_LOGITS = 4
"""Logits, their softmax, and the gradients of both are alive at once (float32)."""
_ACTIVATION = 34 / 2
"""Values that a layer keeps for the backward pass, a token and hidden unit."""
_RUNTIME = GIB
"""Of a GPU: the driver's context, libraries and what the allocator cannot use."""
ROLLOUT_MEMORY, MOST_FOR_ROLLOUTS = 0.3, 0.6
"""Share of a GPU that vLLM has for rollouts beside the trainer: usually, and at most."""
_ROLLOUT_CACHE = 3 * GIB
"""Of vLLM besides weights: keys and values of the replies, graphs and what it computes with."""
_CGROUP = Path("/sys/fs/cgroup/memory.max")
_MEMINFO = Path("/proc/meminfo")


@dataclass(frozen=True)
class Shape:
    """What of a model costs memory. `trained` is all of `parameters`, or those of its adapter beside them."""

    parameters: int
    trained: int
    layers: int
    hidden: int
    cached: int
    """Values of keys and values that a layer keeps a token while it generates."""
    vocabulary: int
    adapted: bool


@dataclass(frozen=True)
class Work:
    """What a stage does with it."""

    sequences: int
    """Of a micro-batch."""
    tokens: int
    """Of the longest sequence."""
    bf16: bool
    checkpointing: bool
    scored: int | None = None
    """Tokens of a sequence whose logits are computed, where it is not all of them."""
    reference: bool = False
    """Whether a second model stays in memory to measure the divergence from; an adapter's is the model without it."""
    generated: int = 0
    """Sequences that are generated at once in this process."""


@dataclass(frozen=True)
class Need:
    """Bytes, by what they are for."""

    weights: float
    gradients: float
    optimizer: float
    activations: float
    logits: float
    generation: float
    runtime: float

    @property
    def total(self) -> float:
        """All of it, at its peak. Generating and the backward pass take turns."""
        states = self.weights + self.gradients + self.optimizer + self.runtime
        return states + max(self.activations + self.logits, self.generation)

    def __str__(self) -> str:
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        return ", ".join(f"{name} {value / GIB:.1f}" for name, value in parts.items() if value >= GIB / 20)


def estimate(shape: Shape, work: Work, *, gpu: bool) -> Need:
    """The memory of one process. Data-parallel processes each need it: more of them are faster, not smaller."""
    width = 2 if work.bf16 else 4
    frozen = shape.parameters * width if shape.adapted else 0
    casts = shape.trained * 2 if work.bf16 else 0
    reference = shape.parameters * 4 if work.reference and not shape.adapted else 0
    tokens = work.sequences * work.tokens
    layer = tokens * shape.hidden * width
    kept = shape.layers * layer + _ACTIVATION * layer if work.checkpointing else _ACTIVATION * layer * shape.layers
    scored = work.sequences * (work.tokens if work.scored is None else work.scored)
    return Need(
        weights=frozen + shape.trained * 4 + casts + reference,
        gradients=shape.trained * 4,
        optimizer=shape.trained * 8,
        activations=kept,
        logits=scored * shape.vocabulary * 4 * COPIES_OF_LOGITS,
        generation=work.generated * work.tokens * shape.layers * shape.cached * width,
        runtime=_RUNTIME if gpu else 0,
    )


def verdict(stage: str, need: Need, available: float, *, gpu: bool, adapted: bool) -> str:
    """A line for people. Raises TooLarge where a GPU cannot hold it; a CPU's memory is elastic, so there it is said."""
    where = "GPU" if gpu else "process"
    line = f"{stage} needs about {need.total / GIB:.1f} GiB per {where} ({need}); you have {available / GIB:.1f}"
    if need.total <= available:
        return line
    lighter = f"set {stage}.lora" if not adapted else "take a smaller model"
    remedy = (
        f"{lighter}, set {stage}.gradientCheckpointing, shorten the questions or collect.maxNewTokens, or use larger "
        "GPUs; more of them make it faster, not smaller"
    )
    if gpu:
        raise TooLarge(f"{line}: {remedy}")
    return f"warning: {line}: it may be killed; {remedy}"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch, or Python, found no memory: of a GPU, or of the machine where its kernel lets it know."""
    said = str(error)
    return isinstance(error, MemoryError) or "out of memory" in said or "can't allocate memory" in said


def rollout_share(parameters: int, total: float) -> float:
    """Share in (0, 1) of a GPU of `total` bytes that vLLM needs for rollouts beside the trainer: its own copy of the
    weights in half precision, and a cache. Raises TooLarge where it leaves the trainer too little."""
    need = parameters * 2 + _ROLLOUT_CACHE
    share = max(ROLLOUT_MEMORY, math.ceil(need / total * 100) / 100)
    if share > MOST_FOR_ROLLOUTS:
        raise TooLarge(
            f"rl needs {need / GIB:.1f} GiB of each GPU for vLLM's copy of the weights and its cache, and they have "
            f"{total / GIB:.1f}: set rl.rollouts to transformers, or use larger GPUs"
        )
    return share


def of_machine() -> float:
    """Bytes of main memory that this process may use: the container's limit, or the machine's."""
    total = next(int(line.split()[1]) * 1024 for line in _MEMINFO.read_text().splitlines() if "MemTotal" in line)
    try:
        limit = _CGROUP.read_text().strip()
    except OSError:
        return total
    return min(total, int(limit)) if limit.isdecimal() else total
