"""Everything a report says, from evidence and baselines. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from disrouter.scenario import Scenario
from disrouter_training.evaluation.evidence import Evidence, Split
from disrouter_training.evaluation.examination import Timing
from disrouter_training.evaluation.scores import (
    LARGEST,
    SMALLEST,
    BaselineRouting,
    Difference,
    Field,
    Row,
    differences,
    fields,
    headline,
    mixture_name,
    rows,
)
from disrouter_training.evaluation.self_knowledge import (
    Deciding,
    Knowing,
    PredictorScore,
    deciding,
    distribution,
    easy,
    easy_hard,
    knowing,
    predictor_score,
)

INTRINSIC = "Intrinsic"
RANDOM_MIXTURE = "random mixture"
VARIANT = ": "
"""Between a variant's name and its stage in the name of a training: `soft: SFT + RL`."""
Baselines = Callable[[Sequence[int]], Sequence[BaselineRouting]]
"""The baselines that can route for these agents of the pool."""
Predictors = Callable[[Evidence, Split], Sequence[PredictorScore]]
"""What learned predictors of correctness are worth on a split, for every agent."""


@dataclass(frozen=True)
class Agent:
    """Table 1: an agent and its base model's accuracy by split."""

    name: str
    cost: float
    accuracy: Mapping[str, float]


@dataclass(frozen=True)
class Spread:
    """Where questions go in the three scenarios, and what easy and hard ones cost (Figures 4 and 6)."""

    split: str
    policy: str
    shares: Mapping[Scenario, tuple[float, ...]]
    """Of each agent."""
    easy: float
    """Mean cost, in the balance scenario, of questions that the cheaper half of the pool can answer; nan for none."""
    hard: float


@dataclass(frozen=True)
class Standing:
    """One pool, whole or part: every policy, and the headline cascade against each."""

    agents: tuple[str, ...]
    headline: str
    rows: Sequence[Row]
    differences: Sequence[Difference]


@dataclass(frozen=True)
class Analysis:
    """A whole report."""

    agents: Sequence[Agent]
    questions: Mapping[str, int]
    seeds: int
    tuned_on: str
    easy_agents: int
    """How many of the cheapest agents make a question easy."""
    whole: Standing
    parts: Sequence[Standing]
    deciding: Sequence[Deciding]
    knowing: Sequence[Knowing]
    predictors: Sequence[PredictorScore]
    spreads: Sequence[Spread]
    timings: Mapping[str, Timing]
    """By agent, of its weights after SFT (Table 6)."""


def analyse(
    evidence: Evidence,
    baselines: Baselines,
    *,
    predictors: Predictors | None = None,
    parts: Sequence[Sequence[int]] = (),
    timings: Mapping[str, Timing] | None = None,
) -> Analysis:
    """Score, compare and look into everything."""
    agents = range(len(evidence.models.names))
    best = headline(evidence)
    found = fields(evidence, baselines(agents))
    whole = Standing(evidence.models.names, best, rows(found), differences(found, best))
    return Analysis(
        agents=[_agent(evidence, k) for k in agents],
        questions={name: len(split.questions) for name, split in evidence.splits.items()},
        seeds=len(next(iter(evidence.trainings.values()))),
        tuned_on=evidence.tuning.name,
        easy_agents=max(1, (len(evidence.models.names) + 1) // 2),
        whole=whole,
        parts=[_part(evidence, part, baselines) for part in parts],
        deciding=[
            each for split in evidence.judged for name in evidence.trainings for each in deciding(evidence, split, name)
        ],
        knowing=[
            each for split in evidence.judged for name in evidence.trainings for each in knowing(evidence, split, name)
        ],
        predictors=[
            each
            for split in evidence.judged
            for each in (*_intrinsic(evidence, split), *_external(predictors, evidence, split))
        ],
        spreads=[spread for split in evidence.judged for spread in _spreads(evidence, split, found, best)],
        timings=timings or {},
    )


def _agent(evidence: Evidence, agent: int) -> Agent:
    accuracy = {split.name: float(split.base[:, agent].mean()) for split in evidence.splits.values()}
    return Agent(evidence.models.names[agent], float(evidence.models.costs[agent]), accuracy)


def _part(evidence: Evidence, part: Sequence[int], baselines: Baselines) -> Standing:
    """A cascade of some agents; its headline is chosen for it, as it would be when it is deployed."""
    taken = evidence.take(part)
    best = headline(taken)
    found = fields(taken, baselines(part))
    return Standing(taken.models.names, best, rows(found), differences(found, best))


def _external(predictors: Predictors | None, evidence: Evidence, split: Split) -> Sequence[PredictorScore]:
    return predictors(evidence, split) if predictors is not None else ()


def _intrinsic(evidence: Evidence, split: Split) -> list[PredictorScore]:
    """The agent's own decision in the balance scenario, scored against its base model like any predictor."""
    out = []
    for agent, name in enumerate(evidence.models.names[:-1]):
        for training, seeds in evidence.trainings.items():
            own = [seed[split.name] for seed in seeds]
            beliefs = [each.confidence[:, agent] for each in own]
            decided = [~each.refused[Scenario.BALANCE][:, agent] for each in own]
            out.append(predictor_score(split, (agent, name), (INTRINSIC, training), beliefs, decided))
    return out


def _spreads(evidence: Evidence, split: Split, found: Sequence[Field], best: str) -> list[Spread]:
    """Of every policy that sends a question to one agent, but for those that see nothing of it."""
    of_split = {field.scenario: field for field in found if field.split.name == split.name}
    mask, agents = easy(split), len(evidence.models.names)
    out = []
    for policy, seeds in of_split[Scenario.BALANCE].policies.items():
        if policy in (SMALLEST, LARGEST) or any(each.chosen is None for each in seeds):
            continue
        if policy.startswith("cascade ") and policy != best:
            continue
        shares = {
            scenario: tuple(float(x) for x in distribution(field.policies[policy], agents))
            for scenario, field in of_split.items()
        }
        low, high = easy_hard(seeds, mask)
        out.append(Spread(split.name, policy, shares, low, high))
    return out


def shown(standing: Standing, policy: str) -> bool:
    """Whether a table for people shows a policy: of the random mixtures only the headline's, and variants apart."""
    if policy.startswith(RANDOM_MIXTURE):
        return policy == mixture_name(standing.headline)
    return not (policy.startswith("cascade ") and VARIANT in policy)
