"""List the processes of pods: pid, restarts, readiness, log file.

examples:
  disrouter ps
  disrouter ps -o json
"""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING, Any

from disrouter import names
from disrouter_cli.options import add_state, state_folder

if TYPE_CHECKING:
    from disrouter_local.state import StateFolder
    from disrouter_operator.kube.resources import Object


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    add_state(parser)


def run(args: argparse.Namespace) -> int:
    from disrouter_cli import output

    rows = processes(state_folder(args))
    if args.output == "json":
        print(output.as_json(rows))
        return 0
    fields = ["pod", "container", "state", "pid", "ready", "restarts", "log"]
    if any(row["message"] for row in rows):
        fields.append("message")
    print(output.table([field.upper() for field in fields], [[str(row[field]) for field in fields] for row in rows]))
    return 0


def processes(state: StateFolder) -> list[dict[str, Any]]:
    """Every container of every pod that the runtime knows, finished Jobs included. Without a runtime none has a pid."""
    from disrouter_operator.kube.resources import PODS

    running = state.running() is not None
    pods = asyncio.run(state.store().list(PODS, None))
    return [row for pod in pods for row in _rows(state, pod, running)]


def _rows(state: StateFolder, pod: Object, running: bool) -> list[dict[str, Any]]:
    metadata, status = pod["metadata"], pod.get("status") or {}
    labels = metadata.get("labels") or {}
    rows = []
    for item in status.get("containerStatuses") or []:
        pid = item.get("containerID", "").removeprefix("process://")
        current = next(iter(item.get("state") or {"unknown": {}}))
        rows.append(
            {
                "pod": metadata["name"],
                "cascade": labels.get(names.LABEL_CASCADE),
                "agent": labels.get(names.LABEL_AGENT),
                "stage": labels.get(names.LABEL_STAGE),
                "container": item["name"],
                "phase": status.get("phase"),
                "state": (item["state"][current].get("reason") or current) if running else "stopped",
                "pid": int(pid) if pid and running else None,
                "ready": bool(item.get("ready")) and running,
                "message": (item["state"][current].get("message") or "") if running and current == "waiting" else "",
                "restarts": item.get("restartCount", 0),
                "started": (item.get("state") or {}).get("running", {}).get("startedAt"),
                "log": str(state.log(metadata["name"], item["name"])),
            }
        )
    return rows
