"""GraphRouter (Feng et al. 2024): a graph of tasks, queries and LLMs; a network predicts the edge query - LLM.

Written in plain torch: three kinds of nodes and two kinds of edges are a few matrix products, and torch_geometric
would be a dependency with compiled parts for them. A task is an instruction. In training some queries lose their edges
to the LLMs, and the network predicts those from the rest; a new query has none at all. Learning rate and the share
that is masked are chosen on dev for each scenario, as in Appendix F.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn import functional

from disrouter_training.baselines.early_stopping import EarlyStopping
from disrouter_training.baselines.forc import best_utility
from disrouter_training.baselines.lexical import surface
from disrouter_training.baselines.predictors import names
from disrouter_training.baselines.text import condenser, log_loss
from disrouter_training.baselines.training_data import Routes, Scores, TrainingData
from disrouter_training.data.split import DEV
from disrouter_training.evaluation.evidence import Evidence, Floats
from disrouter_training.evaluation.policies import sent

LEARNING_RATES, MASKED = (1e-3, 5e-3), (0.3, 0.7)
EPOCHS, EVERY, PATIENCE = 240, 10, 6
WIDTH, DIMENSIONS = 64, 96


@dataclass(frozen=True)
class GraphRouter:
    """Goes where the predicted utility is highest."""

    name: str = "GraphRouter"
    retrains: bool = False

    def fit(self, training_data: TrainingData, seed: int) -> dict[str, Floats]:
        """Predicted effects [questions, agents] as `split/lr,masked`."""
        graph = _Graph.of(training_data, seed)
        scores: dict[str, Floats] = {}
        for rate, masked in product(LEARNING_RATES, MASKED):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                network = _trained(graph, training_data, rate, masked)
            for split in training_data.asked:
                scores[f"{split}/{rate},{masked}"] = _predict(network, graph, split)
        return scores

    def route(self, scores: Scores, evidence: Evidence, split: str, alpha: float, agents: Sequence[int]) -> Routes:
        """By the network that is best on dev."""
        costs, columns = evidence.models.costs, list(agents)
        dev, judged = evidence.splits[DEV], evidence.splits[split]

        def chosen(each: str, setting: str) -> np.ndarray:
            return best_utility(scores[f"{each}/{setting}"][:, columns], costs, alpha)

        def worth(setting: str) -> float:
            return float(sent(dev.base, costs, chosen(DEV, setting)).utility(alpha).mean())

        best = max(names(scores, DEV), key=worth)
        return {self.name: sent(judged.base, costs, chosen(split, best))}


@dataclass(frozen=True)
class _Graph:
    """Features and edges."""

    queries: dict[str, Tensor]
    """By split: [queries, features]."""
    tasks: Tensor
    """[tasks, features]."""
    task_of: dict[str, Tensor]
    """By split: the task of each query."""
    effect: Tensor
    """[training queries, agents]."""
    costs: Tensor

    @classmethod
    def of(cls, training_data: TrainingData, seed: int) -> _Graph:
        """Words condensed and the surface, fitted on the training questions; a task has the text of its instruction."""
        instructions = {
            s: [q.instruction or "" for q in training_data.splits[s].questions] for s in training_data.splits
        }
        known = sorted({each for texts in instructions.values() for each in texts})
        condense = condenser(training_data.texts("train"))
        words = TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 4), sublinear_tf=True, max_features=40_000)
        train = words.fit_transform(condense(training_data.texts("train")))
        svd = TruncatedSVD(max(1, min(DIMENSIONS, *(n - 1 for n in train.shape))), random_state=seed).fit(train)

        def features(texts: Sequence[str]) -> Floats:
            return np.hstack([svd.transform(words.transform(condense(texts))), surface(texts)])

        scaler = StandardScaler().fit(features(training_data.texts("train")))

        def tensor(texts: Sequence[str]) -> Tensor:
            return torch.tensor(scaler.transform(features(texts)), dtype=torch.float32).clamp(-5, 5)

        return cls(
            {split: tensor(training_data.texts(split)) for split in training_data.splits},
            tensor(known),
            {s: torch.tensor([known.index(each) for each in texts]) for s, texts in instructions.items()},
            torch.tensor(training_data.frequency, dtype=torch.float32),
            torch.tensor(training_data.models.costs, dtype=torch.float32),
        )


class _Network(nn.Module):
    """Two rounds of messages and a prediction for every pair of a query and an LLM."""

    def __init__(self, features: int, agents: int) -> None:
        super().__init__()
        self.query, self.task = nn.Linear(features, WIDTH), nn.Linear(features, WIDTH)
        self.agent, self.cost = nn.Embedding(agents, WIDTH), nn.Linear(1, WIDTH)
        self.rounds = nn.ModuleList([_Round() for _ in range(2)])
        self.edge = nn.Sequential(nn.Linear(3 * WIDTH, WIDTH), nn.ReLU(), nn.Dropout(0.1), nn.Linear(WIDTH, 1))

    def forward(self, graph: _Graph, split: str, visible: Tensor) -> Tensor:
        """Logits [queries of the split, agents]. `visible` says which training queries show their edges."""
        known, own = self.query(graph.queries["train"]), self.query(graph.queries[split])
        tasks, agents = self.task(graph.tasks), self.agent.weight + self.cost(graph.costs.unsqueeze(1))
        shows = visible.float().unsqueeze(1) if split == "train" else torch.zeros(len(own), 1)
        effect = graph.effect if split == "train" else torch.zeros(len(own), len(agents))
        for each in self.rounds:
            assert isinstance(each, _Round)
            tasks_next, agents_next = each.nodes(graph, known, tasks, agents, visible)
            own_next = each.queries(own, tasks[graph.task_of[split]], agents, effect, shows)
            known = each.queries(
                known, tasks[graph.task_of["train"]], agents, graph.effect, visible.float().unsqueeze(1)
            )
            own, tasks, agents = own_next, tasks_next, agents_next
        pairs = torch.cat(
            [
                own.unsqueeze(1) * agents.unsqueeze(0),
                own.unsqueeze(1).expand(-1, len(agents), -1),
                agents.unsqueeze(0).expand(len(own), -1, -1),
            ],
            dim=-1,
        )
        return torch.as_tensor(self.edge(pairs).squeeze(-1))


class _Round(nn.Module):
    """One exchange of messages: what a node hears is averaged, weighted by the effect on edges to LLMs."""

    def __init__(self) -> None:
        super().__init__()
        self.own = nn.ModuleDict({kind: nn.Linear(WIDTH, WIDTH) for kind in ("query", "task", "agent")})
        self.heard = nn.ModuleDict(
            {edge: nn.Linear(WIDTH, WIDTH, bias=False) for edge in ("qt", "tq", "qm", "qm-", "mq", "mq-")}
        )

    def nodes(
        self, graph: _Graph, known: Tensor, tasks: Tensor, agents: Tensor, visible: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Tasks and LLMs hear of the training queries."""
        sums = torch.zeros_like(tasks).index_add(0, graph.task_of["train"], known)
        counts = torch.bincount(graph.task_of["train"], minlength=len(tasks)).clamp(min=1).unsqueeze(1)
        new_tasks = functional.relu(self.own["task"](tasks) + self.heard["qt"](sums / counts))
        weights = visible.float().unsqueeze(1) / visible.float().sum().clamp(min=1)
        right, wrong = (graph.effect * weights).T @ known, ((1 - graph.effect) * weights).T @ known
        new_agents = functional.relu(self.own["agent"](agents) + self.heard["qm"](right) + self.heard["qm-"](wrong))
        return new_tasks, new_agents

    def queries(self, own: Tensor, task: Tensor, agents: Tensor, effect: Tensor, shows: Tensor) -> Tensor:
        """A query hears of its task, and of the LLMs whose effect on it shows."""
        count = len(agents)
        right, wrong = effect * shows @ agents / count, (1 - effect) * shows @ agents / count
        messages = self.heard["mq"](right) + self.heard["mq-"](wrong)
        return torch.as_tensor(functional.relu(self.own["query"](own) + self.heard["tq"](task) + messages))


def _trained(graph: _Graph, training_data: TrainingData, rate: float, masked: float) -> _Network:
    """The network of the epoch with the least loss on dev."""
    network = _Network(graph.tasks.shape[1], len(graph.costs))
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.01)
    dev = training_data.splits[DEV].base.astype(float)
    stopping = EarlyStopping(network, PATIENCE)
    for epoch in range(1, EPOCHS + 1):
        network.train()
        hidden = torch.rand(len(graph.effect)) < masked
        hidden[0], hidden[-1] = True, False
        logits = network(graph, "train", ~hidden)
        loss: Any = functional.binary_cross_entropy_with_logits(logits[hidden], graph.effect[hidden])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if epoch % EVERY == 0 and stopping.should_stop(log_loss(_predict(network, graph, DEV), dev)):
            break
    stopping.restore()
    return network


@torch.inference_mode()
def _predict(network: _Network, graph: _Graph, split: str) -> Floats:
    network.eval()
    logits = network(graph, split, torch.ones(len(graph.effect), dtype=torch.bool))
    return np.asarray(torch.sigmoid(logits).numpy(), float)
