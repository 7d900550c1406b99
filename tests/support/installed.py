"""The operator's process as an installed Deployment describes it, logged in as the ServiceAccount that it names."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.controlplane import ControlPlane

ROOT = Path(__file__).parents[2]
STOP_SECONDS = 60.0


def _entrypoint() -> list[str]:
    """What the image runs, under this interpreter."""
    lines = (ROOT / "images/operator/Dockerfile").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("ENTRYPOINT ")]
    return [sys.executable, *json.loads(line.removeprefix("ENTRYPOINT "))[1:]]


def deployment(plane: ControlPlane, release: str, namespace: str) -> Any:
    """The release's Deployment."""
    (found,) = plane.get("deployment", namespace, f"--selector=app.kubernetes.io/instance={release}")["items"]
    return found


@contextmanager
def running(plane: ControlPlane, release: str, namespace: str, identity: str, folder: Path) -> Iterator[Path]:
    """Run it; yields its log. It must end well on SIGTERM."""
    pod = deployment(plane, release, namespace)["spec"]["template"]["spec"]
    token = plane.kubectl("create", "token", pod["serviceAccountName"], "--namespace", namespace).strip()
    kubeconfig = plane.kubeconfig_for(token, folder / f"{identity}.kubeconfig")
    fields = {"metadata.namespace": namespace, "metadata.name": identity}
    (container,) = pod["containers"]
    env = {each["name"]: each.get("value", "") or fields.get(_field(each), "") for each in container["env"]}
    env |= {"KUBECONFIG": str(kubeconfig), "DISROUTER_HOST": "127.0.0.1", "DISROUTER_PORT": "0"}
    log = folder / f"{identity}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(_entrypoint(), env=os.environ | env, stdout=out, stderr=out)
        try:
            yield log
            process.send_signal(signal.SIGTERM)
            assert process.wait(STOP_SECONDS) == 0, log.read_text()
        finally:
            process.kill()
            process.wait()
    assert "Traceback" not in log.read_text(), log.read_text()


def _field(variable: dict[str, Any]) -> str:
    return str(variable.get("valueFrom", {}).get("fieldRef", {}).get("fieldPath", ""))
