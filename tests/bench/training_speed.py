"""How fast the training stages are beside a plain TRL script, on a model of random weights (claim C4).

    PYTHONPATH=tests python -m bench.training_speed --size 0.5b     # one GPU, bf16
    PYTHONPATH=tests python -m bench.training_speed --size toy      # any laptop: shows that it works, no more

What a stage costs does not depend on what its weights know, so none are downloaded: the architecture is that of
Qwen2.5-0.5B, the replies are noise of the full length. Both sides have the same questions, steps, batches and lengths,
and both times run from loading the model to its weights on disk.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from disrouter.artifacts import RunConfig, RunLayout, Stage

GIB = 1 << 30


@dataclass(frozen=True)
class Size:
    """A model's architecture and the work it is given."""

    config: dict[str, int]
    questions: int
    samples: int
    tokens: int
    sft: dict[str, Any]
    rl: dict[str, Any]


SIZES = {
    "toy": Size(
        {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 128},
        questions=40,
        samples=4,
        tokens=24,
        sft={"samples": 96, "batchSize": 16},
        rl={"steps": 4, "promptsPerStep": 8, "generations": 4},
    ),
    "0.5b": Size(
        {
            "hidden_size": 896,
            "num_hidden_layers": 24,
            "num_attention_heads": 14,
            "intermediate_size": 4864,
            "num_key_value_heads": 2,
            "vocab_size": 151_936,
        },
        questions=512,
        samples=10,
        tokens=256,
        sft={"samples": 2048, "batchSize": 16, "precision": "bf16"},
        rl={"steps": 10, "promptsPerStep": 16, "generations": 8, "precision": "bf16"},
    ),
}


@dataclass(frozen=True)
class Measured:
    """One stage of one side."""

    name: str
    seconds: float
    tokens: int
    peak: float

    @property
    def rate(self) -> float:
        """Tokens trained on or generated, a second."""
        return self.tokens / self.seconds

    def __str__(self) -> str:
        return f"{self.name:<12} {self.seconds:>8.1f} {self.tokens:>10} {self.rate:>10.0f} {self.peak / GIB:>10.2f}"


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="toy")
    parser.add_argument("--out", type=Path, help="where runs are kept (default: a folder that goes with the command)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        rows = measure(SIZES[arguments.size], (arguments.out or Path(scratch)).absolute())
    print(f"{'stage':<12} {'seconds':>8} {'tokens':>10} {'tokens/s':>10} {'peak GiB':>10}")
    print(*rows, sep="\n")
    by_name = {row.name: row for row in rows}
    for stage in ("sft", "rl"):
        print(f"{stage}: {by_name[stage].rate / by_name[f'plain {stage}'].rate:.2f} of the plain script's tokens/s")


def measure(size: Size, root: Path) -> list[Measured]:
    """Run the stages, then the plain script on what they were given."""
    write_inputs(size, root)
    config = RunConfig.read(root / "run.json")
    layout = RunLayout.of(root / "artifacts", config)
    command = ["--run", str(root / "run.json"), "--artifacts", str(layout.root), "--pvc-root", str(root)]
    rows = []
    for stage in (Stage.COLLECT, Stage.SFT, Stage.RL):
        subprocess.run([sys.executable, "-m", "disrouter_training", stage, *command], check=True)
        done = layout.require(stage)
        generated = size.questions * size.samples * size.tokens
        rows.append(Measured(stage, done["seconds"], done["metrics"].get("tokens", generated), done["peakBytes"]))
    for stage in (Stage.SFT, Stage.RL):
        out = root / f"plain-{stage}.json"
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        plain = [sys.executable, "-m", "bench.plain_trl", stage, str(root / "run.json"), str(layout.root), str(out)]
        subprocess.run(plain, check=True, env=environment)
        told = json.loads(out.read_text())
        rows.append(Measured(f"plain {stage}", told["seconds"], told["tokens"], told["peakBytes"]))
    return rows


def write_inputs(size: Size, root: Path) -> None:
    """A model, its questions and a run that replays its own noise: answers of full length to learn from."""
    from tokenizers import pre_tokenizers
    from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer

    from support.tiny_agent import CHAT, question_rows

    tokenizer = Qwen2Tokenizer(
        vocab={byte: number for number, byte in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))},
        merges=[],
        unk_token=None,
        pad_token="<|pad|>",
        eos_token="<|end|>",
        additional_special_tokens=["<|user|>", "<|bot|>"],
    )
    tokenizer.chat_template = CHAT
    options = {"vocab_size": len(tokenizer), "num_key_value_heads": 2, **size.config}
    model: Any = Qwen2ForCausalLM(
        Qwen2Config(
            **options,
            max_position_embeddings=1024,
            tie_word_embeddings=True,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    model.save_pretrained(root / "models" / "random")
    tokenizer.save_pretrained(root / "models" / "random")
    known = question_rows()
    rows = [{**known[n % len(known)], "id": f"q{n}", "question": f"{n}. {known[n % len(known)]['question']}"}
            for n in range(size.questions)]  # fmt: skip
    (root / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = {
        "cascade": "speed",
        "agent": "random",
        "model": f"file://{root}/models/random",
        "datasets": [{"file": f"file://{root}/questions.jsonl"}],
        "collect": {"samples": size.samples, "maxNewTokens": size.tokens, "batchSize": 256},
        "sft": {**size.sft, "replay": 0.9},
        "rl": {**size.rl, "collapseWindow": 0},
    }
    (root / "run.json").write_text(json.dumps(run, indent=2))


if __name__ == "__main__":
    started = time.monotonic()
    main()
    print(f"measured in {time.monotonic() - started:.0f} s")
