"""The real kubectl against a cluster, as its administrator."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

PATIENCE = 120.0
"""Seconds until a test gives up on what takes a few on a quiet machine."""


def binary() -> str:
    """kubectl from the folder of the control plane's programs, else from PATH."""
    beside = Path(os.environ.get("KUBEBUILDER_ASSETS", "")) / "kubectl"
    found = str(beside) if beside.exists() else shutil.which("kubectl")
    assert found, "kubectl is neither in KUBEBUILDER_ASSETS nor on PATH"
    return found


@dataclass(frozen=True)
class Kubectl:
    """A cluster by its kubeconfig."""

    kubeconfig: Path
    kubectl_binary: str
    pause: ClassVar[float] = 0.2
    """Seconds between two looks of `wait`."""

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """Run the real kubectl as administrator and return what it printed; errors carry its stderr."""
        done = self.kubectl_process(*arguments, stdin=stdin)
        if check and done.returncode != 0:
            raise AssertionError(f"kubectl {' '.join(arguments)} failed: {done.stderr.strip()[:2000]}")
        return done.stdout

    def command(self, *arguments: str) -> list[str]:
        """The words that run kubectl there, for whoever wants its pipes."""
        return [self.kubectl_binary, f"--kubeconfig={self.kubeconfig}", *arguments]

    def kubectl_process(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run kubectl and hand back everything, for tests of what it refuses."""
        command = self.command(*arguments)
        return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60, check=False)

    def apply(self, *objects: dict[str, Any], namespace: str | None = None) -> None:
        """`kubectl apply` of manifests, as JSON: what PyYAML writes of a hash such as 745972e653 is a number to Go."""
        where = ["--namespace", namespace] if namespace else []
        self.kubectl("apply", *where, "-f", "-", stdin="\n".join(map(json.dumps, objects)))

    def get(self, kind: str, namespace: str, *arguments: str) -> Any:
        """`kubectl get -o json`, parsed."""
        return json.loads(self.kubectl("get", kind, "--namespace", namespace, "-o", "json", *arguments))

    def wait(self, what: str, ready: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Ask again until `ready` says yes."""
        deadline = time.monotonic() + seconds
        while not ready():
            if time.monotonic() > deadline:
                raise AssertionError(f"{what} did not come about within {seconds:.0f} s")
            time.sleep(self.pause)
