"""The command line: `python -m disrouter_training <stage> --run run.json`.

Exit codes: 0 done, 1 failed, 2 wrong arguments, 75 interrupted after its work was kept (sysexits' EX_TEMPFAIL: try
again). A failure is one line on stderr and in the container's termination log. Stages import torch only when they
run, so `--help` and mistakes in the arguments answer at once.
"""

from __future__ import annotations

import argparse
import importlib
import os
from collections.abc import Sequence
from pathlib import Path

from disrouter.artifacts import TERMINATION_MESSAGE_LIMIT, RunConfig, RunLayout, Stage
from disrouter.errors import DisrouterError
from disrouter.uris import PVC_ROOT
from disrouter_training.errors import Interrupted
from disrouter_training.job import Job
from disrouter_training.progress import say_on_stderr
from disrouter_training.stop import StopSignal

EXIT_FAILED = 1
EXIT_INTERRUPTED = 75
TERMINATION_LOG = "DISROUTER_TERMINATION_LOG"
"""Environment variable: the file whose content the kubelet reports as the container's last message."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.handler(arguments) or 0)
    except Interrupted as error:
        return _end(str(error), EXIT_INTERRUPTED)
    except (DisrouterError, ValueError) as error:
        return _end(str(error), EXIT_FAILED)
    except (OSError, MemoryError, RuntimeError) as error:
        return _end(f"{type(error).__name__}: {error}", EXIT_FAILED)


def write_termination_message(text: str) -> None:
    """Leave a message for the operator; without the variable there is nobody to read it."""
    path = os.environ.get(TERMINATION_LOG)
    if path:
        Path(path).write_bytes(text.encode()[:TERMINATION_MESSAGE_LIMIT])


def _end(message: str, code: int) -> int:
    line = " ".join(message.split())
    say_on_stderr(f"disrouter-training: {line}")
    write_termination_message(line)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="disrouter_training", description="Self-Awareness Training of one agent.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    about = {
        Stage.COLLECT: "measure how often the base model answers each question right",
        Stage.SFT: "teach it by examples to refuse what it cannot do",
        Stage.RL: "sharpen the decision with the scenario-conditioned reward",
        Stage.EVALUATE: "measure the candidate on held-out questions",
    }
    for stage, text in about.items():
        _add_stage(commands, stage, text, (stage,))
    _add_stage(commands, "run", "all four stages in order", tuple(Stage))
    return parser


def _add_stage(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, text: str, stages: tuple[Stage, ...]
) -> None:
    parser = commands.add_parser(name, help=text, description=text.capitalize() + ".")
    parser.add_argument("--run", type=Path, required=True, metavar="RUN.JSON", help="inputs of the training run")
    parser.add_argument("--artifacts", type=Path, default=Path("artifacts"), help="where runs are kept (%(default)s)")
    parser.add_argument(
        "--pvc-root",
        type=Path,
        default=Path(os.environ.get("DISROUTER_PVC_ROOT", PVC_ROOT)),
        help="where pvc://CLAIM/path lies: below PVC_ROOT/CLAIM (%(default)s)",
    )
    parser.set_defaults(handler=_run_stages, stages=stages)


def _run_stages(arguments: argparse.Namespace) -> None:
    config = RunConfig.read(arguments.run)
    layout = RunLayout.of(arguments.artifacts.absolute(), config)
    stop = StopSignal()
    stop.install()
    job = Job(config, layout, arguments.pvc_root.absolute(), stop)
    for stage in arguments.stages:
        _run_stage(job, stage)


def _run_stage(job: Job, stage: Stage) -> None:
    if job.layout.done(stage) is not None:
        job.say(f"{stage} of run {job.layout.run} is complete already; nothing to do")
        return
    if stage.previous is not None:
        job.layout.require(stage.previous)
    module = importlib.import_module(f"disrouter_training.{stage}")
    getattr(module, stage)(job)
