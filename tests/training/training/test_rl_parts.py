"""The parts of the RL stage that need no model."""

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from disrouter.artifacts import PreferenceEncoding
from disrouter.scenario import Scenario
from disrouter_training.data.sources import Question
from disrouter_training.process.ranks import Ranks
from disrouter_training.stages.rl import schedule
from disrouter_training.training.disk_space import SIZES_FILE, note_sizes
from disrouter_training.training.rl_metrics import Guard, StepMetrics
from disrouter_training.training.step_log import Digest, StepLog
from disrouter_training.training.trainer import last_checkpoint, micro_batch

QUESTIONS = [Question(id=f"q{number}", question=f"{number}?", answer="1") for number in range(7)]


def test_the_schedule_gives_every_scenario_and_question_an_equal_share() -> None:
    prompts = list(schedule(QUESTIONS, 21, random.Random(0)))
    assert Counter(scenario for _, scenario in prompts) == dict.fromkeys(Scenario, 7)
    assert set(Counter(index for index, _ in prompts).values()) == {3}


def test_with_a_continuous_preference_every_second_prompt_states_an_alpha() -> None:
    asked = [one for _, one in schedule(QUESTIONS, 600, random.Random(0), PreferenceEncoding.CONTINUOUS)]
    assert Counter(asked[0::2]) == dict.fromkeys(Scenario, 100)
    stated = [one for one in asked[1::2] if not isinstance(one, Scenario)]
    assert len(stated) == 300
    assert sum(stated) / 300 == pytest.approx(0.5, abs=0.05)


def test_metrics_are_written_per_scenario_and_step(tmp_path: Path) -> None:
    metrics = StepMetrics(StepLog(tmp_path / "metrics.jsonl", Ranks()), Ranks(), Guard(20))
    metrics.add(Scenario.BALANCE, 1.0, refused=False, correct=True)
    metrics.add(Scenario.BALANCE, 0.0, refused=False, correct=False)
    metrics.add(Scenario.COST_FIRST, 0.5, refused=True, correct=False)
    metrics.close_step(1, {"kl": 0.25, "loss": -0.5, "learning_rate": 1e-5, "completions/mean_length": 7.5})
    row = json.loads((tmp_path / "metrics.jsonl").read_text())
    assert len(row.pop("data")) == 16
    assert row == {
        "step": 1,
        "reward": 0.5,
        "coverage": 0.6667,
        "length": 7.5,
        "kl": 0.25,
        "loss": -0.5,
        "scenarios": {
            "balance": {"reward": 0.5, "coverage": 1.0, "precision": 0.5},
            "cost-first": {"reward": 0.5, "coverage": 0.0, "precision": None},
        },
    }


def test_metrics_after_the_checkpoint_are_forgotten_and_a_torn_line_with_them(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = ['{"step": 1, "reward": 0.25, "coverage": 1.0}\n', '{"step": 2, "reward": 0.75, "coverage": 0.5}\n']
    path.write_text("".join(lines) + '{"step": 3, "rew')
    metrics = StepMetrics(StepLog(path, Ranks()), Ranks(), Guard(1))
    metrics.rewind(1)
    assert path.read_text() == lines[0]
    assert metrics.last_steps() == {"firstReward": 0.25, "lastReward": 0.25}
    assert metrics.guard.collapse == "answered everything in 1 steps", "the guard remembers what came before"


def test_a_fingerprint_of_a_step_depends_on_its_data_and_their_order() -> None:
    prints = []
    for data in ((b"a", b"b"), (b"b", b"a"), (b"ab",), (b"a", b"b")):
        digest = Digest(Ranks())
        for part in data:
            digest.add(part)
        prints.append(digest.take())
    assert prints[0] == prints[3]
    assert len(set(prints)) == 3


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ([1.0] * 4, None),
        ([0.5, 1.0, 1.0, 1.0, 1.0, 1.0], "answered everything in 5 steps"),
        ([0.01, 0.0, 0.0, 0.0, 0.0], "refused everything in 5 steps"),
        ([0.0, 0.0, 0.1, 0.0, 0.0], None),
        ([0.9, 0.95, 0.98, 0.99, 0.98], None),
    ],
)
def test_the_guard_sees_a_collapse_over_a_window_and_nothing_less(rates: list[float], expected: str | None) -> None:
    guard = Guard(5)
    for rate in rates:
        guard.see(rate)
    assert guard.collapse == expected


def test_a_guard_without_a_window_sees_nothing() -> None:
    guard = Guard(0)
    guard.see(1.0)
    assert guard.collapse is None


def checkpoint(root: Path, step: int, state: str = "{}") -> Path:
    folder = root / "checkpoints" / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_text("weights")
    (folder / "trainer_state.json").write_text(state)
    return folder


def test_a_torn_checkpoint_is_dropped_for_the_one_before(tmp_path: Path) -> None:
    good = checkpoint(tmp_path, 9)
    torn = checkpoint(tmp_path, 10, '{"global_st')
    said = list[str]()
    assert last_checkpoint(tmp_path, said.append) == good
    assert not torn.exists()
    assert said == [f"{torn} is dropped: it was being written when its process died"]


@pytest.mark.parametrize("damage", ["truncate", "remove"])
def test_a_damaged_checkpoint_is_dropped_for_the_one_before(damage: str, tmp_path: Path) -> None:
    good, bad = checkpoint(tmp_path, 9), checkpoint(tmp_path, 10)
    for each in (good, bad):
        note_sizes(each)
    if damage == "truncate":
        (bad / "model.safetensors").write_text("weig")
    else:
        (bad / "model.safetensors").unlink()
    said = list[str]()
    assert last_checkpoint(tmp_path, said.append) == good
    assert said == [f"{bad} is dropped: its model.safetensors is not the 7 bytes that were written"]


def test_a_checkpoint_with_a_flipped_bit_is_dropped_for_the_one_before(tmp_path: Path) -> None:
    good, bad = checkpoint(tmp_path, 9), checkpoint(tmp_path, 10)
    for each in (good, bad):
        note_sizes(each)
    path = bad / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[3] ^= 1
    path.write_bytes(content)
    said = list[str]()
    assert last_checkpoint(tmp_path, said.append) == good
    assert not bad.exists()
    assert said == [f"{bad} is dropped: its model.safetensors has other bytes than were written: the checksum differs"]


def test_a_checkpoint_whose_note_has_sizes_alone_is_still_taken(tmp_path: Path) -> None:
    older = checkpoint(tmp_path, 9)
    (older / SIZES_FILE).write_text(json.dumps({"model.safetensors": 7, "trainer_state.json": 2}))
    assert last_checkpoint(tmp_path, print) == older


def test_a_micro_batch_divides_the_batch_and_fits_the_memory() -> None:
    assert micro_batch(96, 64, 424) == 96
    large = micro_batch(96, 512, 152_000)
    assert 96 % large == 0
    assert large < 96
    assert micro_batch(7, 32_768, 152_000) == 1
