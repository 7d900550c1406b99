"""Stage `sft`: teach the agent to refuse what it cannot do, by examples (section 3.2.2)."""

from __future__ import annotations

import math
import random
from typing import Any

from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from disrouter.artifacts import Stage
from disrouter_training.data.samples import read_collected
from disrouter_training.generation.encoding import Encoder
from disrouter_training.generation.prompts import free, must_answer
from disrouter_training.job import Job
from disrouter_training.models.gpu_memory import Work
from disrouter_training.models.loading import computes_in_bf16, shape_of
from disrouter_training.training.extraction import extract
from disrouter_training.training.sft_examples import Example, build
from disrouter_training.training.step_log import METRICS_FILE, Digest, StepLog, kept
from disrouter_training.training.trainer import (
    Watcher,
    as_fits,
    check_memory,
    checkpoints_activations,
    common_arguments,
    drop_checkpoints,
    last_checkpoint,
    micro_batch,
    step_of,
    train,
    trainable,
)


def sft(job: Job) -> None:
    """Run or resume the stage."""
    started = job.clock()
    collected = read_collected(job.layout)
    rng = random.Random(job.seed("sft"))
    extraction = job.config.sft.extraction
    raw = (lambda _, reply: reply) if extraction else None
    examples, shares = build(collected, job.config.sft, rng, encoding=job.config.preference_encoding, standardise=raw)
    for share in shares:
        if share.note:
            job.say(f"warning: {share.note}")
    folder = job.folder(Stage.SFT)
    extracted: dict[str, int] | None = None
    if extraction:
        done = job.ranks.from_leader(lambda: extract(job, extraction, examples))
        examples, extracted = done.examples, done.summary()
    config = job.config.sft
    steps = math.ceil(config.epochs * len(examples) / config.batch_size)
    log = StepLog(folder / METRICS_FILE, job.ranks)
    job.say(f"{Stage.SFT}: loads {job.base_model()}, then trains it on {len(examples)} examples in {steps} steps")
    tokens = _trained(job, examples, steps, log)
    metrics = {
        "examples": len(examples),
        "steps": steps,
        "tokens": tokens,
        "lastLoss": log.rows()[-1]["loss"],
        "extracted": extracted,
        "replayed": sum(example.asked is None for example in examples),
        "scenarios": {share.name: share.summary() for share in shares},
    }
    job.finish(Stage.SFT, metrics, started)
    drop_checkpoints(job, folder)


def _trained(job: Job, examples: list[Example], steps: int, log: StepLog) -> int:
    """Train on tokens that are ready, with as large micro-batches as fit; the number of tokens since the last start."""
    config = job.config.sft
    encoder = Encoder(job.base_model())
    rows = [_tokens(encoder, example) for example in examples]
    longest = max(len(row["input_ids"]) for row in rows)
    batch = job.ranks.share(config.batch_size, "sft.batchSize")
    shape = shape_of(job.base_model(), config.lora)
    size = micro_batch(batch, longest, shape.vocabulary, config.micro_batch_size)
    bf16, checkpointing = computes_in_bf16(config.precision), checkpoints_activations(config)
    check_memory(job, Stage.SFT, shape, Work(sequences=size, tokens=longest, bf16=bf16, checkpointing=checkpointing))
    return as_fits(
        job, Stage.SFT, batch, size, lambda size: _attempt(job, encoder, rows, steps, log, batch=batch, size=size)
    )


def _attempt(
    job: Job, encoder: Encoder, rows: list[dict[str, list[int]]], steps: int, log: StepLog, *, batch: int, size: int
) -> int:
    """TRL's trainer, from the last checkpoint on: the loss is that of what the agent would have generated."""
    config, folder = job.config.sft, job.folder(Stage.SFT)
    progress = job.progress(Stage.SFT, "examples", steps)
    checkpoint = job.ranks.from_leader(lambda: last_checkpoint(folder, job.say))
    log.rewind(step_of(checkpoint))
    digest = Digest(job.ranks)
    watcher = Watcher(
        progress, config.batch_size, job, lambda step, logs: log.append(step, {**kept(logs), "data": digest.take()})
    )
    arguments = SFTConfig(
        **common_arguments(job, Stage.SFT, steps, config),
        per_device_train_batch_size=size,
        gradient_accumulation_steps=batch // size,
        learning_rate=config.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=steps // 20,
        max_length=None,
        packing=False,
        padding_free=config.packing,
    )
    trainer = _Trainer(
        digest,
        **trainable(job.base_model(), config),
        args=arguments,
        train_dataset=Dataset.from_list(rows),
        processing_class=encoder.tokenizer,
        callbacks=[watcher],
    )
    return train(trainer, job, Stage.SFT, checkpoint, progress)


class _Trainer(SFTTrainer):  # type: ignore[misc]  # trl has no types
    """TRL's, which takes down what it trains on."""

    def __init__(self, digest: Digest, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._digest = digest

    def training_step(self, model: Any, inputs: dict[str, Any], *more: Any, **options: Any) -> Any:
        """One micro-batch."""
        self._digest.add(inputs["input_ids"].cpu().numpy().tobytes())
        return super().training_step(model, inputs, *more, **options)


def _tokens(encoder: Encoder, example: Example) -> dict[str, list[int]]:
    question, asked = example.question, example.asked
    return encoder.example(must_answer(question) if asked is None else free(question, asked), example.reply)
