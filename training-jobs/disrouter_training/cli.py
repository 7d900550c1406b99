"""The command line: `python -m disrouter_training <stage> --run run.json`.

Exit codes: 0 done, 1 failed, 2 wrong arguments, 75 interrupted after its work was kept, or another process is at work
on the run (sysexits' EX_TEMPFAIL: try again). A failure is one line on stderr and in the container's termination log.
Under torchrun rank 0 alone writes, and torchrun's own exit code is 1 for each of these but 0.
Stages import torch only when they run, so `--help` and mistakes in the arguments answer at once.
"""

from __future__ import annotations

import argparse
import json
import os
import traceback
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from disrouter.artifacts import INTERRUPTED, TERMINATION_MESSAGE_LIMIT, RunConfig, RunLayout, Stage
from disrouter.errors import DisrouterError
from disrouter.uris import PVC_ROOT
from disrouter_training.errors import Interrupted, RunBusy
from disrouter_training.job import Job
from disrouter_training.models.gpu_memory import is_out_of_memory
from disrouter_training.process.heartbeat import Heartbeat
from disrouter_training.process.lock import only_trainer
from disrouter_training.process.progress import say_on_stderr
from disrouter_training.process.ranks import PARALLEL, Ranks
from disrouter_training.process.stop import StopSignal
from disrouter_training.training.disk_space import is_disk_full
from disrouter_training.training.trackers import check_trackers

EXIT_FAILED = 1
SMALLER = (
    "one sequence at a time is too much already: shorten the questions or collect.maxNewTokens, set sft.lora and "
    "rl.lora, take a smaller model, or give the Job more memory; under torchrun lower sft.microBatchSize or "
    "rl.microBatchSize"
)
LARGER = "its earlier work is kept: free space or enlarge the claim of training.artifacts, and run it again"
PVC_ROOT_VARIABLE = "DISROUTER_PVC_ROOT"
REPORT_TO = "DISROUTER_REPORT_TO"
TERMINATION_LOG = "DISROUTER_TERMINATION_LOG"
"""Environment variable: the file whose content the kubelet reports as the container's last message."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.handler(arguments) or 0)
    except (Interrupted, RunBusy) as error:
        return _end(str(error), INTERRUPTED)
    except DisrouterError as error:
        return _end(str(error), EXIT_FAILED)
    except Exception as error:
        return _end(_explained(error), EXIT_FAILED)


def _explained(error: Exception) -> str:
    """What libraries raised, for a person; the log has the trace of what nobody foresaw."""
    if is_out_of_memory(error):
        return f"out of memory: {error}; {SMALLER}"
    if is_disk_full(error):
        return f"no space left to write what the stage leaves ({error}); {LARGER}"
    traceback.print_exception(error)
    return f"unexpected {type(error).__name__}: {error}; the log has the whole trace"


def write_termination_message(text: str) -> None:
    """Leave a message for the operator; without the variable there is nobody to read it. Of several, rank 0 does."""
    path = os.environ.get(TERMINATION_LOG)
    if path and os.environ.get("RANK", "0") == "0":
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
        _add_stages(commands.add_parser(stage, help=text, description=text), (stage,))
    everything = "all four stages in order"
    _add_stages(commands.add_parser("run", help=everything, description=everything), tuple(Stage))
    together = "judge agents that were evaluated as a cascade"
    _add_report(commands.add_parser("report", help=together, description=together))
    whole = "train a whole pool with several seeds and compare it with other routers"
    _add_pool(commands.add_parser("pool", help=whole, description=whole))
    return parser


def _add_places(parser: argparse.ArgumentParser) -> None:
    root = Path(os.environ.get(PVC_ROOT_VARIABLE, PVC_ROOT))
    parser.add_argument("--artifacts", type=Path, default=Path("artifacts"), help="where runs are kept (%(default)s)")
    parser.add_argument("--pvc-root", type=Path, default=root, help="pvc://CLAIM/x is CLAIM/x below it (%(default)s)")


def _add_stages(parser: argparse.ArgumentParser, stages: tuple[Stage, ...]) -> None:
    parser.add_argument("--run", type=Path, required=True, metavar="RUN.JSON", help="inputs of the training run")
    parser.add_argument(
        "--resources",
        type=_resources,
        metavar="JSON",
        help="engines and batches by stage, in place of those of the run file",
    )
    parser.add_argument(
        "--report-to",
        type=_names,
        default=os.environ.get(REPORT_TO, ""),
        metavar="NAME,NAME",
        help=f"experiment trackers of sft and rl: tensorboard, wandb, mlflow (default: {REPORT_TO})",
    )
    _add_places(parser)
    if Stage.EVALUATE in stages:
        served = "trained weights that are served today (default: the base model, prompted)"
        parser.add_argument("--serving", metavar="DIR", help=served)
    parser.set_defaults(handler=_run_stages, stages=stages, serving=None)


def _add_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run", type=Path, required=True, action="append", metavar="RUN.JSON", help="once an agent")
    parser.add_argument(
        "--cost", type=_cost, required=True, action="append", metavar="AGENT=COST", help="once an agent"
    )
    parser.add_argument(
        "--terminal", type=_pair, required=True, metavar="AGENT=MODEL", help="URI or folder of its model"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report as JSON too")
    parser.add_argument("--html", type=Path, metavar="DIR", help="write a page with pictures too")
    _add_places(parser)
    parser.set_defaults(handler=_report)


def _add_pool(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pool", type=Path, required=True, metavar="POOL.YAML", help="agents, questions, recipe")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="what is made, and the report")
    parser.add_argument(
        "--seeds", type=_seeds, default=(), metavar="N,N", help="of training (default: the pool file's)"
    )
    ours = "of the baselines (default: those of training)"
    parser.add_argument("--baseline-seeds", type=_seeds, default=(), metavar="N,N", help=ours)
    parser.add_argument("--no-baselines", action="store_true", help="fit no learned routers")
    parser.add_argument("--parallel", type=int, default=1, metavar="N", help="runs at once (%(default)s)")
    root = Path(os.environ.get(PVC_ROOT_VARIABLE, PVC_ROOT))
    parser.add_argument(
        "--pvc-root", type=Path, default=root, help="where claims are that the file names no folder for"
    )
    parser.set_defaults(handler=_pool)


def _seeds(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of whole numbers, such as 1,2,3") from None


def _resources(text: str) -> dict[str, dict[str, object]]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"is not JSON: {error}") from None
    if not isinstance(found, dict) or not all(isinstance(fields, dict) for fields in found.values()):
        raise argparse.ArgumentTypeError('is not an object of objects, such as {"collect": {"batchSize": 64}}')
    return found


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for part in text.split(",") if (name := part.strip()))


def _pair(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not (name and separator and value):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def _cost(text: str) -> tuple[str, float]:
    name, value = _pair(text)
    try:
        cost = float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{value!r} is not a number") from None
    if not 0 <= cost <= 1:
        raise argparse.ArgumentTypeError(f"the cost of {name} must lie in [0, 1], got {value}")
    return name, cost


def _run_stages(arguments: argparse.Namespace) -> None:
    config = RunConfig.read(arguments.run)
    if arguments.resources is not None:
        config = config.taking(arguments.resources)
    layout = RunLayout.of(arguments.artifacts.absolute(), config)
    ranks = Ranks.of(os.environ)
    ranks.check(arguments.stages)
    say = Heartbeat(say_on_stderr if ranks.leads else _silence)
    # One of several dies of a signal until it has met the others: a leader that cannot begin would leave it waiting.
    stop = _listening() if ranks.size == 1 else StopSignal()
    check_trackers(arguments.report_to)
    job = Job(config, layout, arguments.pvc_root.absolute(), stop, say, ranks=ranks, report_to=arguments.report_to)
    with say, only_trainer(layout.directory, job.say) if ranks.leads else nullcontext():
        for stage in arguments.stages:
            _run_stage(job, stage, arguments.serving)


def _run_stage(job: Job, stage: Stage, serving: str | None) -> None:
    """Run one stage unless it is complete. `evaluate` leaves its result for the operator either way."""
    done = job.layout.done(stage)
    if done is not None and (stage is not Stage.EVALUATE or done["metrics"].get("serving") == serving):
        job.say(f"{stage} of run {job.layout.run} is complete already; nothing to do")
    else:
        _start(job, stage, serving)
    if stage is Stage.EVALUATE:
        from disrouter_training.evaluation.results import compact, read_evaluation

        write_termination_message(compact(read_evaluation(job.layout)))


def _start(job: Job, stage: Stage, serving: str | None) -> None:
    """Libraries are imported here and not before: they take seconds."""
    if stage.previous is not None:
        job.layout.require(stage.previous)
    job.say(f"{stage} of run {job.layout.run} begins: loads libraries")
    from disrouter_training.process.quiet import quiet_libraries

    quiet_libraries()
    if stage in PARALLEL:
        with job.ranks.together():
            if job.ranks.size > 1:
                job.stop.install()
            _train(job, stage)
    elif stage is Stage.COLLECT:
        from disrouter_training.stages.collect import collect

        collect(job)
    else:
        from disrouter_training.stages.evaluate import evaluate

        evaluate(job, serving)


def _train(job: Job, stage: Stage) -> None:
    if stage is Stage.SFT:
        from disrouter_training.stages.sft import sft

        sft(job)
    else:
        from disrouter_training.stages.rl import rl

        rl(job)


def _report(arguments: argparse.Namespace) -> None:
    from disrouter_training.process.quiet import quiet_libraries
    from disrouter_training.report.command import Request, report

    quiet_libraries()

    terminal, model = arguments.terminal
    request = Request(
        artifacts=arguments.artifacts.absolute(),
        runs=[RunConfig.read(path) for path in arguments.run],
        costs=dict(arguments.cost),
        terminal=terminal,
        terminal_model=model,
        pvc_root=arguments.pvc_root.absolute(),
    )
    print(report(request, _listening(), arguments.json, arguments.html))


def _pool(arguments: argparse.Namespace) -> None:
    from disrouter_training.pool.command import PoolRequest, run_pool
    from disrouter_training.report.tables import as_text

    request = PoolRequest(
        arguments.pool,
        arguments.out,
        arguments.pvc_root,
        arguments.seeds,
        arguments.baseline_seeds,
        max(1, arguments.parallel),
        not arguments.no_baselines,
    )
    print(as_text(run_pool(request, _listening())))


def _silence(_: str) -> None:
    """What the leader of several says once, the others need not say again."""


def _listening() -> StopSignal:
    stop = StopSignal()
    stop.install()
    return stop
