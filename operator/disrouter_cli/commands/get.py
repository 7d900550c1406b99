"""Show cascades, as `kubectl get src` does.

examples:
  disrouter get
  disrouter get qwen -o wide       with a line for each agent
  disrouter get qwen -o json | jq .status
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from disrouter_cli.options import add_namespace, add_state, state_folder

if TYPE_CHECKING:
    from disrouter_operator.kube.resources import Object


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="name of the cascade; default: all")
    parser.add_argument("-o", "--output", choices=("table", "wide", "yaml", "json"), default="table")
    add_namespace(parser)
    add_state(parser)


def run(args: argparse.Namespace) -> int:
    from disrouter_cli import cluster, output

    store = state_folder(args).store()
    found = [cluster.find(store, args.name, args.namespace)] if args.name else cluster.cascades(store)
    if args.output in ("json", "yaml"):
        whole: Any = found[0] if args.name else {"apiVersion": "v1", "kind": "List", "items": found}
        print(output.as_json(whole) if args.output == "json" else output.as_yaml(whole))
        return 0
    if not found:
        print("no cascades; apply one with `disrouter apply -f FILE`")
        return 0
    header = ("NAME", "READY", "REASON", "AGENTS", "TRAINING", "URL", "AGE")
    print(output.table(header, [_row(item) for item in found]))
    if args.output == "wide":
        agent_header = ("AGENT", "PHASE", "READY", "AWARENESS", "COST", "RUN", "SERVED", "URL")
        print()
        print(output.table(agent_header, [row for item in found for row in _agent_rows(item)]))
    return 0


def _row(cascade: Object) -> list[str]:
    from disrouter_cli import cluster, output

    status = cascade.get("status") or {}
    ready = cluster.condition(cascade, "Ready")
    shown = [status.get(field) or "" for field in ("agentsReady", "training", "url")]
    metadata = cascade["metadata"]
    return [metadata["name"], ready["status"], ready["reason"], *shown, output.age(metadata["creationTimestamp"])]


def _agent_rows(cascade: Object) -> list[list[str]]:
    costs = {agent["name"]: agent["cost"] for agent in cascade["spec"]["agents"]}
    return [
        [
            f"{cascade['metadata']['name']}/{agent['name']}",
            agent["phase"],
            str(bool(agent.get("ready"))),
            agent.get("awareness") or "",
            str(costs.get(agent["name"], "")),
            agent.get("run") or "",
            agent.get("servedRun") or "",
            agent.get("url") or "",
        ]
        for agent in (cascade.get("status") or {}).get("agents") or []
    ]
