"""Stop the runtime of this machine and every process of it; state and weights stay.

examples:
  disrouter down
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import time

from disrouter_cli.errors import CliError
from disrouter_cli.options import add_state, state_folder

POLL_SECONDS = 0.1


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds to wait for a clean end (default 120)")
    add_state(parser)


def run(args: argparse.Namespace) -> int:
    from disrouter_cli.commands.ps import processes

    state = state_folder(args)
    runtime = state.running()
    if runtime is None:
        print(f"nothing runs on {state.root}")
        return 0
    alive = [row for row in processes(state) if row["pid"] is not None]
    with contextlib.suppress(ProcessLookupError):
        os.kill(runtime["pid"], signal.SIGTERM)
    deadline = time.monotonic() + args.timeout
    while state.running() is not None:
        if time.monotonic() > deadline:
            raise CliError(
                f"the runtime (pid {runtime['pid']}) still drains after {args.timeout:.0f} s; wait, or end it with "
                f"kill -9 {runtime['pid']}, which takes its processes with it"
            )
        time.sleep(POLL_SECONDS)
    pods = {row["pod"] for row in alive}
    print(f"stopped the runtime (pid {runtime['pid']}), {len(pods)} pods, {len(alive)} processes; kept {state.root}")
    return 0
