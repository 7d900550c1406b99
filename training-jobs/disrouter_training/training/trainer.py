"""What the two training stages share: TRL's settings, checkpoints, progress and stopping."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback

from disrouter.artifacts import Stage, TrainConfig
from disrouter_training.errors import Interrupted
from disrouter_training.job import Job
from disrouter_training.models.gpu_memory import COPIES_OF_LOGITS, GIB, Shape, Work, estimate, of_machine, verdict
from disrouter_training.models.loading import (
    adapter_of,
    computes_in_bf16,
    load_model,
    release_memory,
    unless_too_much,
)
from disrouter_training.models.publishing import publish
from disrouter_training.process.progress import Progress, Say
from disrouter_training.training.disk_space import damage, note_sizes
from disrouter_training.training.trackers import prepare_trackers

T = TypeVar("T")
CHECKPOINTS_PER_STAGE = 10
"""At least; a kill loses at most a tenth of a stage."""
CHECKPOINT_SECONDS = 600.0
"""A kill loses at most this, and a step."""
KEPT_CHECKPOINTS = 2
BYTES_OF_CHECKPOINT = 12
"""A trained parameter: its weight and AdamW's two moments, in fp32."""
LOGITS_BUDGET_CPU = 1 << 30
LOGITS_BUDGET_GPU = 8 << 30
"""Bytes that one micro-batch's logits may take: the term that grows with batch, length and vocabulary."""


def micro_batch(total: int, tokens: int, vocabulary: int, asked: int | None = None) -> int:
    """The largest divisor of `total` sequences not above what is asked for, or else whose logits fit the budget."""
    budget = LOGITS_BUDGET_GPU if torch.cuda.is_available() else LOGITS_BUDGET_CPU
    return _divisor(total, asked or max(1, budget // (tokens * vocabulary * 4 * COPIES_OF_LOGITS)))


def as_fits(job: Job, stage: Stage, batch: int, size: int, attempt: Callable[[int], T]) -> T:
    """Train with micro-batches of `size` sequences, and with fewer each time that memory runs out.

    The batch of a step stays what it is. Every attempt goes on from the last checkpoint. One process of several cannot
    go back alone: there it is an error, as with single sequences.
    """
    while size > 1 and job.ranks.size == 1:
        done = unless_too_much(partial(attempt, size))
        if done is not None:
            return done
        smaller = _divisor(batch, size // 2)
        job.say(
            f"{stage}: out of memory with {size} sequences at once: goes on with {smaller} from the last checkpoint"
        )
        size = smaller
    return attempt(size)


def _divisor(total: int, most: int) -> int:
    return max(size for size in range(1, total + 1) if total % size == 0 and size <= most)


def trainable(name: str, config: TrainConfig) -> dict[str, Any]:
    """The model to train, and how TRL adapts it: the arguments `model` and `peft_config` of its trainers.

    Under an adapter the weights stay as they are, so they are held in what they are computed with.
    """
    adapted = config.lora is not None
    model = load_model(name, train=True, frozen_bf16=adapted and computes_in_bf16(config.precision))
    return {"model": model, "peft_config": adapter_of(config.lora) if config.lora is not None else None}


def check_memory(job: Job, stage: Stage, shape: Shape, work: Work, share: float = 1.0) -> None:
    """Say what the stage will need of its share of the memory. Raises TooLarge where the GPU cannot hold it."""
    check_disk(job, stage, shape)
    release_memory()  # of a stage before this one, in the same process
    gpu = torch.cuda.is_available()
    available = share * (torch.cuda.mem_get_info()[0] if gpu else of_machine())
    need = estimate(shape, work, gpu=gpu)
    job.say(verdict(stage, need, available, gpu=gpu, adapted=shape.adapted))


def check_disk(job: Job, stage: Stage, shape: Shape) -> None:
    """Warn where the checkpoints and weights of a stage will not fit. Others may write there too, so it is no error."""
    states = shape.trained * BYTES_OF_CHECKPOINT * (KEPT_CHECKPOINTS + 1)
    need = states + (shape.parameters + shape.trained) * 4
    free = shutil.disk_usage(job.folder(stage)).free if job.ranks.leads else need
    if free < need:
        job.say(
            f"warning: {stage} writes up to {need / GIB:.1f} GiB and {free / GIB:.1f} are free in {job.layout.root}"
        )


def checkpoints_activations(config: TrainConfig) -> bool:
    """Whether activations are computed again in the backward pass."""
    return torch.cuda.is_available() if config.gradient_checkpointing is None else config.gradient_checkpointing


def common_arguments(job: Job, stage: Stage, steps: int, config: TrainConfig) -> dict[str, Any]:
    """Arguments of transformers' Trainer that both stages use."""
    gpu = torch.cuda.is_available()
    folder = job.folder(stage)
    prepare_trackers(folder, job.config.cascade)
    return {
        "output_dir": str(folder / "checkpoints"),
        "run_name": f"{job.layout.relative}/{stage}",
        "use_cpu": not gpu,
        "bf16": computes_in_bf16(config.precision),
        "gradient_checkpointing": checkpoints_activations(config),
        "dataloader_pin_memory": gpu,
        "max_steps": steps,
        "logging_steps": 1,
        "save_strategy": "steps",
        "save_steps": max(1, steps // CHECKPOINTS_PER_STAGE),
        "save_total_limit": KEPT_CHECKPOINTS,
        "report_to": list(job.report_to),
        "disable_tqdm": True,
        "seed": job.seed(f"{stage}-trainer") % 2**31,
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
    }


def step_of(checkpoint: Path | None) -> int:
    """The step that a checkpoint was made after; 0 for none."""
    return int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0


def last_checkpoint(folder: Path, say: Say) -> Path | None:
    """The newest whole checkpoint; one that was torn or damaged is removed, and the one before it taken."""
    for path in sorted((folder / "checkpoints").glob("checkpoint-*"), key=step_of, reverse=True):
        problem = damage(path)
        if problem is None:
            return path
        say(f"{path} is dropped: {problem}")
        shutil.rmtree(path)
    return None


class Watcher(TrainerCallback):  # type: ignore[misc]  # transformers has no types
    """Reports progress, keeps metrics, makes checkpoints in time, and ends training when asked to stop."""

    def __init__(
        self,
        progress: Progress,
        units_per_step: int,
        job: Job,
        on_metrics: Callable[[int, dict[str, Any]], None],
        on_checkpoint: Callable[[Path], None] = lambda _: None,
    ) -> None:
        self._progress, self._units, self._job = progress, units_per_step, job
        self._on_metrics, self._on_checkpoint = on_metrics, on_checkpoint
        self._saved = job.clock()

    def on_step_end(self, _args: Any, _state: Any, control: Any, **_: Any) -> None:
        """One optimizer step is done, in all processes: they save and stop after the same one."""
        self._progress.advance(self._units)
        due = self._job.ranks.leads and self._job.clock() - self._saved > CHECKPOINT_SECONDS
        votes = self._job.ranks.gather((self._job.stop.requested, due))
        stop, save = (any(vote[index] for vote in votes) for index in range(2))
        control.should_save |= stop or save
        control.should_training_stop |= stop

    def on_save(self, args: Any, state: Any, _control: Any, **_: Any) -> None:
        """A checkpoint is whole once every process has written its part of it."""
        self._saved = self._job.clock()
        self._job.ranks.gather(None)
        if self._job.ranks.leads:
            checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            note_sizes(checkpoint)
            self._on_checkpoint(checkpoint)

    def on_log(self, _args: Any, state: Any, _control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """The trainer's numbers of this step (and once, at the end, of the whole run: not a step's)."""
        if logs and "train_runtime" not in logs:
            self._on_metrics(state.global_step, logs)


def train(trainer: Any, job: Job, stage: Stage, checkpoint: Path | None, progress: Progress) -> int:
    """Train from the checkpoint to the end and leave `weights/`; tokens trained on since the last start.

    Raises Interrupted after another checkpoint.
    """
    progress.resume(step_of(checkpoint))
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    job.ranks.gather(None)  # each has written its part of the last checkpoint
    if trainer.state.global_step < trainer.state.max_steps:
        raise Interrupted(f"{stage} was interrupted after step {trainer.state.global_step}; run it again to go on")
    numbers = (row["num_tokens"] for row in reversed(trainer.state.log_history) if "num_tokens" in row)
    tokens = int(next(numbers, 0))
    if job.ranks.leads:
        publish(trainer.model, trainer.processing_class, job.layout.stage(stage))
    return tokens


def drop_checkpoints(job: Job, folder: Path) -> None:
    """After the stage is marked complete, and not before: until then they are all that a new start has."""
    if job.ranks.leads:
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
