"""What generates: chosen by what the machine has, and vLLM leaves what transformers would."""

import importlib.util
import os
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from disrouter.artifacts import Engine, Stage
from disrouter_training.data.samples import read_collected
from disrouter_training.data.shards import Row, read_rows, run_shards, shard
from disrouter_training.data.sources import Question
from disrouter_training.errors import Interrupted, ModelError
from disrouter_training.generation import engines, vllm_generator
from disrouter_training.generation.engines import chosen, rollouts
from disrouter_training.generation.prompts import must_answer
from disrouter_training.generation.transformers_generator import Sampling
from disrouter_training.generation.vllm_generator import VllmGenerator
from disrouter_training.process.progress import Progress
from disrouter_training.process.stop import StopSignal
from support.trainer import Trainer
from support.vllm import SMALL_ENVIRONMENT

SAMPLING = Sampling(samples=1, temperature=0, max_new_tokens=8, batch_size=2)
ROOT = Path(__file__).parents[3]
PURE = ("math_verify*", "latex2sympy2_extended*", "antlr4*")
"""Packages of the trainer that vLLM's environment lacks; an image has both."""
DEADLINE_SECONDS = 600
"""Of one start on a busy machine; it takes one minute on an idle one."""


def test_auto_is_transformers_without_a_gpu_or_without_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    for gpu, installed, expected in (
        (True, True, Engine.VLLM),
        (True, False, Engine.TRANSFORMERS),
        (False, True, Engine.TRANSFORMERS),
    ):
        monkeypatch.setattr(torch.cuda, "is_available", lambda gpu=gpu: gpu)
        monkeypatch.setattr(engines, "find_spec", lambda _, installed=installed: object() if installed else None)
        assert chosen(Engine.AUTO, "x") is expected


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed here")
def test_vllm_that_is_not_installed_is_an_error_that_names_the_field() -> None:
    with pytest.raises(ModelError, match=r"collect\.engine is vllm, which is not installed here"):
        chosen(Engine.VLLM, "collect.engine")


def test_rollouts_by_vllm_share_the_trainers_gpu_and_hold_the_longest_reply() -> None:
    arguments = rollouts(Engine.VLLM, 640, 0.4)
    assert arguments["use_vllm"] is True
    assert arguments["vllm_mode"] == "colocate"
    assert arguments["vllm_max_model_length"] == 640
    assert arguments["vllm_gpu_memory_utilization"] == 0.4
    assert rollouts(Engine.TRANSFORMERS, 640, 0.0) == {"use_vllm": False}


class Completed:
    """A vLLM whose replies are all tokens 7, and which is asked to stop meanwhile."""

    def __init__(self, stop: StopSignal) -> None:
        self._stop = stop

    def generate(self, prompts: list[object], parameters: list[object], use_tqdm: bool) -> list[SimpleNamespace]:
        self._stop.requested = True
        return [
            SimpleNamespace(outputs=[SimpleNamespace(index=0, token_ids=[7], finish_reason="stop")]) for _ in prompts
        ]


def test_what_vllm_finished_is_kept_when_asked_to_stop_meanwhile_and_nothing_more_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(SamplingParams=lambda **given: given))
    stop = StopSignal()
    encoder = SimpleNamespace(
        prompt=lambda prompt: [1], given=lambda prefix: [], decode=lambda ids: [f"{each}" for each in ids]
    )
    monkeypatch.setattr(vllm_generator, "Encoder", lambda name: encoder)
    monkeypatch.setattr(vllm_generator, "_engine", lambda name, longest: Completed(stop))
    questions = [Question(id=str(n), question=f"{n}?", answer="x") for n in range(3)]
    generator = VllmGenerator("model", [must_answer(question) for question in questions], 8, stop)

    def work(part: Sequence[Question], number: int) -> list[Row]:
        told = generator.replies([must_answer(question) for question in part], SAMPLING, number)
        return [{"id": question.id, "reply": texts[0]} for question, texts in zip(part, told, strict=True)]

    shards = shard(questions, 2)
    progress = Progress("collect", "samples", len(shards), None, say=lambda _: None)
    with pytest.raises(Interrupted, match="run it again to go on"):
        run_shards(tmp_path, shards, work, progress, len)
    assert [path.name for path in tmp_path.iterdir()] == ["0000.jsonl"]
    assert [row["reply"] for row in read_rows(tmp_path / "0000.jsonl")] == ["[7]", "[7]"]


@pytest.mark.vllm
@pytest.mark.timeout(2 * DEADLINE_SECONDS + 20)
def test_vllm_collects_what_transformers_collects_and_the_same_again_with_its_seeds(
    trained: Trainer, finished: Trainer, tmp_path: Path
) -> None:
    for pattern in PURE:
        for path in Path(sysconfig.get_path("purelib")).glob(pattern):
            (tmp_path / path.name).symlink_to(path)
    trainer = trained.changed(tmp_path / "run", {"collect": {"engine": "vllm", "batchSize": 1024}})
    collect(trainer, tmp_path)
    folder = trainer.layout.stage(Stage.COLLECT)
    assert trainer.layout.require(Stage.COLLECT)["metrics"]["engine"] == "vllm"
    ours, theirs = ({item.question.id: item for item in read_collected(each.layout)} for each in (trainer, finished))
    assert ours.keys() == theirs.keys()
    for key, item in ours.items():
        assert len(item.replies) == 64
        assert item.frequency == pytest.approx(theirs[key].frequency, abs=0.35)
    mean = sum(item.frequency - theirs[key].frequency for key, item in ours.items()) / len(ours)
    assert mean == pytest.approx(0, abs=0.04)
    shard = folder / "shards" / "0001.jsonl"
    before = shard.read_bytes()
    shard.unlink()
    (folder / "done.json").unlink()
    collect(trainer, tmp_path)
    assert shard.read_bytes() == before


def collect(trainer: Trainer, packages: Path) -> None:
    paths = [str(ROOT / "operator"), str(ROOT / "training-jobs"), str(packages)]
    environment = {**os.environ, **SMALL_ENVIRONMENT, "PYTHONPATH": os.pathsep.join(paths)}
    command = [os.environ["DISROUTER_VLLM_PYTHON"], "-m", "disrouter_training", *trainer.arguments("collect")]
    ended = subprocess.run(
        command, check=False, capture_output=True, text=True, env=environment, timeout=DEADLINE_SECONDS
    )
    assert ended.returncode == 0, ended.stderr[-4000:]
