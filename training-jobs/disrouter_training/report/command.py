"""Command `report`: agents that were evaluated alone, judged together as a cascade."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from disrouter.artifacts import RunConfig, RunLayout, write_atomically
from disrouter.scenario import Scenario
from disrouter_training.data.correctness import is_right
from disrouter_training.data.shards import shard
from disrouter_training.data.sources import Question
from disrouter_training.data.split import JUDGED
from disrouter_training.data.split_files import read_judged, recorded
from disrouter_training.errors import DatasetError, TrainingError
from disrouter_training.evaluation.analysis import Analysis, analyse
from disrouter_training.evaluation.evidence import Bools, Decisions, Evidence, ModelSet, Split
from disrouter_training.evaluation.results import Prediction, read_predictions
from disrouter_training.generation.prompts import must_answer
from disrouter_training.generation.transformers_generator import TransformersGenerator, greedy
from disrouter_training.process.places import resolve
from disrouter_training.process.progress import say_on_stderr
from disrouter_training.process.stop import StopSignal
from disrouter_training.report.output import write_report
from disrouter_training.report.tables import as_json, as_text

TRAINING = "trained"
Table = Mapping[tuple[str, Scenario], Prediction]
"""What one agent made of each question in each scenario."""


@dataclass(frozen=True)
class Request:
    """What to report on: finished runs, every agent's cost, and the terminal agent's model (a URI or a directory)."""

    artifacts: Path
    runs: Sequence[RunConfig]
    costs: Mapping[str, float]
    terminal: str
    terminal_model: str
    pvc_root: Path


def report(request: Request, stop: StopSignal, json_path: Path | None, folder: Path | None = None) -> str:
    """The main tables as text; everything as JSON at `json_path`; and with a page and pictures in `folder`."""
    for name in (*(run.agent for run in request.runs), request.terminal):
        if name not in request.costs:
            raise TrainingError(f"no cost for agent {name}; add --cost {name}=VALUE")
    analysis = _analysis(request, stop)
    if json_path is not None:
        write_atomically(json_path, json.dumps(as_json(analysis), indent=2) + "\n")
    if folder is not None:
        write_report(analysis, folder, f"Self-routing in the cascade {request.runs[0].cascade}", say_on_stderr)
    return as_text(analysis, brief=True)


def _analysis(request: Request, stop: StopSignal) -> Analysis:
    runs = sorted(request.runs, key=lambda run: request.costs[run.agent])
    layouts = [RunLayout.of(request.artifacts, run) for run in runs]
    tables = [read_predictions(layout) for layout in layouts]
    splits = _judged_alike(layouts)
    names = (*(run.agent for run in runs), request.terminal)
    models = ModelSet(names, np.array([request.costs[name] for name in names]))
    terminal = _terminal(request, [question for each in splits.values() for question in each], stop)
    return analyse(joined(models, splits, tables, terminal, [run.rl.gamma for run in runs]), lambda _: [])


def _judged_alike(layouts: Sequence[RunLayout]) -> dict[str, tuple[Question, ...]]:
    """What all these runs were judged on. Raises DatasetError where it is not the same for all."""
    first, *others = ({name: record.get(name) for name in JUDGED} for record in map(recorded, layouts))
    for layout, record in zip(layouts[1:], others, strict=True):
        differing = [name for name in JUDGED if record[name] != first[name]]
        if differing:
            raise DatasetError(
                f"agents {layouts[0].agent} and {layout.agent} were judged on other {' and '.join(differing)} "
                "questions; train all agents of a report with the same datasets and seed"
            )
    return read_judged(layouts[0])


def joined(
    models: ModelSet,
    splits: Mapping[str, Sequence[Question]],
    tables: Sequence[Sequence[Prediction]],
    terminal: Mapping[str, bool],
    gammas: Sequence[float],
) -> Evidence:
    """Agents by question, from the predictions of all but the last and `rl.gamma` of each of those.

    Raises DatasetError where questions differ.
    """
    for name, rows in zip(models.names, tables, strict=False):
        differing = {row.id for row in rows} ^ terminal.keys()
        if differing:
            raise DatasetError(
                f"agent {name} and {models.names[-1]} were asked different questions ({len(differing)} differ, for "
                f"example {min(differing)}); evaluate all agents of a report with the same datasets and seed"
            )
    by_key: list[Table] = [{(row.id, row.scenario): row for row in table} for table in tables]
    found = {name: _decided(questions, by_key, gammas) for name, questions in splits.items()}
    own = {}
    for name, questions in splits.items():
        last = np.array([[terminal[question.id]] for question in questions])
        base = _column(questions, by_key, Scenario.BALANCE, lambda row: row.base_correct)
        own[name] = Split(name, tuple(questions), np.hstack([base, last]))
    return Evidence(models, own, {TRAINING: [found]})


def _decided(questions: Sequence[Question], by_key: Sequence[Table], gammas: Sequence[float]) -> Decisions:
    log_odds = [[rows[q.id, Scenario.BALANCE].log_odds for rows in by_key] for q in questions]
    return Decisions(
        {scenario: _column(questions, by_key, scenario, lambda row: row.refused) for scenario in Scenario},
        {scenario: _column(questions, by_key, scenario, lambda row: row.correct) for scenario in Scenario},
        _column(questions, by_key, Scenario.BALANCE, lambda row: row.must_answer_correct),
        _column(questions, by_key, Scenario.BALANCE, lambda row: row.served_correct),
        _column(questions, by_key, Scenario.BALANCE, lambda row: row.plain_refused),
        np.array(log_odds),
        np.array(gammas, float),
    )


def _column(
    questions: Sequence[Question],
    by_key: Sequence[Table],
    scenario: Scenario,
    value: Callable[[Prediction], bool],
) -> Bools:
    return np.array([[value(rows[question.id, scenario]) for rows in by_key] for question in questions])


def _terminal(request: Request, questions: Sequence[Question], stop: StopSignal) -> dict[str, bool]:
    """Ask the terminal agent the evaluation questions of the first run; it must answer them all."""
    run = request.runs[0]
    model = request.terminal_model
    name = resolve(model, request.pvc_root) if "://" in model else str(Path(model).absolute())
    sampling = greedy(run.collect)
    generator = TransformersGenerator(name, stop)
    correct: dict[str, bool] = {}
    for part in shard(questions, sampling.prompts_at_once):
        replies = generator.replies([must_answer(question) for question in part], sampling, seed=0)
        for question, reply in zip(part, replies, strict=True):
            correct[question.id] = is_right(question, reply[0])
    return correct
