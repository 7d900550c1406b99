"""Entry point: parse, run one command, turn errors into one line and an exit code."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from types import ModuleType

from disrouter.errors import DisrouterError, InvalidCascade
from disrouter_cli.commands import apply, ask, delete, down, get, logs, ps, up, validate, version, wait

COMMANDS: tuple[ModuleType, ...] = (up, apply, get, wait, ask, ps, logs, delete, down, validate, version)
INTERRUPTED = 130

EXAMPLES = """examples:
  disrouter validate cascade.yaml                    check a manifest
  disrouter up cascade.yaml --volume models=./models  run it on this machine
  disrouter ask "What is 7 * 8?" --scenario cost-first
  disrouter apply -f cascade.yaml                    after an edit; only what changed is touched
  disrouter get -o wide                              cascades and their agents
  disrouter down                                     stop everything, keep weights and state
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 done, 1 it failed, 2 wrong usage, 130 interrupted."""
    args = build_parser().parse_args(arguments)
    try:
        return int(args.run(args))
    except InvalidCascade as error:
        for violation in error.violations:
            print(f"error: {violation}", file=sys.stderr)
    except DisrouterError as error:
        print(f"error: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone, as in `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="disrouter",
        description='Self-routing cascades of LLMs: each model answers, or says "I don\'t know!" and forwards.',
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")
    for module in COMMANDS:
        name = module.__name__.rpartition(".")[2]
        summary, _, rest = (module.__doc__ or "").partition("\n")
        command = commands.add_parser(
            name,
            help=summary.rstrip("."),
            description=summary,
            epilog=rest.strip("\n"),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.configure(command)
        command.set_defaults(run=module.run)
    return parser
