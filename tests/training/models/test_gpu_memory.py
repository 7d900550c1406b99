"""The estimate of a stage's memory: against published figures, against torch, and what is said of it."""

from pathlib import Path

import pytest
import torch

from disrouter.artifacts import Lora
from disrouter_training.errors import ModelError, TooLarge
from disrouter_training.models import loading
from disrouter_training.models.gpu_memory import (
    GIB,
    ROLLOUT_MEMORY,
    Shape,
    Work,
    estimate,
    rollout_share,
    verdict,
)
from disrouter_training.models.loading import load_model, shape_of

SMALL = Shape(494_032_768, 494_032_768, 24, 896, 256, 151_936, adapted=False)
"""Qwen2.5-0.5B."""
LARGE = Shape(7_615_616_512, 7_615_616_512, 28, 3584, 1024, 152_064, adapted=False)
"""Qwen2.5-7B."""
ADAPTED = Shape(7_615_616_512, 40_370_176, 28, 3584, 1024, 152_064, adapted=True)
"""The same with an adapter of rank 16 on every linear layer."""
MIXED = Work(sequences=2, tokens=1024, bf16=True, checkpointing=True)


def states(shape: Shape, work: Work = MIXED) -> float:
    need = estimate(shape, work, gpu=True)
    return need.weights + need.gradients + need.optimizer


def test_mixed_precision_with_adam_takes_18_bytes_a_parameter() -> None:
    assert states(SMALL) == pytest.approx(18 * SMALL.parameters)
    assert states(LARGE) / GIB == pytest.approx(127.7, abs=0.1)


def test_an_adapter_takes_little_more_than_half_precision_weights() -> None:
    assert states(ADAPTED) / GIB == pytest.approx(14.2 + 0.7, abs=0.1)


def test_a_reference_model_is_another_copy_unless_it_is_an_adapters_base() -> None:
    with_reference = Work(sequences=2, tokens=1024, bf16=True, checkpointing=True, reference=True)
    assert states(SMALL, with_reference) - states(SMALL) == 4 * SMALL.parameters
    assert states(ADAPTED, with_reference) == states(ADAPTED)


def test_checkpointing_trades_activations_for_time() -> None:
    without = Work(sequences=2, tokens=1024, bf16=True, checkpointing=False)
    assert estimate(SMALL, without, gpu=True).activations > 5 * estimate(SMALL, MIXED, gpu=True).activations


def test_model_states_are_what_torch_allocates(volumes: Path) -> None:
    name = str(volumes / "models" / "tiny")
    model = load_model(name, train=True)
    optimizer = torch.optim.AdamW(model.parameters())
    ids = torch.zeros(1, 4, dtype=torch.long)
    model(input_ids=ids, labels=ids).loss.backward()
    optimizer.step()
    tensors = [tensor for state in optimizer.state.values() for tensor in state.values() if tensor.dim()]
    parameters = list(model.parameters())
    tensors += [*parameters, *(parameter.grad for parameter in parameters)]
    plain = Work(sequences=1, tokens=4, bf16=False, checkpointing=False)
    assert states(shape_of(name, None), plain) == sum(tensor.nbytes for tensor in tensors)


def test_the_size_of_an_adapter_is_counted_before_it_is_made(volumes: Path) -> None:
    shape = shape_of(str(volumes / "models" / "tiny"), Lora(rank=4, target_modules=("q_proj",)))
    assert shape.trained == 2 * 4 * (32 + 32), "two layers, from 32 to 4 and back"


def test_an_adapter_of_layers_that_are_not_there_is_an_error(volumes: Path) -> None:
    with pytest.raises(ModelError, match=r"cannot have this adapter: .*; correct lora\.targetModules"):
        shape_of(str(volumes / "models" / "tiny"), Lora(target_modules=("nowhere",)))


def test_what_cannot_fit_a_gpu_is_an_error_with_the_remedy() -> None:
    need = estimate(LARGE, MIXED, gpu=True)
    with pytest.raises(TooLarge, match=r"sft needs about 1\d\d\.\d GiB per GPU .*; you have 80\.0: set sft\.lora, "):
        verdict("sft", need, 80 * GIB, gpu=True, adapted=False)


def test_vllm_has_the_memory_that_its_copy_of_the_weights_needs_or_is_refused_before_it_starts() -> None:
    assert rollout_share(SMALL.parameters, 80 * GIB) == ROLLOUT_MEMORY
    assert rollout_share(LARGE.parameters, 40 * GIB) == pytest.approx((14.2 + 3) / 40, abs=0.01)
    with pytest.raises(
        TooLarge, match=r"rl needs 17\.2 GiB of each GPU for vLLM's .*they have 24\.0: set rl\.rollouts"
    ):
        rollout_share(LARGE.parameters, 24 * GIB)


def test_large_models_generate_in_bf16_on_a_cpu_that_has_it(monkeypatch: pytest.MonkeyPatch, volumes: Path) -> None:
    name = str(volumes / "models" / "tiny")
    assert load_model(name, train=False).dtype is torch.float32, "too small to gain by it"
    monkeypatch.setattr(loading, "LARGE_FOR_A_CPU", 1)
    for has, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(loading, "cpu_has_bf16", lambda has=has: has)
        assert load_model(name, train=False).dtype is expected
        assert load_model(name, train=True).dtype is torch.float32


def test_what_fits_is_said_with_its_parts() -> None:
    line = verdict("sft", estimate(ADAPTED, MIXED, gpu=True), 40 * GIB, gpu=True, adapted=True)
    assert line.startswith("sft needs about ")
    assert "weights 14.4" in line
    assert "warning" not in line


def test_a_cpu_is_warned_and_goes_on() -> None:
    line = verdict("rl", estimate(LARGE, MIXED, gpu=False), 24 * GIB, gpu=False, adapted=False)
    assert line.startswith("warning: rl needs about ")
    assert "set rl.lora" in line
