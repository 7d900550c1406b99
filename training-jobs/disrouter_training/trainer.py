"""What the two training stages share: TRL's settings, checkpoints, progress and stopping."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback
from transformers.trainer_callback import PrinterCallback

from disrouter.artifacts import Lora, Stage, TrainConfig
from disrouter_training.errors import Interrupted
from disrouter_training.job import Job
from disrouter_training.model import computes_in_bf16, load_model
from disrouter_training.progress import Progress, Say
from disrouter_training.publish import publish

CHECKPOINTS_PER_STAGE = 10
"""At least; a kill loses at most a tenth of a stage."""
CHECKPOINT_SECONDS = 600.0
"""A kill loses at most this, and a step."""
LOGITS_BUDGET_CPU = 1 << 30
LOGITS_BUDGET_GPU = 8 << 30
"""Bytes that one micro-batch's logits may take: the term that grows with batch, length and vocabulary."""
COPIES_OF_LOGITS = 4
"""Logits, their softmax, and the gradients of both are alive at once (float32)."""


def micro_batch(total: int, tokens: int, vocabulary: int) -> int:
    """The largest divisor of `total` sequences whose logits fit the budget; at least 1."""
    budget = LOGITS_BUDGET_GPU if torch.cuda.is_available() else LOGITS_BUDGET_CPU
    fits = max(1, budget // (tokens * vocabulary * 4 * COPIES_OF_LOGITS))
    return max(size for size in range(1, total + 1) if total % size == 0 and size <= fits)


def trainable(name: str, config: TrainConfig) -> dict[str, Any]:
    """The model to train, and how TRL adapts it: the arguments `model` and `peft_config` of its trainers.

    Under an adapter the weights stay as they are, so they are held in what they are computed with.
    """
    adapted = config.lora is not None
    model = load_model(name, train=True, frozen_bf16=adapted and computes_in_bf16(config.precision))
    return {"model": model, "peft_config": _adapter(config.lora) if config.lora is not None else None}


def _adapter(lora: Lora) -> Any:
    from peft import LoraConfig

    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.target_modules) or "all-linear",
        task_type="CAUSAL_LM",
    )


def common_arguments(folder: Path, steps: int, seed: int, config: TrainConfig) -> dict[str, Any]:
    """Arguments of transformers' Trainer that both stages use."""
    gpu = torch.cuda.is_available()
    return {
        "output_dir": str(folder / "checkpoints"),
        "use_cpu": not gpu,
        "bf16": computes_in_bf16(config.precision),
        "gradient_checkpointing": gpu if config.gradient_checkpointing is None else config.gradient_checkpointing,
        "dataloader_pin_memory": gpu,
        "max_steps": steps,
        "logging_steps": 1,
        "save_strategy": "steps",
        "save_steps": max(1, steps // CHECKPOINTS_PER_STAGE),
        "save_total_limit": 2,
        "report_to": [],
        "disable_tqdm": True,
        "seed": seed % 2**31,
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
    }


def step_of(checkpoint: Path | None) -> int:
    """The step that a checkpoint was made after; 0 for none."""
    return int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0


def last_checkpoint(folder: Path, say: Say) -> Path | None:
    """The newest whole checkpoint; a torn one (killed while it was written) is removed.

    transformers writes `trainer_state.json` last, so a checkpoint that has a readable one is whole.
    """
    found = sorted((folder / "checkpoints").glob("checkpoint-*"), key=step_of, reverse=True)
    for path in found:
        try:
            json.loads((path / "trainer_state.json").read_bytes())
        except (OSError, ValueError):
            say(f"{path} was being written when the process died; it is dropped")
            shutil.rmtree(path)
        else:
            return path
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
        """A checkpoint is whole."""
        self._saved = self._job.clock()
        if self._job.ranks.leads:
            self._on_checkpoint(Path(args.output_dir) / f"checkpoint-{state.global_step}")

    def on_log(self, _args: Any, state: Any, _control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        """The trainer's numbers of this step (and once, at the end, of the whole run: not a step's)."""
        if logs and "train_runtime" not in logs:
            self._on_metrics(state.global_step, logs)


def train(trainer: Any, job: Job, stage: Stage, checkpoint: Path | None, progress: Progress) -> None:
    """Train from the checkpoint to the end and leave `weights/`. Raises Interrupted after another checkpoint."""
    progress.resume(step_of(checkpoint))
    trainer.remove_callback(PrinterCallback)
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    job.ranks.gather(None)  # each has written its part of the last checkpoint
    if trainer.state.global_step < trainer.state.max_steps:
        raise Interrupted(f"{stage} was interrupted after step {trainer.state.global_step}; run it again to go on")
    if job.ranks.leads:
        publish(trainer.model, trainer.processing_class, job.layout.stage(stage))


def drop_checkpoints(job: Job, folder: Path) -> None:
    """After the stage is marked complete, and not before: until then they are all that a new start has."""
    if job.ranks.leads:
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
