"""What one would write with TRL alone for the same amount of work: the other side of `training_speed`."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import RLOOConfig, RLOOTrainer, SFTConfig, SFTTrainer

from disrouter.artifacts import RunConfig, RunLayout, Stage
from disrouter.scenario import Scenario
from disrouter_training.data.samples import Collected, read_collected
from disrouter_training.generation.prompts import free
from disrouter_training.job import peak_bytes
from disrouter_training.training.trainer import micro_batch


def main(stage: str, run: Path, artifacts: Path, out: Path) -> None:
    """Train, and leave what it took."""
    config = RunConfig.read(run)
    collected = read_collected(RunLayout.of(artifacts, config))
    started = time.monotonic()
    model = config.model.removeprefix("file://")
    tokenizer = AutoTokenizer.from_pretrained(model, padding_side="left")
    policy = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    trainer = (sft if stage == Stage.SFT else rl)(config, policy, tokenizer, collected, out.with_suffix(""))
    trainer.train()
    trainer.save_model(str(out.with_suffix("") / "weights"))
    seconds = time.monotonic() - started
    tokens = int(next(row["num_tokens"] for row in reversed(trainer.state.log_history) if "num_tokens" in row))
    out.write_text(json.dumps({"seconds": round(seconds, 1), "tokens": tokens, "peakBytes": peak_bytes()}))


def common(batch: int, tokens: int, vocabulary: int, folder: Path) -> dict[str, Any]:
    gpu = torch.cuda.is_available()
    size = micro_batch(batch, tokens, vocabulary)
    return {
        "output_dir": str(folder),
        "use_cpu": not gpu,
        "bf16": gpu,
        "gradient_checkpointing": gpu,
        "per_device_train_batch_size": size,
        "gradient_accumulation_steps": batch // size,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "logging_steps": 1,
    }


def sft(config: RunConfig, policy: Any, tokenizer: Any, collected: list[Collected], folder: Path) -> Any:
    rows = [
        {
            "prompt": [{"role": "user", "content": item.question.user}],
            "completion": [{"role": "assistant", "content": item.replies[number % len(item.replies)]}],
        }
        for number, item in ((n, collected[n % len(collected)]) for n in range(config.sft.samples))
    ]
    length = 2 * config.collect.max_new_tokens
    arguments = SFTConfig(
        **common(config.sft.batch_size, length, policy.config.vocab_size, folder), num_train_epochs=1, max_length=None
    )
    return SFTTrainer(model=policy, args=arguments, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)


def rl(config: RunConfig, policy: Any, tokenizer: Any, collected: list[Collected], folder: Path) -> Any:
    count = config.rl.steps * config.rl.prompts_per_step
    scenarios = list(Scenario)
    prompts = [
        free(collected[n % len(collected)].question, scenarios[n % len(scenarios)]).messages for n in range(count)
    ]
    batch = config.rl.prompts_per_step * config.rl.generations
    arguments = RLOOConfig(
        **common(batch, config.collect.max_new_tokens, policy.config.vocab_size, folder),
        max_steps=config.rl.steps,
        num_generations=config.rl.generations,
        max_completion_length=config.collect.max_new_tokens,
        beta=config.rl.kl,
        epsilon=config.rl.clip,
        normalize_advantages=True,
    )

    def constant(completions: list[Any], **_: Any) -> list[float]:
        return [float(number % 2) for number in range(len(completions))]

    return RLOOTrainer(
        model=policy,
        args=arguments,
        reward_funcs=constant,
        train_dataset=Dataset.from_list([{"prompt": prompt} for prompt in prompts]),
        processing_class=tokenizer,
    )


if __name__ == "__main__":
    main(sys.argv[1], *(Path(word) for word in sys.argv[2:5]))
