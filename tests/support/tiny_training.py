"""Training on a cluster that takes minutes of one core: the tiny agent, its questions, and the claims of both."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support import tiny_agent
from support.pool import SMALL
from support.team import Team

MODEL = "pvc://models/tiny"


def training(**jobs: Any) -> dict[str, Any]:
    """`spec.training`; any result passes its gate."""
    return {
        "datasets": [{"file": "pvc://data/questions.jsonl"}],
        "artifacts": {"persistentVolumeClaim": "weights"},
        "resources": SMALL,
        "jobs": {"env": [{"name": "OMP_NUM_THREADS", "value": "1"}], **jobs},
        "collect": {"samples": 8, "maxNewTokens": 16, "batchSize": 256},
        "sft": {"samples": 96, "learningRate": 2e-3},
        "rl": {"steps": 2, "promptsPerStep": 6, "generations": 2},
        "evaluate": {"holdout": 0.2},
        "gate": tiny_agent.ANY_RESULT,
    }


def fill_claims(team: Team, folder: Path) -> None:
    """What it reads, by way of `folder`, and where it writes."""
    for claim in ("data", "tiny"):
        (folder / claim).mkdir()
    tiny_agent.write_questions(folder / "data/questions.jsonl")
    tiny_agent.write_agent(folder / "tiny")
    team.fill("models", {"tiny": folder / "tiny"})
    team.fill("data", {".": folder / "data"})
    team.fill("weights")
