"""Wait for a condition of a cascade, telling what happens meanwhile.

examples:
  disrouter wait                            until every cascade is Ready
  disrouter wait qwen --for TrainingComplete --timeout 3600
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

from disrouter_cli.errors import CliError
from disrouter_cli.options import add_namespace, add_state, state_folder

if TYPE_CHECKING:
    from disrouter_cli.progress import Artifacts
    from disrouter_local.state import StateFolder
    from disrouter_operator.kube.resources import Object

DEFAULT_TIMEOUT = 600.0


def configure(parser: argparse.ArgumentParser) -> None:
    from disrouter.api import ConditionType

    parser.add_argument("name", nargs="?", help="name of the cascade; default: all")
    parser.add_argument("--for", dest="condition", choices=list(ConditionType), default=ConditionType.READY)
    parser.add_argument("--timeout", type=float, default=DEFAULT_TIMEOUT, help="seconds (default 600)")
    add_namespace(parser)
    add_state(parser)


def run(args: argparse.Namespace) -> int:
    from disrouter_cli import cluster, progress

    state = state_folder(args)
    store = state.store()
    deadline = time.monotonic() + args.timeout

    def wanted(found: list[Object]) -> list[Object]:
        return [cluster.find(store, args.name, args.namespace)] if args.name else found

    def done(found: list[Object]) -> bool:
        return bool(found) and all(cluster.holds(item, args.condition) for item in wanted(found))

    narrator = progress.Narrator(artifacts(state))
    for _ in progress.watch(store, narrator, _say, done):
        if state.running() is None:
            raise CliError(f"no runtime holds {state.root}, so nothing will change; start it with `disrouter up`")
        if time.monotonic() > deadline:
            raise CliError(f"not {args.condition} after {args.timeout:.0f} s; `disrouter get -o yaml` says why")
        time.sleep(progress.POLL_SECONDS)
    return 0


def artifacts(state: StateFolder) -> Artifacts:
    """Folders of claims as the runtime that holds the folder maps them."""
    published = (state.running() or {}).get("volumes") or {}
    return state.claims({name: Path(path) for name, path in published.items()}).folder


def _say(line: str) -> None:
    print(line, flush=True)
