"""Run cascades on this machine: agents, training and the endpoint as processes.

examples:
  disrouter up cascade.yaml
  disrouter up cascade.yaml --volume models=./models --volume data=./data --volume weights=./weights
  disrouter up --detach && disrouter apply -f cascade.yaml && disrouter wait

In the foreground it tells what happens; Ctrl-C stops everything. `pvc://NAME/path` in a manifest is a path below the
folder of --volume NAME=DIR (remembered for the next `up`), or of <state>/volumes/NAME. The engine is vLLM where it is
installed (DISROUTER_VLLM_PYTHON names its interpreter where that is another one), else `transformers serve`;
DISROUTER_ENGINE overrules the choice.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from disrouter_cli.errors import CliError
from disrouter_cli.options import add_state, parse_volumes, state_folder

if TYPE_CHECKING:
    from disrouter_local.state import StateFolder

START_SECONDS = 30.0


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", metavar="FILE", help="manifest to apply first")
    parser.add_argument("--volume", action="append", default=[], metavar="NAME=DIR", help="folder of a claim")
    parser.add_argument(
        "--max-jobs", type=int, default=os.cpu_count() or 1, help="training Jobs at once (default: cores)"
    )
    parser.add_argument(
        "--detach", action="store_true", help="return once the runtime is up; `disrouter down` stops it"
    )
    add_state(parser)


def run(args: argparse.Namespace) -> int:
    from disrouter_cli import manifests
    from disrouter_cli.commands.apply import apply_documents

    documents = manifests.checked(args.file) if args.file else []
    state = state_folder(args)
    volumes = state.volumes() | parse_volumes(args.volume)
    runtime = _start(state, volumes, args.max_jobs, detach=args.detach)
    try:
        apply_documents(state.store(), documents)
        if args.detach:
            print(f"runtime runs (pid {runtime.pid}), log {state.runtime_log}")
            return 0
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # a service manager's stop is a Ctrl-C
        return _narrate(state, runtime)
    finally:
        if not args.detach:
            _finish(runtime)


def _start(state: StateFolder, volumes: dict[str, Path], max_jobs: int, *, detach: bool) -> subprocess.Popen[bytes]:
    """Start the runtime and wait until it holds the state folder. Raises CliError with what it said."""
    from disrouter_local.errors import AlreadyRunning
    from disrouter_local.pods.guard import bound_log
    from disrouter_local.pods.process import LOG_LIMIT

    held = state.running()
    if held is not None:
        raise AlreadyRunning(
            f"a runtime (pid {held.get('pid')}) already holds {state.root}; apply to it with `disrouter apply`, "
            "stop it with `disrouter down`, or choose another folder with --state"
        )
    state.logs.mkdir(parents=True, exist_ok=True)
    bound_log(state.runtime_log, LOG_LIMIT)
    command = [sys.executable, "-m", "disrouter_local", f"--state={state.root}", f"--max-jobs={max_jobs}"]
    command += [f"--volume={name}={path}" for name, path in volumes.items()]
    command += [] if detach else ["--life-line"]
    with state.runtime_log.open("ab") as log:
        stdin = subprocess.DEVNULL if detach else subprocess.PIPE
        runtime = subprocess.Popen(command, stdin=stdin, stdout=log, stderr=log, start_new_session=True)  # noqa: S603
    deadline = time.monotonic() + START_SECONDS
    while state.running() is None:
        if runtime.poll() is not None or time.monotonic() > deadline:
            lines = state.runtime_log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
            runtime.kill()
            raise CliError(f"the runtime did not start: {lines[-1]} (log: {state.runtime_log})")
        time.sleep(0.05)
    return runtime


def _narrate(state: StateFolder, runtime: subprocess.Popen[bytes]) -> int:
    """Tell what happens until Ctrl-C or the runtime's end."""
    from disrouter_cli import cluster, progress
    from disrouter_cli.commands.wait import artifacts

    narrator = progress.Narrator(artifacts(state))
    store = state.store()
    reported: set[str] = set()
    for _ in progress.watch(store, narrator, _say, lambda _: runtime.poll() is not None):
        for cascade in cluster.cascades(store):
            name = cascade["metadata"]["name"]
            if cluster.holds(cascade, "Ready") and name not in reported:
                reported.add(name)
                _say(progress.hint(cascade))
        time.sleep(progress.POLL_SECONDS)
    raise CliError(f"the runtime ended with code {runtime.returncode}; its log is {state.runtime_log}")


def _finish(runtime: subprocess.Popen[bytes]) -> None:
    """Close the life line - the runtime stops its pods - and wait; a second Ctrl-C kills it, its processes with it."""
    if runtime.poll() is None:
        _say("stopping ...")
    assert runtime.stdin is not None
    runtime.stdin.close()
    try:
        runtime.wait()
    except KeyboardInterrupt:
        runtime.kill()


def _say(line: str) -> None:
    print(line, flush=True)
