"""From real sidecars through a real Prometheus to what an autoscaler divides: a burst, and an agent that sleeps."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from disrouter.api.agent import ScaleMetric
from disrouter_operator.manifests.serving.load_queries import METRICS, Load
from support.fake_engine import Script
from support.prometheus import INTERVAL, Scrapes, serving
from support.sidecars import REFUSAL, URL_OF_NOBODY, Cascade, cascade

pytestmark = pytest.mark.prometheus
QUIET, BURST = 36, 5
"""Scrapes with one request between each, and then with ten."""
PLACE = "default", "qwen", 8
BY_RPS = Load(ScaleMetric.RPS, *PLACE)


async def recorded(built: Cascade, scrapes: Scrapes) -> None:
    """Ask, and scrape who has pods."""
    for place in range(QUIET + BURST):
        for name, agent in built.agents.items():
            if name != "medium":
                text = agent.service.metrics.render().decode()
                scrapes.exposition(text, {"namespace": "default", "pod": f"qwen-{name}-0"}, place)
        for _ in range(1 if place < QUIET else 10):
            assert (await built.ask()).status == 200


async def test_what_sidecars_count_wakes_a_sleeper_and_scales_who_stands_in_for_it(tmp_path: Path) -> None:
    scrapes = Scrapes(QUIET + BURST)
    async with cascade(tmp_path) as built:
        table = built.table()
        sleeper = replace(table.agents["medium"], url=URL_OF_NOBODY)
        built.publish(replace(table, agents=table.agents | {"medium": sleeper}))
        built.scripts(Script(text=REFUSAL), "unused", "four")
        await recorded(built, scrapes)
    with serving(scrapes, tmp_path) as prometheus:
        comes = 10 / INTERVAL
        assert prometheus.value(BY_RPS.present("small")) == pytest.approx(comes, rel=0.05)
        assert prometheus.value(BY_RPS.present("medium")) == 0, "it has no pods"
        assert prometheus.value(BY_RPS.ahead("medium")) == pytest.approx(comes, rel=0.05)
        assert prometheus.value(BY_RPS.ahead("large")) == pytest.approx(comes, rel=0.05)
        for metric in METRICS:
            assert prometheus.value(Load(metric, *PLACE).ahead("small")) == 0
