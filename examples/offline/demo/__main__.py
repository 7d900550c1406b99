"""`python -m demo`: every step in order."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from openai import OpenAI, OpenAIError

from .asking import choose, show
from .disrouter import CommandFailed, Disrouter
from .progress import Steps, wait_until_gone, wait_until_ready, wait_until_serving
from .questions import read
from .report import Fingerprint, fingerprint, print_report, served_runs
from .traffic import Traffic

POOL = Path(__file__).parents[1]
ADDED = {
    "name": "medium",
    "model": {"uri": "pvc://models/medium"},
    "cost": 0.4,
    "engine": {"args": ["--dtype=float32", "--max-model-len=512", "--enforce-eager"]},
}
BUDGET = [27.0, 180.0, 23.0, 2.0, 240.0, 10.0, 3.0]
"""Seconds that the steps take on two otherwise idle cores."""
PATIENCE = 1800.0
"""Seconds for a step before the demo gives up: seven times what its longest takes."""


def main() -> int:
    """Run the demo. Exit code 1 with one line if anything fails."""
    parser = argparse.ArgumentParser(prog="make demo", description="Train and serve a cascade of tiny models.")
    parser.add_argument("--state", type=Path, default=Path(".disrouter/demo"), help="where everything is kept")
    folder = parser.parse_args().state.resolve()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    demo = Demo(folder)
    try:
        demo.run()
    except KeyboardInterrupt:
        return _stopped("interrupted")
    except (CommandFailed, OpenAIError, OSError, LookupError) as error:
        return _stopped(f"{type(error).__name__}: {error}")
    finally:
        with contextlib.suppress(CommandFailed):
            demo.runtime.down()
    return 0


def _stopped(why: str) -> int:
    print(f"\nThe demo stopped: {why}", file=sys.stderr)
    return 1


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


class Demo:
    """The steps, and what they share."""

    def __init__(self, folder: Path) -> None:
        self.volumes = folder / "volumes"
        names = ("models", "data", "weights")
        self.runtime = Disrouter(folder / "state", {name: self.volumes / name for name in names})
        if folder.exists():
            with contextlib.suppress(CommandFailed):  # what an earlier demo left running, if anything
                self.runtime.down()
            shutil.rmtree(folder)
        self.volumes.mkdir(parents=True)
        self.weights = self.volumes / "weights"
        self.weights.mkdir()
        for name, target in (("models", POOL / "models"), ("data", POOL / "questions")):
            (self.volumes / name).symlink_to(target)
        self.manifest = folder / "cascade.yaml"
        shutil.copy(POOL / "cascade.yaml", self.manifest)
        self.questions = read(POOL / "questions" / "test.jsonl")
        self.steps = Steps(BUDGET, time.monotonic())

    def run(self) -> None:
        """All of it, in order."""
        self.start()
        self.train()
        self.report()
        self.ask()
        self.add()
        self.remove()
        self.finish()

    def start(self) -> None:
        """Bring three agents up."""
        self.steps.begin("Start three agents: nano, small and large, each an engine and a sidecar")
        self.runtime.up(self.manifest, self.manifest.with_name("up.log"))
        wait_until_serving(self.runtime, PATIENCE)

    def train(self) -> None:
        """Wait until the two that may refuse have learned when to."""
        self.steps.begin("Self-Awareness Training of nano and small, side by side; large always answers")
        wait_until_ready(self.runtime, self.weights, PATIENCE)

    def report(self) -> None:
        """Print what the agents and the cascade are worth."""
        self.steps.begin("What the agents know of themselves, and what the cascade is worth")
        print_report(self.runtime, self.weights, self.volumes)

    def ask(self) -> None:
        """Ask six questions."""
        self.steps.begin("Six questions with the openai client")
        predictions = served_runs(self.runtime, self.weights)["nano"] / "evaluate" / "predictions.jsonl"
        with OpenAI(base_url=self.runtime.url, api_key="unused", max_retries=0) as client:
            show(client, choose(self.questions, predictions))

    def add(self) -> None:
        """Plug an agent in under load."""
        self.steps.begin("Add the agent medium to the YAML and apply it, while requests keep coming")
        before = fingerprint(self.runtime, self.weights)
        with Traffic(self.runtime.url, self.questions) as traffic:
            self._edit(lambda agents: agents.insert(2, ADDED))
            wait_until_ready(self.runtime, self.weights, PATIENCE)
            time.sleep(5)
        self._compare(before, traffic, "medium")
        trained = served_runs(self.runtime, self.weights).keys() - before.weights.keys()
        print(f"  trained meanwhile: {', '.join(sorted(trained))} and nobody else")
        if trained != {"medium"}:
            raise CommandFailed(f"medium alone should have been trained, but it was {sorted(trained)}")
        print_report(self.runtime, self.weights, self.volumes)

    def remove(self) -> None:
        """Pull it out under load."""
        self.steps.begin("Remove medium from the YAML and apply it, while requests keep coming")
        before = fingerprint(self.runtime, self.weights).without("medium")
        with Traffic(self.runtime.url, self.questions, pause=0.05) as traffic:
            self._edit(lambda agents: agents.pop(2))
            wait_until_gone(self.runtime, "medium", PATIENCE)
            time.sleep(3)
        self._compare(before, traffic, "medium")

    def finish(self) -> None:
        """Leave nothing running."""
        self.steps.begin("Stop everything")
        self.runtime.down()
        minutes = (time.monotonic() - self.steps.started) / 60
        print(f"  done in {minutes:.1f} minutes; weights, logs and evaluations are in {self.manifest.parent}")

    def _edit(self, change: Callable[[list[dict[str, Any]]], object]) -> None:
        manifest = yaml.safe_load(self.manifest.read_text())
        change(manifest["spec"]["agents"])
        self.manifest.write_text(yaml.safe_dump(manifest, sort_keys=False))
        print(f"  {self.runtime.apply(self.manifest)}", flush=True)

    def _compare(self, before: Fingerprint, traffic: Traffic, agent: str) -> None:
        """Say what the change did to the others and to the requests. Raises CommandFailed if it did anything."""
        after = fingerprint(self.runtime, self.weights).without(agent)
        print(f"  {traffic.summary}")
        if not traffic.sent:
            raise CommandFailed("no request was sent meanwhile")
        if traffic.failures:
            raise CommandFailed(f"a request was lost: {traffic.failures[0]}")
        if before != after:
            raise CommandFailed(f"the change touched other agents: {before} became {after}")
        print(f"  the other agents kept their {len(after.pids)} processes (same pids) and their weights (same SHA-256)")


if __name__ == "__main__":
    sys.exit(main())
