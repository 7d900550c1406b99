"""Measure the sidecar beside a direct call, nginx, vLLM's router and LiteLLM, and write docs/benchmarks.md.

    python -m bench.sidecar [--rounds 7] [--targets nginx,sidecar] [--workloads tiny,paced] [--quick] [--write FILE]

Exit codes: 0 measured, 1 something cannot run.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import random
import shlex
import sys
import tempfile
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench import report
from bench.build import Tools, compile_tools
from bench.document import write_section
from bench.errors import BenchError, MissingRival
from bench.goals import outcomes
from bench.machine import machine, versions
from bench.measure import Meter
from bench.memory import measure_memory
from bench.picture import draw
from bench.processes import Command, Cores, Group, allow_many_files, free_ports, running, stop_all_when_told, two_cores
from bench.samples import Memory, Results, Sample
from bench.targets import MAKERS, RIVALS, Place, Target
from bench.workloads import IDLE, OPEN_STREAMS, WORKLOADS, Workload

MEMORY_ROUNDS = 2
"""Memory hardly varies, and every round starts the target anew."""
TRIES = 3
ROUNDS = 7
QUICK_ROUNDS, QUICK_SCALE = 2, 0.4


@dataclass
class Options:
    """The command line, checked."""

    rounds: int
    scale: float
    targets: list[str]
    workloads: list[Workload]
    rivals: Path
    retry_seconds: float
    seed: int


@dataclass
class Bench:
    """One run: what is up, and what has been measured."""

    options: Options
    tools: Tools
    place: Place
    cores: Cores
    meter: Meter
    shuffle: random.Random
    running: dict[str, tuple[Target, Group]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)
    retried: float = 0.0

    def start_all(self, stack: contextlib.ExitStack) -> None:
        """Start every target that the workloads need, and put it to sleep; name those that are not installed."""
        wanted = {name for workload in self.options.workloads for name in workload.targets}
        for name in [name for name in self.options.targets if name in wanted]:
            try:
                target = MAKERS[name](self.place)
            except MissingRival as missing:
                self.missing[missing.name] = f"not installed; get it with: {missing.remedy}"
                say(f"{missing}")
                continue
            group = stack.enter_context(running(target.commands, self.cores.proxy, self.place.folder / f"{name}.log"))
            if not self._ready(target, group, "it did not start"):
                continue
            group.sleep()
            self.running[name] = (target, group)
            say(f"{name} is ready")

    def one_round(self, number: int) -> None:
        """Every workload on every target of it, in an order of chance."""
        for workload in self.shuffle.sample(self.options.workloads, len(self.options.workloads)):
            if workload == IDLE:
                continue
            names = [name for name in workload.targets if name in self.running]
            for name in self.shuffle.sample(names, len(names)):
                target, group = self.running[name]
                group.wake()
                if self._ready(target, group, f"it stopped answering in round {number + 1}"):
                    self.samples.append(self._sample(workload, target, group, number))
                    group.sleep()
                else:
                    del self.running[name]

    def measure_memory(self) -> None:
        """With fresh processes, so that nothing of other workloads is left in them."""
        folder = self.place.folder / "memory"
        folder.mkdir()
        for number in range(min(self.options.rounds, MEMORY_ROUNDS)):
            names = [name for name in IDLE.targets if name in self.running]
            for name in self.shuffle.sample(names, len(names)):
                target = MAKERS[name](Place(folder, self.place.answering, self.place.refusing, self.place.rivals))
                found = measure_memory(
                    self.meter,
                    target,
                    load=self.tools.load,
                    cores=self.cores,
                    folder=folder,
                    engine=self.place.answering,
                    number=number,
                    streams=OPEN_STREAMS,
                )
                self.memory.append(found)

    def _ready(self, target: Target, group: Group, otherwise: str) -> bool:
        """Wait for it. A rival that does not answer is named in the report; without the others there is no bench."""
        try:
            self.meter.wait_until_ready(target, group, target.start_seconds)
        except BenchError as error:
            if target.name not in RIVALS:
                raise
            self.missing[target.name] = otherwise
            say(f"{target.name}: {otherwise}: {error}")
            return False
        return True

    def _sample(self, workload: Workload, target: Target, group: Group, number: int) -> Sample:
        """The quietest of a few tries; the first that is quiet enough ends them, and so does the budget for retries."""
        best: Sample | None = None
        for attempt in range(TRIES):
            started = time.monotonic()
            found = self.meter.measure(workload, target, group, number, self.options.scale)
            self.meter.settle(group)
            best = found if best is None or found.foreign < best.foreign else best
            self.retried += time.monotonic() - started if attempt else 0.0
            if not best.noisy or self.retried > self.options.retry_seconds:
                break
        assert best is not None
        return best


def main() -> int:
    """Measure, print, write."""
    arguments = _parser().parse_args()
    stop_all_when_told()
    try:
        options = _options(arguments)
        results = Results.from_json(arguments.replay.read_text()) if arguments.replay else run(options)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    for outcome in outcomes(results):
        measured = f"{outcome.spread.median:.{outcome.goal.digits}f}" if outcome.spread else "-"
        say(f"{outcome.goal.text}: {measured}{outcome.goal.unit} (target {outcome.goal.limit:g}): {outcome.verdict}")
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    arguments.results.write_text(results.to_json())
    if arguments.write:
        picture = arguments.write.with_name("benchmark-sidecar.png")
        write_section(arguments.write, "sidecar", report.render(results, picture.name))
        draw(results, picture)
        say(f"written: {arguments.write}, {picture}")
    return 0


def run(options: Options) -> Results:
    """The whole measurement."""
    started, cores = time.monotonic(), two_cores()
    allow_many_files()
    with _engine(cores) as (tools, folder, meter, answering, refusing), contextlib.ExitStack() as stack:
        place = Place(folder, answering, refusing, options.rivals)
        bench = Bench(options, tools, place, cores, meter, random.Random(options.seed))
        bench.start_all(stack)
        if IDLE in options.workloads:
            bench.measure_memory()
            say("memory measured")
        for number in range(options.rounds):
            bench.one_round(number)
            say(f"round {number + 1} of {options.rounds} after {time.monotonic() - started:.0f} s")
    return Results(
        machine=machine(),
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        command=shlex.join(["python", "-m", "bench.sidecar", *sys.argv[1:]]),
        seconds=time.monotonic() - started,
        rounds=options.rounds,
        versions=versions(options.rivals, bench.running),
        missing=bench.missing,
        samples=tuple(bench.samples),
        memory=tuple(bench.memory),
    )


@contextlib.contextmanager
def _engine(cores: Cores) -> Iterator[tuple[Tools, Path, Meter, int, int]]:
    """The compiled engine on its two ports, and a meter beside it."""
    with tempfile.TemporaryDirectory(prefix="disrouter-bench-") as name:
        folder = Path(name)
        tools = compile_tools(folder)
        answering, refusing = free_ports(2)
        command = Command((str(tools.engine), f"{answering}:0", f"{refusing}:1"))
        with running((command,), cores.tools, folder / "engine.log") as engine:
            yield tools, folder, Meter(tools.load, cores, engine), answering, refusing


def say(text: str) -> None:
    """Progress, for the person who waits."""
    print(text, file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench.sidecar", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, help=f"default {ROUNDS}")
    parser.add_argument("--targets", default=",".join(MAKERS), help="some of: %(default)s")
    parser.add_argument("--workloads", default=",".join(WORKLOADS), help="some of: %(default)s")
    parser.add_argument("--quick", action="store_true", help="two short rounds: to try the bench, not to measure")
    parser.add_argument("--retry-seconds", type=float, default=90.0, help="for samples that others disturbed")
    parser.add_argument("--seed", type=int, default=1, help="of the order")
    parser.add_argument(
        "--rivals", type=Path, default=Path(".venv-rivals"), help="environment of litellm and vllm-router"
    )
    parser.add_argument("--write", type=Path, help="Markdown file whose section is written, with a picture beside it")
    parser.add_argument("--results", type=Path, default=Path("build/bench/sidecar.json"), help="every sample, as JSON")
    parser.add_argument("--replay", type=Path, help="report the samples of this file instead of measuring")
    return parser


def _options(arguments: argparse.Namespace) -> Options:
    rounds = arguments.rounds if arguments.rounds is not None else QUICK_ROUNDS if arguments.quick else ROUNDS
    if rounds < 1:
        raise BenchError(f"--rounds {rounds}: at least one round is needed")
    return Options(
        rounds=rounds,
        scale=QUICK_SCALE if arguments.quick else 1.0,
        targets=_chosen("--targets", arguments.targets, MAKERS),
        workloads=[WORKLOADS[name] for name in _chosen("--workloads", arguments.workloads, WORKLOADS)],
        rivals=arguments.rivals.absolute(),
        retry_seconds=0.0 if arguments.quick else arguments.retry_seconds,
        seed=arguments.seed,
    )


def _chosen(option: str, text: str, known: Collection[str]) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in known:
            raise BenchError(f"{option}: there is no {name!r}; choose among {', '.join(known)}")
    return names


if __name__ == "__main__":
    sys.exit(main())
