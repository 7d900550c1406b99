"""A report as aligned text for people and as JSON for machines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from disrouter.scenario import Scenario
from disrouter_training.evaluation.analysis import RANDOM_MIXTURE, VARIANT, Analysis, Standing, shown
from disrouter_training.evaluation.scores import ALL, DECISIONS, MACRO, NAIVE, OURS, ROUTER, TOPLINE, Row, cascade_name

Table = list[list[str]]
"""A header and rows of cells; the first column are names."""
METHODS = (TOPLINE, NAIVE, ROUTER, OURS)


def as_json(analysis: Analysis) -> dict[str, Any]:
    """Everything, unrounded; what does not exist (the accuracy of no answers) is null."""
    content = _plain(asdict(analysis))
    assert isinstance(content, dict)
    return content


def as_text(analysis: Analysis, *, brief: bool = False) -> str:
    """All tables one below the other; brief: those that fit a terminal and answer the first questions."""
    parts: list[str] = []
    for title, table in all_tables(analysis):
        if brief and title.startswith(_LONG):
            continue
        parts += ["", title, aligned(table)]
    return "\n".join(parts[1:])


def all_tables(analysis: Analysis) -> list[tuple[str, Table]]:
    """Titles and tables, without those that have no rows."""
    whole, splits = analysis.whole, [name for name in ("test", "heldout") if name in analysis.questions]
    named = [("Agents: cost, and accuracy of the base model (Table 1)", agents(analysis))]
    for split in splits:
        count = f"{analysis.questions[split]} {_WORDS[split]} questions"
        named.append(
            (f"Policies on {count}: accuracy, mean cost, utility = accuracy - alpha * cost", policies(whole, split))
        )
        macro = f"The same, as the mean over kinds of question ({MACRO}, as in the paper)"
        named += [
            (macro, policies(whole, split, MACRO)),
            (f"{whole.headline} by kind of question", by_kind(whole, split)),
        ]
        title = f"Utility gained by {whole.headline} over each on {count}, with 95 % interval (* above zero)"
        named.append((title, gains(whole, split, [ALL])))
        groups = kinds(whole, split)
        named += [(f"The same by kind of question on {count}", gains(whole, split, groups))] if groups else []
    named.append(("Ablations: utility of each training by each way to decide", ablations(analysis)))
    named.append(
        (
            "Agents alone: coverage, selective accuracy, base accuracy on the refused (Figures 5 and 7); in balance "
            "also wrong ones answered, and accuracy and F1 of the self-assessment (section 4.3)",
            alone(analysis),
        )
    )
    named.append(
        (
            "Training: must-answer accuracy, newly right, forgotten (Appendix J), AUC of the first token",
            trained(analysis),
        )
    )
    named.append(("Predictors of whether the base model is right; balanced sample (Table 5)", predictors(analysis)))
    named.append(("Seconds of a refusal and of an answer (Table 6)", timings(analysis)))
    named.append(
        (
            "Where questions go, and the cost of easy and hard ones in the balance scenario (Figures 4 and 6)",
            spreads(analysis),
        )
    )
    for part in analysis.parts:
        for split in splits:
            title = (
                f"Agents {', '.join(part.agents)} alone, without training again, on {_WORDS[split]} questions (Table 4)"
            )
            named.append((title, policies(part, split)))
    return [(title, table) for title, table in named if len(table) > 1]


_LONG = ("The same by kind", "The same, as the mean", "Predictors of", "Where questions go")
_WORDS = {"test": "in-domain", "heldout": "held-out"}


def agents(analysis: Analysis) -> Table:
    """Table 1."""
    splits = list(analysis.questions)
    rows = [[a.name, number(a.cost), *(number(a.accuracy[split]) for split in splits)] for a in analysis.agents]
    return [["agent", "cost", *splits], *rows]


def policies(standing: Standing, split: str, group: str = ALL) -> Table:
    """Tables 2, 3 and 4: every policy in every scenario; the header alone where the split has no such group."""
    chosen = {(r.scenario, r.policy): r for r in standing.rows if r.split == split and r.group == group}
    named = _order(standing, split) if chosen else []
    return [_measures("policy"), *([label(name), *_measured([chosen[s, name] for s in Scenario])] for name in named)]


def by_kind(standing: Standing, split: str) -> Table:
    """The headline cascade on each kind of question (the paper's datasets), and their macro average."""
    own = [r for r in standing.rows if r.split == split and r.policy == standing.headline]
    groups = list(dict.fromkeys(r.group for r in own if r.group != ALL))
    chosen = {(r.scenario, r.group): r for r in own}
    named = groups[: groups.index(MACRO) + 1] if MACRO in groups else []
    return [_measures("kind"), *([group, *_measured([chosen[s, group] for s in Scenario])] for group in named)]


def _measures(first: str) -> list[str]:
    return [first, *(f"{short(s)} {what}" for s in Scenario for what in ("acc", "cost", "utility"))]


def _measured(rows: Sequence[Row]) -> list[str]:
    return [number(value) for row in rows for value in (row.accuracy, row.cost, row.utility.mean)]


def gains(standing: Standing, split: str, groups: Sequence[str]) -> Table:
    """Paired differences of the headline cascade to every other policy."""
    chosen = {(d.group, d.scenario, d.policy): d.gain for d in standing.differences if d.split == split}
    columns = [(group, scenario) for group in groups for scenario in Scenario]
    table = [["over", *(short(s) if g == ALL else f"{g} {short(s)}" for g, s in columns)]]
    for policy in _order(standing, split):
        found = [chosen.get((group, scenario, policy)) for group, scenario in columns]
        if all(found):
            table.append(
                [label(policy), *(interval(each.mean, each.low, each.high) for each in found if each is not None)]
            )
    return table


def ablations(analysis: Analysis) -> Table:
    """Every training, those of variants too, by decision; empty without variants."""
    rows = [r for r in analysis.whole.rows if r.method == OURS and r.group == ALL]
    trainings = list(dict.fromkeys(each.training for each in analysis.knowing))
    if not any(VARIANT in training for training in trainings):
        return [[]]
    chosen = {(r.policy, r.split, r.scenario): r.utility.mean for r in rows}
    splits = list(dict.fromkeys(r.split for r in rows))
    ways = [way for way in DECISIONS if any(r.policy.endswith(f"({way})") for r in rows)]
    table = [["training", "decision", *(f"{split} {short(scenario)}" for split in splits for scenario in Scenario)]]
    for training in trainings:
        for way in ways:
            cells = [chosen[cascade_name(training, way), split, scenario] for split in splits for scenario in Scenario]
            table.append([training, way, *map(number, cells)])
    return table


def kinds(standing: Standing, split: str) -> list[str]:
    """Groups of more than one family: kinds come before families and are few."""
    groups = list(
        dict.fromkeys(row.group for row in standing.rows if row.split == split and row.group not in (ALL, MACRO))
    )
    return groups[:2] if len(groups) > 2 else groups


def alone(analysis: Analysis) -> Table:
    """Each agent in each scenario; what it accepts wrongly and how well it assesses itself in the balance scenario."""
    header = [
        "agent",
        "training",
        "split",
        *(f"{short(s)} {w}" for s in Scenario for w in ("coverage", "selective acc", "base acc refused")),
    ]
    keys = dict.fromkeys((d.agent, d.training, d.split) for d in analysis.deciding)
    chosen = {(d.agent, d.training, d.split, d.scenario): d for d in analysis.deciding}
    table = [[*header, "false accept", "self acc", "self F1"]]
    for key in keys:
        each = [chosen[*key, scenario] for scenario in Scenario]
        cells = [number(v) for d in each for v in (d.coverage, d.selective_accuracy, d.accuracy_refused)]
        balance = chosen[*key, Scenario.BALANCE]
        own = (balance.false_accept, balance.self_assessment_accuracy, balance.self_assessment_f1)
        table.append([*key, *cells, *map(number, own)])
    return table


def trained(analysis: Analysis) -> Table:
    """What training did to what agents know."""
    rows = [
        [
            k.agent,
            k.training,
            k.split,
            *map(number, (k.base_accuracy, k.must_answer_accuracy, k.delta_performance, k.forgotten, k.auc)),
        ]
        for k in analysis.knowing
    ]
    return [["agent", "training", "split", "base", "must-answer", "newly right", "forgotten", "AUC"], *rows]


def predictors(analysis: Analysis) -> Table:
    """Table 5."""
    rows = [
        [j.agent, j.kind, j.predictor, j.split, str(j.questions), *map(number, (j.accuracy, j.f1, j.auc))]
        for j in analysis.predictors
    ]
    return [["agent", "type", "predictor", "split", "questions", "accuracy", "F1", "AUC"], *rows]


def timings(analysis: Analysis) -> Table:
    """Table 6."""

    def cell(value: float | None) -> str:
        return "-" if value is None else f"{value:.4f}"

    rows = [[name, cell(t.refusal), cell(t.answer), cell(t.share)] for name, t in analysis.timings.items()]
    return [["agent", "refusal", "answer", "share"], *rows]


def spreads(analysis: Analysis) -> Table:
    """Figures 4 and 6."""
    names = [agent.name for agent in analysis.agents]
    table = [["policy", "split", *(f"{short(s)} {name}" for s in Scenario for name in names), "easy", "hard"]]
    for each in analysis.spreads:
        cells = [number(share) for scenario in Scenario for share in each.shares[scenario]]
        table.append([each.policy, each.split, *cells, number(each.easy), number(each.hard)])
    return table


def aligned(table: Table) -> str:
    """Left-aligned names, right-aligned numbers."""
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    lines = []
    for first, *rest in table:
        cells = [cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    return "\n".join(lines)


def label(policy: str) -> str:
    """Tables and pictures show one random mixture only, so it need not say whose."""
    return RANDOM_MIXTURE if policy.startswith(RANDOM_MIXTURE) else policy


def short(scenario: Scenario) -> str:
    """`performance-first` -> `perf`: three of them must fit on a line."""
    return {Scenario.PERFORMANCE_FIRST: "perf", Scenario.BALANCE: "balance", Scenario.COST_FIRST: "cost"}[scenario]


def number(value: float) -> str:
    """Three decimals; a dash for what does not exist."""
    return "-" if math.isnan(value) else f"{value:.3f}"


def interval(mean: float, low: float, high: float) -> str:
    """`+0.041 [+0.020, +0.061]*`; the star says that the whole interval is above zero."""
    return f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]{'*' if low > 0 else ' '}"


def _order(standing: Standing, split: str) -> list[str]:
    """By method, in the order in which policies were made."""
    rows: dict[str, Row] = {}
    for row in standing.rows:
        if row.split == split and row.group == ALL and shown(standing, row.policy):
            rows.setdefault(row.policy, row)
    return [policy for method in METHODS for policy, row in rows.items() if row.method == method]


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
