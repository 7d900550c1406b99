"""What runs, how far it is, and how long it will take: lines of progress while the runtime works."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass
from pathlib import Path

from .disrouter import CASCADE, Agent, CommandFailed, Disrouter

INTERVAL = 5.0


@dataclass
class Steps:
    """Numbers the steps of the demo and estimates what is left from the seconds they usually take."""

    budget: list[float]
    started: float
    done: int = 0

    def begin(self, title: str) -> None:
        """Announce the next step."""
        left = sum(self.budget[self.done :])
        self.done += 1
        elapsed = time.monotonic() - self.started
        print(
            f"\n[{self.done}/{len(self.budget)}] {title}   ({clock(elapsed)} so far, about {clock(left)} left)",
            flush=True,
        )


def wait_until_serving(runtime: Disrouter, limit: float) -> None:
    """Wait until every agent serves, trained or not. Raises CommandFailed after `limit` s."""
    started = time.monotonic()
    while True:
        with contextlib.suppress(CommandFailed):  # the runtime may not have written anything yet
            agents = runtime.agents()
            if agents and all(agent.ready for agent in agents):
                print(f"  {clock(time.monotonic() - started)}  all serve at {runtime.url}", flush=True)
                return
        if time.monotonic() - started > limit:
            raise CommandFailed(f"the agents do not serve after {limit:.0f} s; see {runtime.state}/logs")
        time.sleep(1.0)


def wait_until_ready(runtime: Disrouter, weights: Path, limit: float) -> None:
    """Print what every agent does until the cascade is ready. Raises CommandFailed on a failure or after `limit` s."""
    started = time.monotonic()
    last = ""
    while not runtime.ready():
        agents = runtime.agents()
        failed = [agent for agent in agents if agent.phase.failed]
        if failed:
            raise CommandFailed(f"agent {failed[0].name} is {failed[0].phase}: {failed[0].message}")
        if time.monotonic() - started > limit:
            raise CommandFailed(
                f"not ready after {limit:.0f} s; see `disrouter ps` and the logs in {runtime.state}/logs"
            )
        line = ", ".join(f"{agent.name} {_doing(agent, weights)}" for agent in agents)
        if line and line != last:
            print(f"  {clock(time.monotonic() - started)}  {line}", flush=True)
            last = line
        time.sleep(INTERVAL)
    print(f"  {clock(time.monotonic() - started)}  ready", flush=True)


def wait_until_gone(runtime: Disrouter, agent: str, limit: float) -> None:
    """Wait until the agent has drained and nothing of it is left."""
    started = time.monotonic()
    while any(item.name == agent for item in runtime.agents()) or runtime.engines(agent):
        if time.monotonic() - started > limit:
            raise CommandFailed(f"{agent} is still there after {limit:.0f} s; see `disrouter ps`")
        time.sleep(0.5)
    print(f"  {clock(time.monotonic() - started)}  {agent} is gone", flush=True)


def _doing(agent: Agent, weights: Path) -> str:
    stage = agent.phase.stage
    if stage is None or agent.run is None:
        return agent.phase.lower() if agent.ready else f"{agent.phase.lower()} (starting)"
    try:
        progress = json.loads((weights / CASCADE / agent.name / agent.run / stage / "progress.json").read_bytes())
    except (OSError, ValueError):
        return f"{stage} (starting)"
    return f"{stage} {progress['step']}/{progress['of']}, {clock(progress['seconds_left'])} left"


def clock(seconds: float) -> str:
    """Minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"
