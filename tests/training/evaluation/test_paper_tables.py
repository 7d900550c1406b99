"""The rows of the paper's own tables obey the arithmetic of this package, within the rounding as printed."""

import numpy as np
import pytest

from disrouter_training.evaluation.policies import Routed

Printed = tuple[str, float, float, float]
TABLE_1 = {"0.5B": (38.01, 35.82, 0.1), "1.5B": (58.95, 54.69, 0.2), "3B": (73.08, 61.57, 0.4)}
TABLE_1 |= {"7B": (80.90, 69.89, 0.7), "14B": (85.45, 74.43, 0.9)}
"""In-domain accuracy, out-of-domain accuracy, cost."""

TABLES: dict[tuple[str, float], list[Printed]] = {
    ("2", 0.2): [
        ("Oracle", 0.93, 0.29, 0.87),
        ("Smallest", 0.38, 0.10, 0.36),
        ("Largest", 0.85, 0.90, 0.67),
        ("Random", 0.67, 0.46, 0.58),
        ("RouteLLM", 0.44, 0.16, 0.41),
        ("FrugalGPT", 0.70, 0.32, 0.64),
        ("Automix", 0.85, 1.10, 0.63),
        ("FORC", 0.78, 0.65, 0.65),
        ("GraphRouter", 0.82, 0.68, 0.68),
        ("SFT", 0.84, 0.59, 0.72),
        ("+ RL", 0.81, 0.40, 0.73),
    ],
    ("2", 0.5): [
        ("Oracle", 0.93, 0.29, 0.79),
        ("Smallest", 0.38, 0.10, 0.33),
        ("Largest", 0.85, 0.90, 0.40),
        ("Random", 0.67, 0.46, 0.44),
        ("RouteLLM", 0.44, 0.16, 0.36),
        ("FrugalGPT", 0.63, 0.22, 0.52),
        ("Automix", 0.58, 0.58, 0.29),
        ("FORC", 0.69, 0.45, 0.47),
        ("GraphRouter", 0.77, 0.46, 0.53),
        ("SFT", 0.83, 0.52, 0.57),
        ("+ RL", 0.77, 0.32, 0.61),
    ],
    ("2", 0.8): [
        ("Oracle", 0.93, 0.29, 0.70),
        ("Smallest", 0.38, 0.10, 0.30),
        ("Largest", 0.85, 0.90, 0.13),
        ("Random", 0.67, 0.46, 0.30),
        ("RouteLLM", 0.44, 0.16, 0.31),
        ("FrugalGPT", 0.60, 0.21, 0.43),
        ("Automix", 0.44, 0.33, 0.18),
        ("FORC", 0.60, 0.29, 0.37),
        ("GraphRouter", 0.61, 0.20, 0.45),
        ("SFT", 0.77, 0.42, 0.43),
        ("+ RL", 0.75, 0.29, 0.52),
    ],
    ("3", 0.5): [
        ("Oracle", 0.89, 0.33, 0.72),
        ("Smallest", 0.36, 0.10, 0.31),
        ("Largest", 0.74, 0.90, 0.29),
        ("Random", 0.59, 0.46, 0.36),
        ("RouteLLM", 0.42, 0.22, 0.31),
        ("FrugalGPT", 0.55, 0.25, 0.42),
        ("Automix", 0.55, 0.60, 0.25),
        ("FORC", 0.63, 0.53, 0.36),
        ("GraphRouter", 0.64, 0.49, 0.39),
        ("SFT", 0.74, 0.62, 0.43),
        ("+ RL", 0.69, 0.43, 0.48),
    ],
    ("4", 0.5): [
        ("Oracle", 0.91, 0.38, 0.72),
        ("Smallest", 0.59, 0.20, 0.49),
        ("Largest", 0.85, 0.90, 0.40),
        ("Random", 0.72, 0.50, 0.47),
        ("FrugalGPT", 0.63, 0.22, 0.51),
        ("FORC", 0.72, 0.48, 0.48),
        ("GraphRouter", 0.75, 0.46, 0.52),
        ("SFT", 0.83, 0.54, 0.56),
        ("+ RL", 0.78, 0.36, 0.60),
    ],
    ("13", 0.2): [
        ("Oracle", 0.89, 0.33, 0.82),
        ("Smallest", 0.36, 0.10, 0.34),
        ("Largest", 0.74, 0.90, 0.56),
        ("Random", 0.59, 0.46, 0.50),
        ("RouteLLM", 0.42, 0.22, 0.38),
        ("FrugalGPT", 0.63, 0.41, 0.54),
        ("Automix", 0.74, 1.10, 0.52),
        ("FORC", 0.70, 0.75, 0.56),
        ("GraphRouter", 0.69, 0.67, 0.56),
        ("SFT", 0.73, 0.62, 0.61),
        ("+ RL", 0.75, 0.67, 0.62),
    ],
    ("14", 0.8): [
        ("Oracle", 0.89, 0.33, 0.63),
        ("Smallest", 0.36, 0.10, 0.28),
        ("Largest", 0.74, 0.90, 0.02),
        ("Random", 0.59, 0.46, 0.22),
        ("RouteLLM", 0.42, 0.22, 0.25),
        ("FrugalGPT", 0.55, 0.21, 0.38),
        ("Automix", 0.40, 0.29, 0.17),
        ("FORC", 0.54, 0.32, 0.29),
        ("GraphRouter", 0.53, 0.20, 0.37),
        ("SFT", 0.69, 0.56, 0.25),
        ("+ RL", 0.67, 0.36, 0.39),
    ],
    ("15", 0.2): [
        ("Oracle", 0.91, 0.38, 0.83),
        ("Smallest", 0.59, 0.2, 0.55),
        ("Largest", 0.85, 0.9, 0.67),
        ("Random", 0.72, 0.5, 0.62),
        ("FrugalGPT", 0.71, 0.34, 0.64),
        ("FORC", 0.79, 0.66, 0.66),
        ("GraphRouter", 0.75, 0.63, 0.62),
        ("SFT", 0.84, 0.61, 0.72),
        ("+ RL", 0.84, 0.53, 0.73),
    ],
    ("16", 0.8): [
        ("Oracle", 0.91, 0.38, 0.61),
        ("Smallest", 0.59, 0.2, 0.43),
        ("Largest", 0.85, 0.9, 0.13),
        ("Random", 0.72, 0.5, 0.32),
        ("FrugalGPT", 0.61, 0.21, 0.44),
        ("FORC", 0.66, 0.33, 0.4),
        ("GraphRouter", 0.59, 0.2, 0.43),
        ("SFT", 0.83, 0.52, 0.41),
        ("+ RL", 0.75, 0.29, 0.52),
    ],
}
HALF = 0.005
"""Of the last printed digit."""
CASES = [(table, alpha, row) for (table, alpha), rows in TABLES.items() for row in rows]


@pytest.mark.parametrize(("table", "alpha", "row"), CASES, ids=[f"{t}-{a}-{r[0]}" for t, a, r in CASES])
def test_a_printed_utility_follows_from_printed_accuracy_and_cost(table: str, alpha: float, row: Printed) -> None:
    _, accuracy, cost, utility = row
    slack = HALF + HALF + alpha * HALF
    found = Routed(np.array([accuracy]), np.array([cost])).utility(alpha)
    assert found.mean() == pytest.approx(utility, abs=slack + 1e-9)


def test_the_random_control_is_the_mean_of_table_1() -> None:
    accuracy = sum(row[0] for row in TABLE_1.values()) / len(TABLE_1)
    cost = sum(row[2] for row in TABLE_1.values()) / len(TABLE_1)
    assert round(accuracy / 100, 2) == TABLES["2", 0.2][3][1]
    assert round(cost, 2) == TABLES["2", 0.2][3][2]
