"""Nobody is left in silence."""

import json
import subprocess
import sys
import time
from pathlib import Path

from disrouter_training.process.heartbeat import Heartbeat
from support.trainer import RUN, Trainer


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_last_line_is_said_again_after_a_silence_with_the_time_since() -> None:
    lines: list[str] = []
    clock = Time()
    heartbeat = Heartbeat(lines.append, clock, silence=30)
    heartbeat.beat()
    assert lines == [], "nothing was begun"
    heartbeat("collect: loads the model")
    clock.now = 29
    heartbeat.beat()
    assert lines == ["collect: loads the model"]
    clock.now = 31
    heartbeat.beat()
    clock.now = 40
    heartbeat.beat()
    assert lines[1:] == ["collect: loads the model (31 s ago; still at work)"]
    clock.now = 62
    heartbeat.beat()
    assert lines[2:] == ["collect: loads the model (62 s ago; still at work)"]


def test_it_beats_by_itself_while_something_is_done_and_ends_with_it() -> None:
    lines: list[str] = []
    with Heartbeat(lines.append, silence=0.02) as heartbeat:
        heartbeat("works")
        deadline = time.monotonic() + 20
        while len(lines) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
    said = len(lines)
    assert said >= 3
    time.sleep(0.1)
    assert len(lines) == said


def test_a_stage_says_what_it_does_before_it_loads_a_library(tmp_path: Path) -> None:
    """The first line must not wait for torch: it is said though the import that follows fails."""
    (tmp_path / "run.json").write_text(json.dumps(RUN))
    trainer = Trainer(tmp_path, tmp_path / "artifacts")
    code = "import sys; sys.modules['torch'] = None; from disrouter_training.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, *trainer.arguments("collect")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    first, *rest = done.stderr.splitlines()
    assert first == f"collect of run {trainer.layout.run} begins: loads libraries"
    assert any("torch" in line for line in rest)
