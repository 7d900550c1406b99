"""Stage `rl`: sharpen the decision with the scenario-conditioned reward (section 3.2.3, eq. 7).

The paper uses Reinforce++ (Hu et al., 2025): REINFORCE with the KL divergence from the SFT model inside the reward,
advantages normalised over the whole batch, and clipped ratios. TRL's RLOOTrainer with `normalize_advantages` is
that, with the mean of a prompt's other samples as baseline (the "Reinforce++ baseline" variant). Its loss sums over
the tokens of a reply; a mean over tokens would weigh the short refusal far more than the long answer.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

from datasets import Dataset
from trl import RLOOConfig, RLOOTrainer

from disrouter.artifacts import PreferenceEncoding, RlConfig, Stage
from disrouter.refusal import is_refusal
from disrouter.scenario import PREFERENCE_DECIMALS, Scenario, StatedPreference, alpha_of, nearest, reward
from disrouter_training.data.correctness import is_right
from disrouter_training.data.shards import longest_first
from disrouter_training.data.sources import Question
from disrouter_training.data.split import TRAIN
from disrouter_training.data.split_files import read_split
from disrouter_training.generation.encoding import Encoder
from disrouter_training.generation.engines import chosen, rollout_memory, rollouts
from disrouter_training.generation.prompts import Prompt, free
from disrouter_training.job import Job
from disrouter_training.models.gpu_memory import Work
from disrouter_training.models.loading import computes_in_bf16, shape_of
from disrouter_training.training.collapse_guard import CheckpointKeeper, refuse_collapsed
from disrouter_training.training.rl_metrics import Guard, StepMetrics
from disrouter_training.training.step_log import METRICS_FILE, StepLog
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

TEMPERATURE = 1.0
"""Of the replies that are rewarded (section 4.1)."""


def rl(job: Job) -> None:
    """Run or resume the stage."""
    started = job.clock()
    job.layout.require(Stage.SFT)
    config = job.config.rl
    questions = longest_first(read_split(job.layout, TRAIN))
    folder = job.folder(Stage.RL)
    refuse_collapsed(folder)
    window = 0 if _one_sided(job) else config.collapse_window
    tokens, last = _trained(job, questions, window)
    job.finish(Stage.RL, {"steps": config.steps, "tokens": tokens, "last": last}, started)
    drop_checkpoints(job, folder)
    CheckpointKeeper(folder, Guard(window), job).drop()


def _one_sided(job: Job) -> bool:
    """Whether the examples had one action alone, in every scenario: then it is no collapse to stay with it."""
    shares = job.layout.require(Stage.SFT)["metrics"]["scenarios"].values()
    sides = {(bool(share["answers"]), bool(share["refusals"])) for share in shares}
    if len(sides) > 1 or sides == {(True, True)}:
        return False
    job.say("warning: the examples were all answers or all refusals, so the guard against a collapse is off")
    return True


def schedule(
    questions: Sequence[Question],
    count: int,
    rng: random.Random,
    encoding: PreferenceEncoding = PreferenceEncoding.DISCRETE,
) -> Iterator[tuple[int, StatedPreference]]:
    """`count` prompts (index of the question, what is asked): questions in random rounds, every scenario equally often.

    With continuous preferences every second prompt states an alpha drawn from [0, 1] instead.
    """
    named = list(Scenario)
    order: list[int] = []
    for number in range(count):
        if not order:
            order = rng.sample(range(len(questions)), len(questions))
        index = order.pop()
        if encoding is PreferenceEncoding.DISCRETE:
            yield index, named[number % len(named)]
        elif number % 2:
            yield index, round(rng.random(), PREFERENCE_DECIMALS)
        else:
            yield index, named[number // 2 % len(named)]


def _trained(job: Job, questions: Sequence[Question], window: int) -> tuple[int, dict[str, Any]]:
    """Train with as large micro-batches as fit; tokens since the last start, and what the steps earned."""
    config, weights = job.config.rl, str(job.layout.weights(Stage.SFT))
    batch = job.ranks.share(config.prompts_per_step * config.generations, "rl.promptsPerStep times rl.generations")
    tokens = job.config.collect.max_new_tokens
    shape = shape_of(weights, config.lora)
    size = micro_batch(batch, tokens, shape.vocabulary, config.micro_batch_size)
    encoder = Encoder(weights)
    rows = _rows(job, questions)
    longest = max(len(encoder.prompt(Prompt(row["prompt"]))) for row in rows) + tokens
    engine = chosen(config.rollouts, "rl.rollouts")
    share = rollout_memory(engine, weights)
    work = _work(config, size=size, longest=longest, scored=tokens, generated=batch)
    check_memory(job, Stage.RL, shape, work, 1 - share)
    rolled = rollouts(engine, longest, share)

    def attempt(size: int) -> tuple[int, dict[str, Any]]:
        arguments = _arguments(job, batch, size, rolled)
        return _attempt(job, questions, window, {"args": arguments, "processing_class": encoder.tokenizer}, rows)

    return as_fits(job, Stage.RL, batch, size, attempt)


def _attempt(
    job: Job, questions: Sequence[Question], window: int, given: dict[str, Any], rows: list[dict[str, Any]]
) -> tuple[int, dict[str, Any]]:
    """TRL's trainer, from the last checkpoint on."""
    config, folder = job.config.rl, job.folder(Stage.RL)
    checkpoint = job.ranks.from_leader(lambda: last_checkpoint(folder, job.say))
    guard = Guard(window)
    metrics = StepMetrics(StepLog(folder / METRICS_FILE, job.ranks), job.ranks, guard)
    metrics.rewind(step_of(checkpoint))
    progress = job.progress(Stage.RL, "replies", config.steps)
    checkpoint_keeper = CheckpointKeeper(folder, guard, job)

    def close_step(step: int, logs: dict[str, Any]) -> None:
        metrics.close_step(step, logs)
        checkpoint_keeper.check(step)

    replies = config.prompts_per_step * config.generations
    trainer = RLOOTrainer(
        **trainable(str(job.layout.weights(Stage.SFT)), config),
        **given,
        reward_funcs=_reward_function(questions, config.gamma, metrics),
        train_dataset=Dataset.from_list(rows),
        callbacks=[Watcher(progress, replies, job, close_step, checkpoint_keeper.keep)],
    )
    return train(trainer, job, Stage.RL, checkpoint, progress), metrics.last_steps()


def _arguments(job: Job, batch: int, size: int, rolled: dict[str, Any]) -> RLOOConfig:
    config = job.config.rl
    return RLOOConfig(
        **common_arguments(job, Stage.RL, config.steps, config),
        per_device_train_batch_size=size,
        gradient_accumulation_steps=batch // size,
        num_generations=config.generations,
        max_completion_length=job.config.collect.max_new_tokens,
        temperature=TEMPERATURE,
        learning_rate=config.learning_rate,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=config.steps // 20,
        beta=config.kl,
        epsilon=config.clip,
        normalize_advantages=True,
        **rolled,
        shuffle_dataset=False,
    )


def _work(config: RlConfig, *, size: int, longest: int, scored: int, generated: int) -> Work:
    return Work(
        sequences=size,
        tokens=longest,
        scored=scored,
        bf16=computes_in_bf16(config.precision),
        checkpointing=checkpoints_activations(config),
        reference=config.kl > 0,
        generated=generated,
    )


def _rows(job: Job, questions: Sequence[Question]) -> list[dict[str, Any]]:
    """One a prompt, in the order of training."""
    count = job.config.rl.steps * job.config.rl.prompts_per_step
    prompts = schedule(questions, count, random.Random(job.seed("rl")), job.config.preference_encoding)
    return [
        {"prompt": free(questions[index], asked).messages, "index": index, "alpha": alpha_of(asked)}
        for index, asked in prompts
    ]


def _reward_function(questions: Sequence[Question], gamma: float, metrics: StepMetrics) -> Any:
    """Equation 7 as TRL wants it: columns of the dataset come as lists, one entry per reply."""

    def local_reward(completions: list[Any], index: list[int], alpha: list[float], **_: Any) -> list[float]:
        rewards = []
        for completion, number, asked in zip(completions, index, alpha, strict=True):
            question = questions[number]
            text = completion[0]["content"]
            refused = is_refusal(text)
            correct = is_right(question, text)
            value = reward(refused=refused, correct=correct, alpha=asked, gamma=gamma)
            metrics.add(nearest(asked), value, refused=refused, correct=correct, text=text)
            rewards.append(value)
        return rewards

    return local_reward
