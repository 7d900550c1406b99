"""Progress for people and machines."""

import json
from pathlib import Path

from disrouter_training.process.progress import Progress, compact, duration


class Clock:
    """A clock that a test turns."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_line_says_step_rate_and_time_left(tmp_path: Path) -> None:
    clock, lines = Clock(), list[str]()
    progress = Progress("collect", "samples", 12, tmp_path, say=lines.append, clock=clock)
    progress.resume(0)
    for _ in range(3):
        clock.now += 5
        progress.advance(6000)
    assert lines[-1] == "collect 3/12 (25%) 1.2k samples/s, 45 s left"
    assert json.loads((tmp_path / "progress.json").read_text()) == {
        "step": 3,
        "of": 12,
        "done": 0.25,
        "unit": "samples",
        "per_second": 1200.0,
        "seconds_left": 45.0,
    }


def test_a_long_step_is_told_of_from_within_now_and_then(tmp_path: Path) -> None:
    clock, lines = Clock(), list[str]()
    progress = Progress("collect", "samples", 4, tmp_path, say=lines.append, clock=clock)
    progress.resume(1)
    for tenth in range(1, 10):
        clock.now += 4
        progress.within(tenth / 10)
    assert lines[1:] == [
        "collect 1/4, 30% of the next (32%) 2 min left",
        "collect 1/4, 60% of the next (40%) 96 s left",
        "collect 1/4, 90% of the next (47%) 84 s left",
    ]
    assert json.loads((tmp_path / "progress.json").read_text())["done"] == 0.475
    clock.now += 4
    progress.advance(400)
    assert lines[-1] == "collect 2/4 (50%) 10 samples/s, 80 s left"


def test_steps_of_an_earlier_process_do_not_flatter_the_rate(tmp_path: Path) -> None:
    clock, lines = Clock(), list[str]()
    progress = Progress("rl", "replies", 10, tmp_path, say=lines.append, clock=clock)
    progress.resume(8)
    clock.now += 4
    progress.advance(20)
    assert lines == ["rl resumes at 8/10", "rl 9/10 (90%) 5.0 replies/s, 4 s left"]


def test_reports_are_at_most_one_a_second_but_the_last_is_never_left_out(tmp_path: Path) -> None:
    clock, lines = Clock(), list[str]()
    progress = Progress("sft", "examples", 50, tmp_path, say=lines.append, clock=clock)
    for _ in range(50):
        clock.now += 0.1
        progress.advance(1)
    assert len(lines) <= 7
    assert lines[-1].startswith("sft 50/50 (100%)")


def test_numbers_are_written_for_people() -> None:
    assert [compact(value) for value in (0.25, 7.5, 42.4, 1234)] == ["0.2", "7.5", "42", "1.2k"]
    assert [duration(value) for value in (40, 600, 7200)] == ["40 s", "10 min", "2.0 h"]
