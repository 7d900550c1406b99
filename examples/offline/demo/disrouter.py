"""The command `disrouter` and what it says, as the demo uses it."""

from __future__ import annotations

import ctypes
import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from disrouter.api.status import Phase

CASCADE = "tiny"
_PR_SET_PDEATHSIG = 1


class CommandFailed(Exception):
    """`disrouter` exited with an error; carries its last words."""


@dataclass(frozen=True)
class Agent:
    """An agent as `disrouter get` reports it."""

    name: str
    phase: Phase
    ready: bool
    run: str | None
    message: str | None


@dataclass(frozen=True)
class Disrouter:
    """One local runtime: its state folder and the volumes it mounts."""

    state: Path
    volumes: dict[str, Path]

    def up(self, manifest: Path, log: Path) -> subprocess.Popen[bytes]:
        """Start the runtime; it ends with this process, however that ends."""
        mounts = [word for name, folder in self.volumes.items() for word in ("--volume", f"{name}={folder}")]
        with log.open("wb") as output:
            return subprocess.Popen(
                self._command("up", str(manifest), *mounts),
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=_end_with_parent,  # noqa: PLW1509  no threads yet
            )

    def down(self) -> None:
        """Stop everything it runs."""
        self._run("down")

    def apply(self, manifest: Path) -> str:
        """Apply a manifest; returns what the command says."""
        return self._run("apply", "-f", str(manifest)).strip()

    def cascade(self) -> dict[str, Any]:
        """The cascade with its status."""
        found: dict[str, Any] = json.loads(self._run("get", CASCADE, "-o", "json"))
        return found

    def agents(self) -> list[Agent]:
        """Agents in route order."""
        return [
            Agent(item["name"], Phase(item["phase"]), item.get("ready", False), item.get("run"), item.get("message"))
            for item in self.cascade().get("status", {}).get("agents", [])
        ]

    def ready(self) -> bool:
        """Whether the cascade, as last applied, is Ready and all its training is done."""
        cascade = self.cascade()
        status = cascade.get("status", {})
        seen = status.get("observedGeneration") == cascade["metadata"]["generation"]
        conditions = {item["type"]: item["status"] for item in status.get("conditions", [])}
        return seen and conditions.get("Ready") == "True" and conditions.get("TrainingComplete") == "True"

    @property
    def url(self) -> str:
        """The endpoint that clients use."""
        return str(self.cascade()["status"]["url"])

    def engines(self, agent: str | None = None) -> dict[str, int]:
        """Process ids of the serving containers, of one agent or of all, by `pod/container`."""
        listed = json.loads(self._run("ps", "-o", "json"))
        return {
            f"{item['pod']}/{item['container']}": item["pid"]
            for item in listed
            if item["container"] != "trainer" and agent in (None, item["agent"])
        }

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "disrouter_cli", *arguments, "--state", str(self.state)]

    def _run(self, *arguments: str) -> str:
        done = subprocess.run(self._command(*arguments), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise CommandFailed(
                f"`disrouter {' '.join(arguments)}` failed: {done.stderr.strip() or done.stdout.strip()}"
            )
        return done.stdout


def _end_with_parent() -> None:
    """Linux: have this child told to stop when its parent dies, also by SIGKILL. Elsewhere Ctrl-C and exit do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
