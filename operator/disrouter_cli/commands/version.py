"""Print the version."""

from __future__ import annotations

import argparse

from disrouter import __version__


def configure(_: argparse.ArgumentParser) -> None:
    """No options."""


def run(_: argparse.Namespace) -> int:
    print(f"disrouter {__version__}")
    return 0
