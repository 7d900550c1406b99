"""Train and examine every run of a pool, one after the other or several at once. Resumable like the stages."""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import active_children, get_context
from pathlib import Path
from typing import TypeVar

from disrouter.artifacts import RunLayout, Stage
from disrouter_training.data.sources import Question
from disrouter_training.data.split import TRAIN
from disrouter_training.data.split_files import read_split, recorded
from disrouter_training.errors import DatasetError
from disrouter_training.evaluation.examination import Examination, Timing, examine, time_replies
from disrouter_training.generation.batch_queries import BatchQueries
from disrouter_training.job import Job
from disrouter_training.pool.runs import STAGES, PoolRun, share
from disrouter_training.process.lock import only_trainer
from disrouter_training.process.progress import say_on_stderr
from disrouter_training.process.quiet import quiet_libraries
from disrouter_training.process.stop import StopSignal

EXAMINED = (Stage.SFT, Stage.RL)
"""Stages whose weights are examined."""
POLL_SECONDS = 1.0

Item = TypeVar("Item")


@dataclass(frozen=True)
class PoolTrainer:
    """Where a pool is trained."""

    out: Path
    pvc_root: Path
    questions: tuple[Question, ...]
    """Everything that trained agents are judged on."""

    @property
    def artifacts(self) -> Path:
        """Of the training runs."""
        return self.out / "artifacts"

    def job(self, run: PoolRun, stop: StopSignal) -> Job:
        """The stages' own view of a run; its lines say whose they are."""
        seed = run.config.seed
        layout = RunLayout.of(self.artifacts, run.config)
        return Job(run.config, layout, self.pvc_root, stop, lambda t: say_on_stderr(f"{run.agent} seed {seed}: {t}"))

    def examination(self, run: PoolRun, stage: Stage, stop: StopSignal) -> Examination:
        """What the weights of a finished stage make of the questions."""
        return examine(self._batch(run, stage, stop), self._weights(run, stage), self.questions)

    def timing(self, run: PoolRun, stage: Stage, stop: StopSignal) -> Timing:
        """How long its refusals take."""
        found = self.examination(run, stage, stop)
        return time_replies(self._batch(run, stage, stop), self._weights(run, stage), self.questions, found)

    def _batch(self, run: PoolRun, stage: Stage, stop: StopSignal) -> BatchQueries:
        """Runs that share the stage share its examination: the same inputs, the same questions, now and in training."""
        digest = hashlib.sha256(json.dumps(recorded(RunLayout.of(self.artifacts, run.config))[TRAIN]).encode())
        for question in self.questions:
            digest.update(question.model_dump_json().encode())
        folder = self.out / "examined" / f"{run.agent}-{stage}-{run.key(stage)}-{digest.hexdigest()[:10]}" / "replies"
        return BatchQueries.of(self.job(run, stop), folder, f"examine {stage}")

    def _weights(self, run: PoolRun, stage: Stage) -> str:
        return str(RunLayout.of(self.artifacts, run.config).weights(stage))


def train(trainer: PoolTrainer, run: PoolRun, others: Sequence[PoolRun], stop: StopSignal) -> None:
    """Do what is missing of one run: its stages, and the examination of what they leave."""
    quiet_libraries()
    job = trainer.job(run, stop)
    with only_trainer(job.layout.directory, job.say):
        for stage in share(run, others, trainer.artifacts):
            job.say(f"{stage} is shared with a run of the same inputs")
        for stage in STAGES:
            if job.layout.done(stage) is None:
                _work(stage)(job)
    check_apart(job.layout, trainer.questions)
    for stage in EXAMINED:
        trainer.examination(run, stage, stop)


def check_apart(layout: RunLayout, judged: Sequence[Question]) -> None:
    """Raise DatasetError if a run has trained on a question that the pool judges by."""
    texts = {question.user for question in judged}
    leaked = [question.user for question in read_split(layout, TRAIN) if question.user in texts]
    if leaked:
        raise DatasetError(
            f"run {layout.run} of agent {layout.agent} was trained on {len(leaked)} questions that judge it now, for "
            f"example {leaked[0][:80]!r}: a dataset has changed since; put back what it was, or delete "
            f"{layout.directory} to train the run again"
        )


def each(work: Callable[[Item, StopSignal], None], items: Sequence[Item], parallel: int, stop: StopSignal) -> None:
    """Do the work on every item, several at once in processes of their own. The first failure ends it."""
    if parallel == 1 or len(items) == 1:
        for item in items:
            work(item, stop)
        return
    executor = ProcessPoolExecutor(parallel, mp_context=get_context("spawn"), initializer=_begin)
    with executor, _ending(executor):
        left = {executor.submit(_one, work, item) for item in items}
        while left:
            done, left = wait(left, POLL_SECONDS, FIRST_COMPLETED)
            if stop.requested:
                _end_children()
            for future in done:
                future.result()


@contextmanager
def _ending(executor: ProcessPoolExecutor) -> Iterator[None]:
    """When the work fails, what has not begun is dropped and what runs is asked to stop."""
    try:
        yield
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        _end_children()
        raise


def _end_children() -> None:
    for child in active_children():
        child.terminate()


def _begin() -> None:
    """In a process of its own: a person's Ctrl-C reaches it through the parent alone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _one(work: Callable[[Item, StopSignal], None], item: Item) -> None:
    stop = StopSignal()
    signal.signal(signal.SIGTERM, lambda *_: setattr(stop, "requested", True))
    work(item, stop)


def _work(stage: Stage) -> Callable[[Job], None]:
    if stage is Stage.COLLECT:
        from disrouter_training.stages.collect import collect

        return collect
    if stage is Stage.SFT:
        from disrouter_training.stages.sft import sft

        return sft
    from disrouter_training.stages.rl import rl

    return rl
