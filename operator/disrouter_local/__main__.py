"""`python -m disrouter_local`: the runtime as a process, started by `disrouter up`.

With `--life-line`, standard input's end is the order to stop: so a foreground `up` that is killed takes it along.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

from disrouter.errors import DisrouterError
from disrouter_local.runtime import Options, Runtime
from disrouter_local.state import StateFolder


def main() -> int:
    """Run until SIGTERM, SIGINT or the end of the life line."""
    args = _parse()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    volumes = {name: Path(path) for name, _, path in (item.partition("=") for item in args.volume)}
    try:
        asyncio.run(_run(StateFolder(args.state), Options(volumes, args.max_jobs), life_line=args.life_line))
    except DisrouterError as error:
        logging.getLogger(__name__).error("%s", error)
        return 1
    return 0


async def _run(state: StateFolder, options: Options, *, life_line: bool) -> None:
    runtime = Runtime(state, options)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, runtime.stop)
    if life_line:
        loop.add_reader(sys.stdin.fileno(), lambda: _at_end(loop, runtime))
    await runtime.run()


def _at_end(loop: asyncio.AbstractEventLoop, runtime: Runtime) -> None:
    if not os.read(sys.stdin.fileno(), 1024):
        loop.remove_reader(sys.stdin.fileno())
        runtime.stop()


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="disrouter_local")
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--volume", action="append", default=[], metavar="NAME=DIR")
    parser.add_argument("--max-jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--life-line", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
