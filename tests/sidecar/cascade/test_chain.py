"""The table of a request's way, by itself: it ends, asks nobody twice, and falls back only on an engine that is up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from disrouter.terms import FallbackPolicy
from disrouter_sidecar.agents.outcomes import Exhausted, Failed, Outcome, Refused
from disrouter_sidecar.cascade.chain import Ask, Chain, FallBack, GiveUp
from disrouter_sidecar.errors import Reason, UpstreamFailed
from disrouter_sidecar.request.itinerary import Itinerary

AGENTS = ("a", "b", "c", "d")
DOWN, SILENT = Failed(UpstreamFailed(Reason.CONNECT, "")), Failed(UpstreamFailed(Reason.EMPTY, ""))
REFUSED = Refused()


def chain(policy: FallbackPolicy = FallbackPolicy.BEST_EFFORT, hops: int = 8) -> Chain:
    return Chain("a", Itinerary(AGENTS, hops), (), policy)


def exhausted(*path: str) -> Outcome:
    return Exhausted(path, None)  # type: ignore[arg-type]


def walk(*outcomes: Outcome, start: Chain | None = None, retries: bool = True, late: bool = False) -> list[str]:
    """The agents that are asked while attempts end so, `!a` for a fallback, and the path at the end."""
    now, asked = start or chain(), []
    for outcome in outcomes:
        step = now.next_step(late=late)
        if isinstance(step, GiveUp):
            break
        agent = step.agent if isinstance(step, Ask) else now.own
        if isinstance(step, FallBack):
            now = now._replace(falls_back=True)
        asked.append(agent if isinstance(step, Ask) else f"!{agent}")
        now = now.after(agent, outcome, retries=retries or not now.needs_retry(outcome))
    return asked


def test_refusals_and_failures_lead_to_the_next_agent() -> None:
    assert walk(REFUSED, DOWN, REFUSED) == ["a", "b", "c"]


def test_a_refusal_may_jump_and_who_is_jumped_over_comes_last_the_costliest_first() -> None:
    assert walk(Refused("d"), DOWN, DOWN, DOWN, DOWN) == ["a", "d", "c", "b", "!a"]
    strict = chain(FallbackPolicy.FAIL)
    assert walk(Refused("d"), DOWN, DOWN, start=strict) == ["a", "d"]


def test_whoever_was_tried_behind_a_hop_is_not_asked_again() -> None:
    start = chain()
    assert walk(REFUSED, exhausted("b", "c"), DOWN, DOWN) == ["a", "b", "d", "!a"]
    behind = start.after("a", REFUSED).after("b", exhausted("c", "b"))
    assert behind.path == ("a", "b", "c")
    assert behind.exhausted == exhausted("c", "b")


def test_an_engine_that_is_up_answers_after_all_where_the_policy_says_so() -> None:
    for first in (REFUSED, SILENT):
        assert walk(first, DOWN, DOWN, DOWN, DOWN, DOWN) == ["a", "b", "c", "d", "!a"], "and once"
    assert walk(DOWN, DOWN, DOWN, DOWN, DOWN) == ["a", "b", "c", "d"], "it is down itself"
    assert walk(REFUSED, *[DOWN] * 4, start=chain(FallbackPolicy.FAIL)) == ["a", "b", "c", "d"]


def test_without_retries_a_failure_ends_the_way_and_a_refusal_does_not() -> None:
    assert walk(REFUSED, DOWN, DOWN, retries=False) == ["a", "b", "!a"]
    assert walk(DOWN, DOWN, retries=False) == ["a"]


def test_the_last_agent_needs_no_retry() -> None:
    last = chain(hops=1)
    assert not last.needs_retry(DOWN)
    assert not last.needs_retry(REFUSED)
    assert chain(hops=2).needs_retry(DOWN)


def test_a_late_request_asks_nobody() -> None:
    assert walk(REFUSED, late=True) == []
    assert isinstance(chain().after("a", REFUSED).next_step(late=True), GiveUp)


outcomes = st.one_of(
    st.sampled_from([REFUSED, DOWN, SILENT]),
    st.sampled_from(AGENTS).map(Refused),
    st.lists(st.sampled_from(AGENTS), max_size=4).map(lambda path: exhausted(*path)),
)


@given(st.lists(outcomes, min_size=12, max_size=12), st.sampled_from(FallbackPolicy), st.integers(0, 6), st.booleans())
def test_it_ends_asks_nobody_twice_and_falls_back_once_at_most(
    ends: list[Outcome], policy: FallbackPolicy, hops: int, retries: bool
) -> None:
    asked = walk(*ends, start=chain(policy, hops), retries=retries)
    assert len(asked) < len(ends)
    assert len(asked) == len(set(asked))
    assert "!a" not in asked[:-1]
    assert sum(not each.startswith("!") for each in asked) <= hops
