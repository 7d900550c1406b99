"""Options that several commands share, and what they mean."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from disrouter_cli.errors import CliError

if TYPE_CHECKING:
    from disrouter_local.state import StateFolder

DEFAULT_STATE = ".disrouter"


def add_state(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--state", type=Path, default=Path(DEFAULT_STATE), metavar="DIR", help=f"state folder (default {DEFAULT_STATE})"
    )


def add_namespace(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--namespace", default="default", help="namespace of the cascade (default: default)")


def state_folder(args: argparse.Namespace) -> StateFolder:
    """The state folder, absolute, so that children in other working directories find it."""
    from disrouter_local.state import StateFolder

    return StateFolder(args.state.absolute())


def parse_volumes(texts: list[str]) -> dict[str, Path]:
    """`NAME=DIR` pairs. Raises CliError for a folder that does not exist: a typo would train on nothing."""
    volumes = {}
    for text in texts:
        name, separator, folder = text.partition("=")
        if not (name and separator and folder):
            raise CliError(f"--volume {text!r} is not NAME=DIR; write for example --volume models=./models")
        path = Path(folder).absolute()
        if not path.is_dir():
            raise CliError(f"--volume {name}: {path} is not a folder; create it or correct the path")
        volumes[name] = path
    return volumes
