"""Dashboard and alerts ask for metrics that operator and sidecar really have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

import disrouter_sidecar.telemetry.metrics as of_sidecar
from disrouter_operator.telemetry.metrics import Metrics as OperatorMetrics
from disrouter_sidecar.routes.reload import RouteHolder
from support import helm

DASHBOARD = helm.OPERATOR / "dashboards/disrouter.json"
ALERTS = helm.OPERATOR / "alerts/disrouter.yaml"
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
DECISIONS = {of_sidecar.ANSWER, of_sidecar.REFUSE, of_sidecar.FAILOVER, of_sidecar.FALLBACK}


def names(families: Iterable[Metric]) -> set[str]:
    """Names of the samples that a scrape can show."""
    return {family.name + suffix for family in families for suffix in SUFFIXES.get(family.type, ("",))}


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    class Queue:
        def depth(self) -> int:
            return 0

        def failing(self) -> int:
            return 0

    operator = OperatorMetrics()
    operator.watch_queue(Queue(), lambda: 0.0)
    table: Path = tmp_path_factory.mktemp("routes") / "routes.json"
    sidecar = of_sidecar.Metrics("qwen", "small", RouteHolder(table, "qwen", lambda: 0.0))
    return names(operator.registry.collect()) | names(text_string_to_metric_families(sidecar.render().decode()))


def expressions() -> Iterable[str]:
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    for group in yaml.safe_load(ALERTS.read_text())["groups"]:
        yield from (rule["expr"] for rule in group["rules"])


@pytest.mark.parametrize("expression", list(expressions()))
def test_an_expression_asks_for_metrics_that_exist(expression: str, known: set[str]) -> None:
    asked = set(re.findall(r"\bdisrouter_\w+", expression))
    assert asked
    assert asked <= known, asked - known
    assert set(re.findall(r'decision="(\w+)"', expression)) <= DECISIONS
    for opening, closing in ("()", "{}", "[]"):
        assert expression.count(opening) == expression.count(closing)


def test_every_alert_says_what_to_do() -> None:
    for group in yaml.safe_load(ALERTS.read_text())["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in ("info", "warning", "critical")
            assert rule["annotations"]["summary"].endswith(".")
            assert rule["annotations"]["description"].endswith(".")
            assert rule["for"]


def test_variables_of_the_dashboard_ask_for_metrics_that_exist(known: set[str]) -> None:
    for variable in json.loads(DASHBOARD.read_text())["templating"]["list"]:
        asked = set(re.findall(r"\bdisrouter_\w+", str(variable["query"])))
        assert asked <= known
