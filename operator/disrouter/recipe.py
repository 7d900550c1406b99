"""What a training run may choose, stage by stage: the parts of `run.json`, and of `spec.training` of the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, StrictFloat, StrictInt, model_validator

from disrouter.model import Model
from disrouter.terms import MAX_GAMMA


class DatasetSource(Model):
    """Where questions come from: a Hub dataset by `id`, or a `file` of JSONL or Parquet (`pvc://`, `s3://`, `file://`)."""

    id: str | None = None
    """Hub id: one of the paper's datasets, or any with the columns `question` and `answer`."""
    file: str | None = None
    """Rows with `question`, `answer` and optionally `instruction`, `grader`, `family`, `id`."""
    format: str | None = Field(default=None, min_length=1, max_length=256)
    """Hub id of the dataset whose columns the file has, for example `openai/gsm8k` for a copy of it."""
    config: str | None = Field(default=None, min_length=1, max_length=256)
    """Configuration of the Hub dataset."""
    split: str | None = Field(default=None, min_length=1, max_length=256)
    """Split of the Hub dataset; default `train`, or where the dataset has none, the one that its converter names."""
    revision: str | None = Field(default=None, min_length=1, max_length=256)
    """Branch, tag or commit of the Hub dataset; default `main`, or the Hub's Parquet copy `refs/convert/parquet` where
    the converter knows that `main` is a loading script."""
    sample: StrictInt | None = Field(default=None, ge=1)
    """Number of questions to take, the same ones at every start; absent: all. The paper takes 4,993 of MMLU's."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.id is None) == (self.file is None):
            raise ValueError("needs exactly one of id (a Hub dataset) or file (pvc://claim/path.jsonl)")
        if self.format is not None and self.file is None:
            raise ValueError("format is for a file; a Hub dataset has its own")
        return self


class SftTarget(StrEnum):
    """What a question's measured frequency of correct answers asks of the agent."""

    HARD = "hard"
    """The paper's: answer where it reaches the threshold, refuse under it."""
    SOFT = "soft"
    """Answer with a probability that rises with the frequency and is one half at the threshold."""


class Engine(StrEnum):
    """What generates replies in a training stage."""

    AUTO = "auto"
    """vLLM where it is installed and there is a GPU, else transformers."""
    VLLM = "vllm"
    TRANSFORMERS = "transformers"


class CollectConfig(Model):
    """How competence is measured (section 3.2.2): N sampled answers per question."""

    samples: StrictInt = Field(default=10, ge=1, le=256)
    """N: answers drawn for each question."""
    temperature: StrictFloat = Field(default=1.0, gt=0, le=2)
    max_new_tokens: StrictInt = Field(default=512, ge=1, le=32768)
    batch_size: StrictInt = Field(default=32, ge=1, le=65536)
    """Sequences generated at once, and so those that a kill loses; vLLM wants thousands. Where memory runs out it is
    half as many."""
    engine: Engine = Engine.AUTO


class Precision(StrEnum):
    """Numbers that a training stage computes with. Optimizer states and what it leaves are fp32 either way."""

    AUTO = "auto"
    """bf16 on a GPU that has it, else fp32: also on a CPU that has it, where it is to be asked for."""
    BF16 = "bf16"
    FP32 = "fp32"


_RATE = ("learningRate", "learning_rate")
LayerName = Annotated[str, Field(min_length=1, max_length=128, description="The last part of a layer's name.")]


class Lora(Model):
    """Train low-rank adapters instead of all weights; the stage leaves the adapter and, merged into it, the model."""

    rank: StrictInt = Field(default=16, ge=1, le=512)
    """Columns of an adapter: more hold more, and take more memory."""
    alpha: StrictInt = Field(default=32, ge=1)
    """Scale: the adapter counts alpha / rank."""
    dropout: StrictFloat = Field(default=0.0, ge=0, lt=1)
    """Share of an adapter's inputs that are dropped while it is trained."""
    target_modules: tuple[LayerName, ...] = Field(default=(), max_length=32)
    """Names of the layers that get one, for example `q_proj`; empty: every linear layer but the head."""


class TrainConfig(Model):
    """What both training stages choose."""

    lora: Lora | None = None
    """Absent: all weights are trained."""
    precision: Precision = Precision.AUTO
    gradient_checkpointing: bool | None = None
    """Compute activations again in the backward pass: less memory, a third more time. Absent: on a GPU."""
    micro_batch_size: StrictInt | None = Field(default=None, ge=1)
    """Sequences that go through the model at once, in each process; a step accumulates as many as it needs. Absent: as
    fit, and half as many each time that memory runs out."""

    _rates: ClassVar[tuple[float, float]]
    """Learning rates where none is given: of all weights, and of an adapter, which needs ten times more and above."""

    @model_validator(mode="before")
    @classmethod
    def _rate_of_its_mode(cls, given: Any) -> Any:
        if not isinstance(given, dict) or any(given.get(name) is not None for name in _RATE):
            return given
        return {**given, _RATE[0]: cls._rates[given.get("lora") is not None]}


class Extraction(Model):
    """A model that puts replies into the answer template (Appendix C); the paper's is Qwen2.5-14B-Instruct."""

    model: str = Field(pattern=r"^(hf|pvc|file)://[^\x00-\x20\x7f]+$", max_length=512)
    """`hf://organisation/name` or `pvc://claim/path`; it needs the memory of a GPU before the training starts."""


class SftConfig(TrainConfig):
    """Supervised stage: refuse where the frequency of correct answers is under (1 - alpha) ** gamma."""

    _rates: ClassVar = (1e-5, 2e-4)

    samples: StrictInt = Field(default=10000, ge=6)
    """Training examples over all scenarios; with the hard target half accepted and half refused."""
    target: SftTarget = SftTarget.HARD
    """`hard` as in the paper; `soft` makes the chance of a refusal follow the measured frequency."""
    gamma: StrictFloat = Field(default=1.0, ge=0, le=MAX_GAMMA)
    """Exponent of the threshold. The paper's is 1; a larger one asks for bolder agents."""
    extraction: Extraction | None = None
    """Absent: markers such as `The answer is` part the thinking from the final answer."""
    packing: bool = False
    """Lay the examples of a micro-batch end to end instead of padding them: the same result, less work where lengths
    differ. Attention keeps them apart by their positions."""
    replay: StrictFloat = Field(default=0.0, ge=0, le=0.9)
    """Share of the examples that are the base model's own replies to questions it must answer, right or wrong, so that
    it does not forget what it knew while it learns to refuse."""
    epochs: StrictFloat = Field(default=1.0, gt=0)
    learning_rate: StrictFloat | None = Field(default=None, gt=0)
    """Absent: 1e-5 for all weights, 2e-4 for an adapter."""
    batch_size: StrictInt = Field(default=16, ge=1)


class RlConfig(TrainConfig):
    """Reinforcement stage with the scenario-conditioned reward (eq. 7)."""

    _rates: ClassVar = (1e-6, 2e-5)

    gamma: StrictFloat = Field(default=0.5, ge=0, le=MAX_GAMMA)
    """Reliability factor: the exponent of the reward of a refusal. The paper's range ends at 1; more is bolder."""
    steps: StrictInt = Field(default=100, ge=1)
    """Optimizer steps."""
    learning_rate: StrictFloat | None = Field(default=None, gt=0)
    """Absent: 1e-6 for all weights, 2e-5 for an adapter."""
    prompts_per_step: StrictInt = Field(default=32, ge=1)
    generations: StrictInt = Field(default=4, ge=2)
    """Replies sampled for each prompt."""
    kl: StrictFloat = Field(default=0.01, ge=0)
    """Weight of the divergence from the SFT model; holds task accuracy while the decision is learned."""
    clip: StrictFloat = Field(default=0.2, gt=0, lt=1)
    """Clip range of the policy ratio."""
    rollouts: Engine = Engine.AUTO
    """What samples the replies that are rewarded; vLLM shares the GPU with the trainer."""
    collapse_window: StrictInt = Field(default=20, ge=0)
    """Steps after which an agent that answered everything, or nothing, in all scenarios ends the stage; 0: never."""


class EvaluateConfig(Model):
    """What the gate is judged on."""

    datasets: tuple[DatasetSource, ...] = ()
    """Held-out questions; empty: a fixed share of the training datasets that training never sees."""
    holdout: StrictFloat = Field(default=0.1, gt=0, lt=1)
    """That share."""
    dev: tuple[DatasetSource, ...] = ()
    """Questions to choose thresholds and baselines by; neither trained on nor reported on."""
    heldout: tuple[DatasetSource, ...] = ()
    """Questions of kinds that training never sees, reported apart; the gate does not look at them."""


RESOURCES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("collect", ("batch_size", "engine")),
    ("sft", ("micro_batch_size",)),
    ("rl", ("micro_batch_size", "rollouts")),
)
"""Fields by stage that say what a run takes and not what comes out of it: no part of its identity."""


class Recipe(StrEnum):
    """A named choice of what `collect`, `sft` and `rl` do; what is given beside it goes first."""

    PAPER = "paper"
    """The paper's ("Implementation Details"): all weights, on several GPUs."""
    FAST = "fast"
    """Adapters and softer targets: one GPU of 24 GiB, models of up to three billion parameters, hours."""
    CPU = "cpu"
    """A first result without a GPU: an hour of two cores for half a billion parameters and some thirty questions."""


RECIPES: dict[Recipe, dict[str, dict[str, Any]]] = {
    Recipe.PAPER: {
        "collect": {"samples": 10, "temperature": 1.0, "batchSize": 1024},
        "sft": {"samples": 10000, "target": "hard", "epochs": 1.0, "learningRate": 1e-5, "batchSize": 16},
        "rl": {"steps": 78, "promptsPerStep": 128, "generations": 8, "learningRate": 1e-6, "gamma": 0.5, "kl": 0.01},
    },
    Recipe.FAST: {
        "collect": {"samples": 10, "batchSize": 1024},
        "sft": {"samples": 6000, "target": "soft", "replay": 0.3, "learningRate": 1e-4, "lora": {"rank": 16}},
        "rl": {"steps": 100, "promptsPerStep": 16, "generations": 8, "learningRate": 1e-5, "lora": {"rank": 16}},
    },
    Recipe.CPU: {
        "collect": {"samples": 3, "maxNewTokens": 128, "batchSize": 48},
        "sft": {
            "samples": 48,
            "target": "soft",
            "replay": 0.25,
            "learningRate": 5e-4,
            "batchSize": 8,
            "lora": {"rank": 8, "alpha": 16},
        },
        "rl": {
            "steps": 2,
            "promptsPerStep": 6,
            "generations": 2,
            "learningRate": 1e-4,
            "lora": {"rank": 8, "alpha": 16},
        },
    },
}
"""By stage and wire name. `rl` of the paper is one epoch of its 10,000 examples."""


def filled_in(given: Any) -> Any:
    """A run's choices, by wire name, with what `recipe` says where they say nothing."""
    if not isinstance(given, Mapping) or given.get("recipe") is None:
        return given
    try:
        recipe = Recipe(given["recipe"])
    except ValueError:
        return given  # the field's own type says what is wrong with it
    return merge(RECIPES[recipe], given)


def merge(*choices: Mapping[str, Any]) -> dict[str, Any]:
    """Later ones over earlier ones, level by level."""
    merged: dict[str, Any] = {}
    for choice in choices:
        for key, value in choice.items():
            both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
            merged[key] = merge(merged[key], value) if both else value
    return merged
