"""The report of the trainer over the agents that the cascade trained, and what must not change."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from .disrouter import CASCADE, CommandFailed, Disrouter


def print_report(runtime: Disrouter, weights: Path, pvc_root: Path) -> None:
    """Run `disrouter_training report` on the evaluations of the served runs."""
    agents = runtime.cascade()["spec"]["agents"]
    terminal = agents[-1]
    command = [sys.executable, "-m", "disrouter_training", "report", "--artifacts", str(weights)]
    command += ["--pvc-root", str(pvc_root), "--terminal", f"{terminal['name']}={terminal['model']['uri']}"]
    command += [word for agent in agents for word in ("--cost", f"{agent['name']}={agent['cost']}")]
    command += [word for run in served_runs(runtime, weights).values() for word in ("--run", str(run / "run.json"))]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise CommandFailed("`disrouter_training report` failed; its message is above")
    print("\n".join(f"  {line}" for line in done.stdout.splitlines()), flush=True)


def served_runs(runtime: Disrouter, weights: Path) -> dict[str, Path]:
    """The folder of the run that each trained agent serves."""
    return {
        agent["name"]: weights / CASCADE / agent["name"] / agent["servedRun"]
        for agent in runtime.cascade()["status"]["agents"]
        if agent.get("servedRun")
    }


@dataclass(frozen=True)
class Fingerprint:
    """What identifies running agents: their processes and their weights."""

    pids: dict[str, int]
    weights: dict[str, str]

    def without(self, agent: str) -> Fingerprint:
        """All but one agent."""
        prefix = f"{CASCADE}-{agent}-"
        pids = {name: pid for name, pid in self.pids.items() if not name.startswith(prefix)}
        return Fingerprint(pids, {name: digest for name, digest in self.weights.items() if name != agent})


def fingerprint(runtime: Disrouter, weights: Path) -> Fingerprint:
    """Process ids of all serving containers and SHA-256 of all served weights."""
    digests = {
        name: hashlib.sha256((run / "rl" / "weights" / "model.safetensors").read_bytes()).hexdigest()
        for name, run in served_runs(runtime, weights).items()
    }
    return Fingerprint(runtime.engines(), digests)
