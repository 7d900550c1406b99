"""Everything a report says, from evidence and baselines. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from disrouter.scenario import Scenario
from disrouter_training.evaluation.evidence import Evidence, Sheet
from disrouter_training.evaluation.examination import Timing
from disrouter_training.evaluation.scores import (
    LARGEST,
    SMALLEST,
    Difference,
    Field,
    Rival,
    Row,
    differences,
    fields,
    headline,
    matched_name,
    rows,
)
from disrouter_training.evaluation.self_knowledge import (
    Deciding,
    Judged,
    Knowing,
    deciding,
    distribution,
    easy,
    easy_hard,
    judged,
    knowing,
)

INTRINSIC = "Intrinsic"
LOTTERY = "cost-matched random"
VARIANT = ": "
"""Between a variant's name and its stage in the name of a training: `soft: SFT + RL`."""
Rivals = Callable[[Sequence[int]], Sequence[Rival]]
"""The baselines that can route for these agents of the pool."""
Judges = Callable[[Evidence, Sheet], Sequence[Judged]]
"""What judges from outside are worth on a sheet, for every agent."""


@dataclass(frozen=True)
class Agent:
    """Table 1: an agent and its base model's accuracy by sheet."""

    name: str
    cost: float
    accuracy: Mapping[str, float]


@dataclass(frozen=True)
class Spread:
    """Where questions go in the three scenarios, and what easy and hard ones cost (Figures 4 and 6)."""

    sheet: str
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
    judged: Sequence[Judged]
    spreads: Sequence[Spread]
    timings: Mapping[str, Timing]
    """By agent, of its weights after SFT (Table 6)."""


def analyse(
    evidence: Evidence,
    rivals: Rivals,
    *,
    judges: Judges | None = None,
    parts: Sequence[Sequence[int]] = (),
    timings: Mapping[str, Timing] | None = None,
) -> Analysis:
    """Score, compare and look into everything."""
    agents = range(len(evidence.lineup.names))
    best = headline(evidence)
    found = fields(evidence, rivals(agents))
    whole = Standing(evidence.lineup.names, best, rows(found), differences(found, best))
    return Analysis(
        agents=[_agent(evidence, k) for k in agents],
        questions={name: len(sheet.questions) for name, sheet in evidence.sheets.items()},
        seeds=len(next(iter(evidence.trainings.values()))),
        tuned_on=evidence.tuning.name,
        easy_agents=max(1, (len(evidence.lineup.names) + 1) // 2),
        whole=whole,
        parts=[_part(evidence, part, rivals) for part in parts],
        deciding=[
            each for sheet in evidence.judged for name in evidence.trainings for each in deciding(evidence, sheet, name)
        ],
        knowing=[
            each for sheet in evidence.judged for name in evidence.trainings for each in knowing(evidence, sheet, name)
        ],
        judged=[
            each
            for sheet in evidence.judged
            for each in (*_intrinsic(evidence, sheet), *_external(judges, evidence, sheet))
        ],
        spreads=[spread for sheet in evidence.judged for spread in _spreads(evidence, sheet, found, best)],
        timings=timings or {},
    )


def _agent(evidence: Evidence, agent: int) -> Agent:
    accuracy = {sheet.name: float(sheet.base[:, agent].mean()) for sheet in evidence.sheets.values()}
    return Agent(evidence.lineup.names[agent], float(evidence.lineup.costs[agent]), accuracy)


def _part(evidence: Evidence, part: Sequence[int], rivals: Rivals) -> Standing:
    """A cascade of some agents; its headline is chosen for it, as it would be when it is deployed."""
    taken = evidence.take(part)
    best = headline(taken)
    found = fields(taken, rivals(part))
    return Standing(taken.lineup.names, best, rows(found), differences(found, best))


def _external(judges: Judges | None, evidence: Evidence, sheet: Sheet) -> Sequence[Judged]:
    return judges(evidence, sheet) if judges is not None else ()


def _intrinsic(evidence: Evidence, sheet: Sheet) -> list[Judged]:
    """The agent's own decision in the balance scenario, judged against its base model like any judge from outside."""
    out = []
    for agent, name in enumerate(evidence.lineup.names[:-1]):
        for training, seeds in evidence.trainings.items():
            own = [seed[sheet.name] for seed in seeds]
            beliefs = [1 - each.chance[:, agent] for each in own]
            decided = [~each.refused[Scenario.BALANCE][:, agent] for each in own]
            out.append(judged(sheet, (agent, name), (INTRINSIC, training), beliefs, decided))
    return out


def _spreads(evidence: Evidence, sheet: Sheet, found: Sequence[Field], best: str) -> list[Spread]:
    """Of every policy that sends a question to one agent, but for those that see nothing of it."""
    of_sheet = {field.scenario: field for field in found if field.sheet.name == sheet.name}
    mask, agents = easy(sheet), len(evidence.lineup.names)
    out = []
    for policy, seeds in of_sheet[Scenario.BALANCE].policies.items():
        if policy in (SMALLEST, LARGEST) or any(each.chosen is None for each in seeds):
            continue
        if policy.startswith("cascade ") and policy != best:
            continue
        shares = {
            scenario: tuple(float(x) for x in distribution(field.policies[policy], agents))
            for scenario, field in of_sheet.items()
        }
        low, high = easy_hard(seeds, mask)
        out.append(Spread(sheet.name, policy, shares, low, high))
    return out


def shown(standing: Standing, policy: str) -> bool:
    """Whether a table for people shows a policy: of the lotteries only the headline's, and variants apart."""
    if policy.startswith(LOTTERY):
        return policy == matched_name(standing.headline)
    return not (policy.startswith("cascade ") and VARIANT in policy)
