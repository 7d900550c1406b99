"""What autoscalers ask Prometheus, asked of a real one: numbers by reason, for trees, sleepers, bursts and silence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from disrouter.api.agent import ScaleMetric
from disrouter_operator.manifests.serving import load_queries
from disrouter_operator.manifests.serving.load_queries import Load
from support.prometheus import INTERVAL, Prometheus, Scrapes, serving

pytestmark = pytest.mark.prometheus
CONCURRENCY, RPS = ScaleMetric.CONCURRENCY, ScaleMetric.RPS
COUNT = 61
"""Scrapes in a quarter of an hour."""


class Sidecars:
    """Series of one cascade's sidecars, as the chart's PodMonitor labels them."""

    def __init__(self, scrapes: Scrapes, namespace: str, cascade: str = "qwen") -> None:
        self._scrapes = scrapes
        self._labels = {"namespace": namespace, "cascade": cascade}

    def agent(
        self,
        name: str,
        received: Sequence[float],
        inflight: float = 0,
        pod: str = "a",
        *,
        settled: Sequence[float] | None = None,
        decided: Sequence[float] | None = None,
        **wanted: Sequence[float],
    ) -> None:
        """One pod of an agent: what it had received, settled and decided at each scrape, and whom it had wanted."""
        own = self._labels | {"agent": name, "pod": f"{name}-{pod}"}
        self._scrapes.series("disrouter_received_requests_total", own, received)
        self._scrapes.series("disrouter_engine_inflight_requests", own, [inflight] * len(received))
        settled = settled or received
        self._scrapes.series("disrouter_settled_requests_total", own, settled)
        decisions = {"scenario": "balance", "decision": "answer"}
        self._scrapes.series("disrouter_agent_decisions_total", own | decisions, decided or settled)
        self._scrapes.series("disrouter_agent_decisions_total", own | decisions | {"decision": "fallback"}, received)
        for to, values in wanted.items():
            self._scrapes.series("disrouter_wanted_hops_total", own | {"to": to}, values)


def rate(per_second: float, count: int = COUNT, start: float = 0) -> list[float]:
    """A counter that grows so fast."""
    return [start + per_second * INTERVAL * place for place in range(count)]


def growing(*phases: tuple[float, int]) -> list[float]:
    """A counter that grows by so much a second, for so many scrapes each."""
    values = [0.0]
    for per_second, count in phases:
        values += [values[-1] + per_second * INTERVAL * place for place in range(1, count + 1)]
    return values


def steady(scrapes: Scrapes) -> None:
    """Six come a second; the first agent refuses half of them, the second a fifth of what it gets."""
    for cascade, factor in (("qwen", 1.0), ("other", 100.0)):
        chain = Sidecars(scrapes, "steady", cascade)
        chain.agent("small", rate(6 * factor), 6, medium=rate(3 * factor), large=rate(0))
        chain.agent("medium", rate(3 * factor), 9, large=rate(0.6 * factor), small=rate(0))
        chain.agent("large", rate(0.6 * factor), 12, small=rate(0), medium=rate(0))


def burst(scrapes: Scrapes) -> None:
    """Five times as many come in the last minute, and the first agent's engines get through no more than before."""
    chain = Sidecars(scrapes, "burst")
    chain.agent("small", growing((6, COUNT - 5), (30, 4)), 100, settled=rate(6), medium=rate(3))
    chain.agent("medium", rate(3), 9, large=rate(0.6))
    chain.agent("large", rate(0.6), 12)


def tree(scrapes: Scrapes) -> None:
    """Two agents lead to the last one, and the first jumps there as well."""
    agents = Sidecars(scrapes, "tree")
    agents.agent("small", rate(8), 8, coder=rate(4), large=rate(1))
    agents.agent("coder", rate(4), 8, large=rate(2))
    agents.agent("math", rate(2), 2, large=rate(0.5))
    agents.agent("large", rate(3.5), 7)


def sleeping(scrapes: Scrapes) -> None:
    """The second agent has no pods; who wanted it goes on to the last."""
    agents = Sidecars(scrapes, "sleeping")
    agents.agent("small", rate(2), 2, medium=rate(0.5), large=rate(0.5))
    agents.agent("large", rate(0.5), 5)


def named(scrapes: Scrapes) -> None:
    """Nine of ten requests name the last agent, which serves for two seconds each and decides none of the others."""
    agents = Sidecars(scrapes, "named")
    agents.agent("small", rate(10), 3, decided=rate(1), medium=rate(0), large=rate(9))
    agents.agent("large", rate(9), 18)


def silent(scrapes: Scrapes) -> None:
    """Sidecars that have nothing to do."""
    agents = Sidecars(scrapes, "silent")
    for name in ("small", "medium", "large"):
        agents.agent(name, rate(0), 0, medium=rate(0), large=rate(0))


def several(scrapes: Scrapes) -> None:
    """Three pods of an agent: one began anew, one came in the last minutes."""
    agents = Sidecars(scrapes, "several")
    again = rate(2, 30) + rate(2, COUNT - 30)
    agents.agent("small", rate(2), 2, "a", medium=rate(1))
    agents.agent("small", again, 2, "b", medium=[value / 2 for value in again])
    agents.agent("small", rate(2, 12), 2, "c", medium=rate(1, 12))
    agents.agent("medium", rate(3), 6)


def queueing(scrapes: Scrapes) -> None:
    """Most requests of the second agent wait: it decides half of what comes, and serves a tenth of them at once."""
    agents = Sidecars(scrapes, "queueing")
    agents.agent("small", rate(6), 6, medium=rate(6))
    for pod in ("a", "b"):
        agents.agent("medium", rate(3), 60, pod, settled=rate(1.5))


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    scrapes = Scrapes(COUNT)
    for made in (steady, burst, tree, sleeping, named, silent, several, queueing):
        made(scrapes)
    with serving(scrapes, tmp_path_factory.mktemp("prometheus")) as server:
        yield server


def load(metric: ScaleMetric, namespace: str, cascade: str, target: int = 1000) -> Load:
    return Load(metric, namespace, cascade, target)


def near(value: float) -> object:
    return pytest.approx(value, rel=0.03)


@pytest.mark.parametrize(
    ("agent", "concurrency", "rps"), [("small", 6.0, 6.0), ("medium", 9.0, 3.0), ("large", 12.0, 0.6)]
)
def test_at_rest_what_is_ahead_of_an_agent_is_what_it_has(
    told: Prometheus, agent: str, concurrency: float, rps: float
) -> None:
    place = "steady", "qwen", agent
    assert told.value(load(CONCURRENCY, *place[:2]).present(place[2])) == near(concurrency)
    assert told.value(load(RPS, *place[:2]).present(place[2])) == near(rps)
    if agent != "small":
        assert told.value(load(CONCURRENCY, *place[:2]).ahead(place[2])) == near(concurrency)
        assert told.value(load(RPS, *place[:2]).ahead(place[2])) == near(rps)
    else:
        assert told.value(load(RPS, *place[:2]).ahead(place[2])) == 0, "nobody hands on to the entry"


def test_from_the_entry_every_share_on_the_way_counts(told: Prometheus) -> None:
    path = ["small", "medium", "large"]
    assert told.value(load(RPS, "steady", "qwen").from_entry(path)) == near(0.6)
    assert told.value(load(CONCURRENCY, "steady", "qwen").from_entry(path)) == near(12)


def test_a_burst_at_the_entry_is_seen_behind_it_before_anything_gets_there(told: Prometheus) -> None:
    share_of_first, share_of_second = 0.5, 0.2
    assert told.value(load(RPS, "burst", "qwen").present("medium")) == near(3)
    assert told.value(load(RPS, "burst", "qwen").ahead("medium")) == near(30 * share_of_first)
    assert told.value(load(RPS, "burst", "qwen").ahead("large")) == near(0.6), "as medium gets no more yet"
    far = load(RPS, "burst", "qwen").from_entry(["small", "medium", "large"])
    assert told.value(far) == near(30 * share_of_first * share_of_second)


def test_in_a_tree_all_who_lead_to_an_agent_count(told: Prometheus) -> None:
    assert told.value(load(RPS, "tree", "qwen").ahead("large")) == near(1 + 2 + 0.5)
    assert told.value(load(CONCURRENCY, "tree", "qwen").ahead("large")) == near(7)
    assert told.value(load(RPS, "tree", "qwen").ahead("coder")) == near(4)


def test_an_agent_without_pods_is_wanted_and_so_is_who_answers_in_its_place(told: Prometheus) -> None:
    place = "sleeping", "qwen"
    assert told.value(load(CONCURRENCY, *place).present("medium")) == 0
    assert told.value(load(CONCURRENCY, *place).ahead("medium")) == near(0.5), "a second each, as far as is known"
    assert told.value(load(CONCURRENCY, *place).ahead("large")) == near(5)
    path = ["small", "medium", "large"]
    assert told.value(load(CONCURRENCY, *place).from_entry(path)) == 0, "nothing comes by there"


def test_a_share_is_one_of_all_requests_those_included_that_name_another_agent(told: Prometheus) -> None:
    assert told.value(load(RPS, "named", "qwen").ahead("large")) == near(9)
    assert told.value(load(CONCURRENCY, "named", "qwen").ahead("large")) == near(18)
    assert told.value(load(RPS, "named", "qwen").from_entry(["small", "large"])) == near(9)


@pytest.mark.parametrize("namespace", ["silent", "nowhere"])
def test_without_requests_or_sidecars_every_query_says_zero(told: Prometheus, namespace: str) -> None:
    for metric in load_queries.METRICS:
        for agent in ("small", "medium", "large"):
            assert told.value(load(metric, namespace, "qwen").present(agent)) == 0
            assert told.value(load(metric, namespace, "qwen").ahead(agent)) == 0
        path = ["small", "medium", "large"]
        assert told.value(load(metric, namespace, "qwen").from_entry(path)) == 0


def test_all_pods_count_those_that_began_anew_too(told: Prometheus) -> None:
    place = "several", "qwen"
    assert told.value(load(CONCURRENCY, *place).present("small")) == near(6)
    assert told.value(load(RPS, *place).present("small")) == near(6)
    assert told.value(load(RPS, *place).ahead("medium")) == near(3)


def test_what_waits_makes_nobody_look_slower(told: Prometheus) -> None:
    """Else a queue would ask for pods as long as it is remembered."""
    asked = load(CONCURRENCY, "queueing", "qwen", target=6)
    assert told.value(asked.present("medium")) == 120
    assert told.value(asked.ahead("medium")) == near(24), "six a second for four seconds each"


@pytest.mark.parametrize("metric", load_queries.METRICS)
def test_what_the_chart_records_an_agent_has_is_the_same_of_every_agent(told: Prometheus, metric: ScaleMetric) -> None:
    recorded = told.vector(next(iter(load_queries.rules(metric).values())))
    for place in (("steady", "qwen", "large"), ("silent", "qwen", "small"), ("queueing", "qwen", "medium")):
        said = told.value(load(metric, *place[:2]).present(place[2]))
        assert recorded[labelled(*place)] == (near(said) if said else 0)


def test_what_the_chart_records_is_ahead_is_the_same_of_every_agent(told: Prometheus) -> None:
    recorded = told.vector(load_queries.rules(RPS)["disrouter_agent_rps_ahead"])
    for place in (("steady", "qwen", "large"), ("named", "qwen", "large"), ("queueing", "qwen", "medium")):
        assert recorded[labelled(*place)] == near(told.value(load(RPS, *place[:2]).ahead(place[2])))
    assert recorded[labelled("silent", "qwen", "large")] == 0
    assert recorded[labelled("steady", "qwen", "small")] == 0, "an HPA that gets no number takes no pod away"


def test_the_chart_records_nothing_in_which_a_queue_counts_as_time(told: Prometheus) -> None:
    """How much of it waits, only a query that knows the agent's target can tell."""
    for query in load_queries.rules(CONCURRENCY).values():
        assert told.vector(query)[labelled("queueing", "qwen", "medium")] == 120, "what is there, and no more"


def labelled(namespace: str, cascade: str, agent: str) -> tuple[tuple[str, str], ...]:
    return tuple(sorted({"namespace": namespace, "cascade": cascade, "agent": agent}.items()))
