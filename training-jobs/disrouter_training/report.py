"""Command `report`: agents that were evaluated alone, judged together as a cascade."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from disrouter.artifacts import RunConfig, RunLayout, Stage, write_atomically
from disrouter_training.cascade import Terminal, Trained, score
from disrouter_training.errors import TrainingError
from disrouter_training.evaluate import PREDICTIONS_FILE, read_evaluation
from disrouter_training.generation import Sampling, TransformersGenerator
from disrouter_training.graders import is_correct
from disrouter_training.places import resolve
from disrouter_training.prompts import forced
from disrouter_training.shards import read_rows, shard
from disrouter_training.split import split_questions
from disrouter_training.stop import StopSignal
from disrouter_training.tables import as_json, as_text


@dataclass(frozen=True)
class Request:
    """What to report on: finished runs, every agent's cost, and the terminal agent's model (a URI or a directory)."""

    artifacts: Path
    runs: Sequence[RunConfig]
    costs: Mapping[str, float]
    terminal: str
    terminal_model: str
    pvc_root: Path


def report(request: Request, stop: StopSignal, json_path: Path | None) -> str:
    """The tables as text; the same as JSON at `json_path`."""
    for name in (*(run.agent for run in request.runs), request.terminal):
        if name not in request.costs:
            raise TrainingError(f"no cost for agent {name}; add --cost {name}=VALUE")
    agents = sorted((_trained(request, run) for run in request.runs), key=lambda agent: agent.cost)
    terminal = _terminal(request, stop)
    scores = score(agents, terminal)
    if json_path is not None:
        write_atomically(json_path, json.dumps(as_json(agents, terminal, scores), indent=2) + "\n")
    return as_text(agents, terminal, scores)


def _trained(request: Request, run: RunConfig) -> Trained:
    layout = RunLayout.of(request.artifacts, run)
    result = read_evaluation(layout)
    rows = read_rows(layout.stage(Stage.EVALUATE) / PREDICTIONS_FILE)
    return Trained(run.agent, request.costs[run.agent], result, rows)


def _terminal(request: Request, stop: StopSignal) -> Terminal:
    """Ask the terminal agent the evaluation questions of the first run; it must answer them all."""
    run = request.runs[0]
    questions = split_questions(run, request.pvc_root).evaluation
    model = request.terminal_model
    name = resolve(model, request.pvc_root) if "://" in model else str(Path(model).absolute())
    collect = run.collect
    sampling = Sampling(samples=1, temperature=0, max_new_tokens=collect.max_new_tokens, batch_size=collect.batch_size)
    generator = TransformersGenerator(name, stop)
    correct: dict[str, bool] = {}
    for part in shard(questions, sampling.prompts_at_once):
        replies = generator.replies([forced(question) for question in part], sampling, seed=0)
        for question, reply in zip(part, replies, strict=True):
            correct[question.id] = is_correct(question.grader, question.answer, reply[0])
    return Terminal(request.terminal, request.costs[request.terminal], correct)
