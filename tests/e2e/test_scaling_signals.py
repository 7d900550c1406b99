"""From real sidecars through a real Prometheus to what an autoscaler divides: a burst, and agents that sleep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import aiohttp
import pytest
from msgspec.structs import replace

from disrouter.api.agent import ScaleMetric
from disrouter.routes import Fallback, FallbackPolicy
from disrouter_operator.manifests.serving.load_queries import METRICS, Load
from support.fake_engine import Script
from support.prometheus import INTERVAL, Scrapes, serving
from support.sidecars import REFUSAL, URL_OF_NOBODY, Cascade, cascade

pytestmark = pytest.mark.prometheus
QUIET, BURST = 36, 5
"""Scrapes with one request between each, and then with ten."""
COUNT = QUIET + BURST
PLACE = "default", "qwen", 8
BY_RPS = Load(ScaleMetric.RPS, *PLACE)
PLAIN, NAMED, BROKEN = "qwen", "qwen/large", "no model of this cascade"


async def recorded(built: Cascade, scrapes: Scrapes, asked: Callable[[int], Sequence[str]], sleeper: str) -> None:
    """Scrape who has pods, and ask for these models after each scrape but the last."""
    for place in range(COUNT):
        for name, agent in built.agents.items():
            if name != sleeper:
                text = agent.service.metrics.render().decode()
                scrapes.exposition(text, {"namespace": "default", "pod": f"qwen-{name}-0"}, place)
        for model in asked(place) if place + 1 < COUNT else ():
            status = await ended(await built.ask(model))
            assert status == (404 if model == BROKEN else 503 if model == f"qwen/{sleeper}" else 200)


async def ended(response: aiohttp.ClientResponse) -> int:
    await response.read()
    return response.status


def put_to_sleep(built: Cascade, name: str) -> None:
    """Nobody listens at its address."""
    table = built.table(fallback=Fallback(policy=FallbackPolicy.FAIL) if name == "large" else Fallback())
    sleeper = replace(table.agents[name], url=URL_OF_NOBODY)
    built.publish(replace(table, agents=table.agents | {name: sleeper}))


async def test_what_sidecars_count_wakes_a_sleeper_and_scales_who_stands_in_for_it(tmp_path: Path) -> None:
    scrapes = Scrapes(COUNT)
    async with cascade(tmp_path) as built:
        put_to_sleep(built, "medium")
        built.scripts(Script(text=REFUSAL), "unused", "four")
        await recorded(built, scrapes, lambda place: [PLAIN] * (1 if place < QUIET else 10), "medium")
    with serving(scrapes, tmp_path) as prometheus:
        comes = 10 / INTERVAL
        assert prometheus.value(BY_RPS.present("small")) == pytest.approx(comes, rel=0.05)
        assert prometheus.value(BY_RPS.present("medium")) == 0, "it has no pods"
        assert prometheus.value(BY_RPS.ahead("medium")) == pytest.approx(comes, rel=0.05)
        assert prometheus.value(BY_RPS.ahead("large")) == pytest.approx(comes, rel=0.05)
        for metric in METRICS:
            assert prometheus.value(Load(metric, *PLACE).ahead("small")) == 0


async def test_the_very_first_request_that_wants_a_sleeper_is_seen(tmp_path: Path) -> None:
    scrapes = Scrapes(COUNT)
    async with cascade(tmp_path) as built:
        put_to_sleep(built, "medium")
        built.scripts(Script(text=REFUSAL), "unused", "four")
        await recorded(built, scrapes, lambda place: [PLAIN] if place == COUNT - 2 else [], "medium")
    with serving(scrapes, tmp_path) as prometheus:
        for metric in METRICS:
            assert prometheus.value(Load(metric, *PLACE).ahead("medium")) > 0


class Mix(NamedTuple):
    """What comes between two scrapes, and how many of it want the agent that sleeps."""

    asked: Sequence[str]
    says: str
    """The entry."""
    sleeper: str
    wanting: int


@pytest.mark.parametrize(
    "mix",
    [
        pytest.param(Mix([NAMED], "unused", "large", 1), id="all name the sleeper"),
        pytest.param(Mix([PLAIN, *[NAMED] * 9], "four", "large", 9), id="nine name it and the entry answers one"),
        pytest.param(Mix([PLAIN, *[NAMED] * 9], REFUSAL, "medium", 1), id="nine name another one"),
        pytest.param(Mix([PLAIN, *[BROKEN] * 9], REFUSAL, "medium", 1), id="nine are not valid"),
    ],
)
async def test_as_many_are_on_their_way_to_a_sleeper_as_want_it(tmp_path: Path, mix: Mix) -> None:
    scrapes = Scrapes(COUNT)
    async with cascade(tmp_path) as built:
        put_to_sleep(built, mix.sleeper)
        built.scripts(mix.says, "unused", "four")
        await recorded(built, scrapes, lambda _: mix.asked, mix.sleeper)
    with serving(scrapes, tmp_path) as prometheus:
        for metric in METRICS:
            ahead = prometheus.value(Load(metric, *PLACE).ahead(mix.sleeper))
            assert ahead == pytest.approx(mix.wanting / INTERVAL, rel=0.05), "a second each, as far as is known"
