"""Command `pool`: from a pool file to a report, in one go. What is done already is not done again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from disrouter.artifacts import Stage
from disrouter_training.baselines.training_data import TrainingData
from disrouter_training.data.correctness import is_right
from disrouter_training.data.split import TRAIN
from disrouter_training.errors import TrainingError
from disrouter_training.evaluation.analysis import Analysis, analyse
from disrouter_training.evaluation.evidence import Evidence
from disrouter_training.evaluation.examination import Timing
from disrouter_training.pool.assemble import frequencies, models, splits, trainings
from disrouter_training.pool.base import BaseAnswers, Questions, ask_base, base_folder
from disrouter_training.pool.file import Pool, PoolAgent, read_pool
from disrouter_training.pool.fitted_baselines import FITTED, ScoreCache, baselines, cache_key, predictors
from disrouter_training.pool.questions import pool_questions
from disrouter_training.pool.runs import MAIN, PoolRun, runs
from disrouter_training.pool.train import EXAMINED, PoolTrainer, each, train
from disrouter_training.process.places import resolve
from disrouter_training.process.progress import say_on_stderr
from disrouter_training.process.quiet import quiet_libraries
from disrouter_training.process.stop import StopSignal
from disrouter_training.report.output import write_report


@dataclass(frozen=True)
class PoolRequest:
    """What the command line asks for."""

    path: Path
    out: Path
    pvc_root: Path
    seeds: tuple[int, ...] = ()
    """Of training; empty: as the pool file says."""
    baseline_seeds: tuple[int, ...] = ()
    """Of the baselines; empty: the same."""
    parallel: int = 1
    baselines: bool = True


@dataclass(frozen=True)
class Workspace:
    """A pool that is being worked on."""

    pool: Pool
    out: Path
    pvc_root: Path
    questions: Questions

    @property
    def base(self) -> Path:
        """Answers of the base models."""
        return self.out / "base"

    @property
    def trainer(self) -> PoolTrainer:
        """Where its agents are trained."""
        return PoolTrainer(self.out, self.pvc_root, tuple(self.questions.judged))

    def ask(self, agent: PoolAgent, stop: StopSignal) -> BaseAnswers:
        """Of one base model."""
        return ask_base(self.pool, agent, self.questions, self.base, (stop, say_on_stderr, self.pvc_root))

    def cache(self) -> ScoreCache:
        """Where its baselines are kept."""
        folders = [base_folder(self.pool, agent, self.questions, self.base).name for agent in self.pool.agents]
        return ScoreCache(self.out / "baselines", cache_key(folders))


def run_pool(request: PoolRequest, stop: StopSignal) -> Analysis:
    """Do it all and leave the report in the folder."""
    quiet_libraries()
    workspace, seeds = open_workspace(request), request.seeds
    seeds = seeds or workspace.pool.seeds
    work = runs(workspace.pool, seeds)
    each(partial(_ask, workspace), workspace.pool.agents, request.parallel, stop)
    for main in (True, False):
        own = [run for run in work if (run.variant == MAIN) == main]
        each(partial(_train, workspace, work), own, request.parallel, stop)
    base = [workspace.ask(agent, stop) for agent in workspace.pool.agents]
    fitting = (request.baseline_seeds or seeds) if request.baselines else ()
    cache = workspace.cache()
    if fitting:
        items = [(number, seed) for seed in fitting for number in range(len(FITTED))]
        each(partial(_fit, cache, training_data(workspace, base)), items, request.parallel, stop)
    analysis = _analyse(workspace, base=base, work=work, cache=cache, fitting=fitting, stop=stop)
    write_report(analysis, workspace.out, f"Self-routing in the pool {workspace.pool.name}", say_on_stderr)
    return analysis


def open_workspace(request: PoolRequest) -> Workspace:
    """Read the pool file and its questions. Claims that the file names folders for are linked into the output."""
    pool = read_pool(request.path)
    out = request.out.absolute()
    pvc_root = request.pvc_root.absolute()
    if pool.volumes:
        pvc_root = out / "volumes"
        pvc_root.mkdir(parents=True, exist_ok=True)
        for claim, folder in pool.volumes.items():
            _link(pvc_root / claim, Path(folder))
    return Workspace(pool, out, pvc_root, pool_questions(pool, pvc_root))


def training_data(workspace: Workspace, base: Sequence[BaseAnswers]) -> TrainingData:
    """What baselines learn from."""
    questions, train = workspace.questions, workspace.questions.splits[TRAIN]
    judged = [name for name in questions.splits if name != TRAIN]
    count = len(next(iter(base[0].samples.values())))
    ways = list(base[0].verified)
    return TrainingData(
        models(workspace.pool),
        splits(questions, base),
        frequencies(questions, base),
        [[(text, float(is_right(q, text))) for q in train for text in answers.samples[q.id]] for answers in base],
        count,
        {name: [[b.greedy[name][q.id] for q in each] for b in base] for name, each in questions.splits.items()},
        {
            way: {
                name: np.array([[b.verified[way][q.id] for q in questions.splits[name]] for b in base[:-1]]).T
                for name in judged
            }
            for way in ways
        },
        resolve(workspace.pool.agents[0].model, workspace.pvc_root),
    )


def _analyse(
    workspace: Workspace,
    *,
    base: Sequence[BaseAnswers],
    work: Sequence[PoolRun],
    cache: ScoreCache,
    fitting: Sequence[int],
    stop: StopSignal,
) -> Analysis:
    pool, trainer = workspace.pool, workspace.trainer
    found = {
        (run.variant, run.agent, run.config.seed, stage): trainer.examination(run, stage, stop)
        for run in work
        for stage in EXAMINED
    }
    own = {name: split for name, split in splits(workspace.questions, base).items() if name != TRAIN}
    evidence = Evidence(models(pool), own, trainings(pool, work, found, workspace.questions))
    names = list(evidence.models.names)
    return analyse(
        evidence,
        baselines(cache, fitting, len(names)) if fitting else lambda _: [],
        predictors=predictors(cache, fitting) if fitting else None,
        parts=[[names.index(name) for name in part] for part in pool.subpools],
        timings=_timings(trainer, work, stop),
    )


def _timings(trainer: PoolTrainer, work: Sequence[PoolRun], stop: StopSignal) -> dict[str, Timing]:
    """Of the first seed's weights after SFT, as in Table 6."""
    first = work[0].config.seed
    own = [run for run in work if run.variant == MAIN and run.config.seed == first]
    return {run.agent: trainer.timing(run, Stage.SFT, stop) for run in own}


def _ask(workspace: Workspace, agent: PoolAgent, stop: StopSignal) -> None:
    quiet_libraries()
    workspace.ask(agent, stop)


def _train(workspace: Workspace, work: Sequence[PoolRun], run: PoolRun, stop: StopSignal) -> None:
    train(workspace.trainer, run, work, stop)


def _fit(cache: ScoreCache, learned_from: TrainingData, item: tuple[int, int], stop: StopSignal) -> None:
    quiet_libraries()
    number, seed = item
    stop.check("fitting baselines")
    say_on_stderr(f"baseline {FITTED[number].name}, seed {seed}")
    cache.fit(FITTED[number], learned_from, seed)


def _link(link: Path, folder: Path) -> None:
    if not folder.is_dir():
        raise TrainingError(f"there is no folder {folder} for the claim {link.name}; correct `volumes`")
    if link.is_symlink() and link.readlink() != folder:
        link.unlink()
    if not link.is_symlink():
        link.symlink_to(folder)
