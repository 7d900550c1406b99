"""Print the logs of an agent: engine, sidecar and training.

examples:
  disrouter logs small
  disrouter logs small -c transformer-container -f
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from disrouter_cli.errors import NotFound
from disrouter_cli.options import add_state, state_folder

FOLLOW_SECONDS = 0.3
DEFAULT_TAIL = 200


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("agent", help="name of the agent")
    parser.add_argument("-c", "--container", help="one container only, for example transformer-container")
    parser.add_argument("-f", "--follow", action="store_true", help="go on until interrupted")
    parser.add_argument("--tail", type=int, default=DEFAULT_TAIL, help=f"lines of each log (default {DEFAULT_TAIL})")
    add_state(parser)


def run(args: argparse.Namespace) -> int:
    offsets: dict[Path, int] = {}
    files = _files(args)
    if not files:
        raise NotFound(f"no log of an agent {args.agent!r}; `disrouter ps` lists what there is")
    for file, title in files.items():
        offsets[file] = file.stat().st_size
        for line in file.read_text(errors="replace").splitlines()[-args.tail :]:
            print(f"[{title}] {line}")
    while args.follow:
        time.sleep(FOLLOW_SECONDS)
        for file, title in _files(args).items():
            _print_new(file, title, offsets)
    return 0


def _files(args: argparse.Namespace) -> dict[Path, str]:
    """Log file -> title, of the pods that exist."""
    from disrouter_cli.commands.ps import processes

    rows = [row for row in processes(state_folder(args)) if row["agent"] == args.agent]
    wanted = [row for row in rows if args.container in (None, row["container"])]
    found = {Path(row["log"]): f"{row['pod']} {row['container']}" for row in wanted}
    return {file: title for file, title in found.items() if file.is_file()}


def _print_new(file: Path, title: str, offsets: dict[Path, int]) -> None:
    size = file.stat().st_size
    start = offsets.get(file, 0)
    with file.open("rb") as log:
        log.seek(start if size >= start else 0)  # a shorter file was moved aside
        text = log.read()
    whole = text[: text.rfind(b"\n") + 1]
    offsets[file] = (start if size >= start else 0) + len(whole)
    for line in whole.decode(errors="replace").splitlines():
        print(f"[{title}] {line}", flush=True)
