"""`disrouter` as a person runs it, in a folder of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

PATIENCE = 120.0
"""Seconds until a test gives up on what takes a few on a quiet machine."""


class Home:
    """A folder to run the command in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ = {**os.environ, "DISROUTER_ENGINE": "transformers", "OMP_NUM_THREADS": "1"}

    def write(self, *agents: dict[str, Any], **spec: Any) -> str:
        manifest = {
            "apiVersion": "disrouter.io/v1alpha1",
            "kind": "SelfRoutingCascade",
            "metadata": {"name": "pool"},
            "spec": {"drainSeconds": 1, "agents": list(agents), **spec},
        }
        (self.folder / "cascade.yaml").write_text(yaml.safe_dump(manifest))
        return "cascade.yaml"

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "disrouter_cli", *arguments]

    def run(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        command = self.command(*arguments)
        done = subprocess.run(
            command, cwd=self.folder, env=self.environ, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == code, f"{arguments}: {done.stdout}\n{done.stderr}\n{self.log()}"
        return done

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """`up` in the foreground, with Ctrl-C as in a terminal: a test run in the background inherits it ignored."""
        signal.signal(signal.SIGINT, signal.default_int_handler)
        return subprocess.Popen(
            self.command("up", *arguments), cwd=self.folder, env=self.environ, stdout=subprocess.PIPE, text=True
        )

    def log(self) -> str:
        path = self.folder / ".disrouter" / "logs" / "runtime.log"
        return path.read_text()[-2000:] if path.exists() else "no log"

    def pids(self) -> dict[str, int]:
        """pid by agent and container."""
        rows = json.loads(self.run("ps", "-o", "json").stdout)
        return {f"{row['agent']}/{row['container']}": row["pid"] for row in rows if row["pid"]}

    def cascade(self) -> dict[str, Any]:
        return dict(json.loads(self.run("get", "pool", "-o", "json").stdout))

    def agents(self) -> list[str]:
        return [agent["name"] for agent in self.cascade().get("status", {}).get("agents", [])]

    def wait(self, holds: Callable[[], Any], seconds: float = PATIENCE) -> Any:
        deadline = time.monotonic() + seconds
        while not (value := holds()):
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.2)
        return value
