"""Probability mode: a refusal's chance at the first token decides, for any preference, and may jump over agents."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from disrouter.calibration import Calibration, CalibrationPoint, PlattScaling
from disrouter.routes import Fallback, FallbackPolicy, JumpRoute, ProbabilityRoute, RouteTable
from disrouter.scenario import Scenario, reject_threshold
from disrouter_sidecar.decision.probability_probe import TOP, probe_fields, signal_of
from support.fake_engine import Script, probe_of, stream_of, whole_of
from support.sidecars import Cascade

POINTS = (CalibrationPoint(refusal=0.0, competence=1.0), CalibrationPoint(refusal=1.0, competence=0.0))
TRAINED = Calibration(token="I", scenario=Scenario.COST_FIRST, points=POINTS)
LIKELY, UNLIKELY = {" I": 0.7, "I": 0.1, "The": 0.2}, {"The": 0.75, "I": 0.25}
"""Competence 0.2 and 0.75 by the straight line of POINTS."""


BY_ODDS = Calibration(token="I", answer="Let", platt=PlattScaling(intercept=0.0, slope=-1.0), residual=0.5)
"""Competence is the share of an answer's token of both."""


def by_chance(
    table: RouteTable, jump: JumpRoute | None = None, calibration: Calibration = TRAINED, **changes: Any
) -> RouteTable:
    """The entry decides by probability with gamma 1: it answers where competence >= 1 - alpha."""
    route = ProbabilityRoute(calibration=calibration, gamma=1.0, jump=jump)
    small = replace(table.agents["small"], probability=route)
    return replace(table, agents={**table.agents, "small": small}, **changes)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_sure_agent_answers_uninstructed_in_the_clients_own_mode(three: Cascade, stream: bool) -> None:
    three.publish(by_chance(three.table()))
    three.entry.engine.script = Script(text="It is four.", chances=UNLIKELY)
    response = await three.ask(stream=stream, temperature=0.3)
    assert await response.read() == (b"".join(stream_of("It is four.")) if stream else whole_of("It is four."))
    assert response.headers["x-disrouter-path"] == "small"
    probe, real = three.entry.engine.bodies
    assert probe["messages"][0]["content"].startswith(Scenario.COST_FIRST.prompt)
    assert real == {
        "model": "engine-small",
        "messages": [{"role": "user", "content": "2+2?"}],
        "temperature": 0.3,
        "stream": stream,
    }


@pytest.mark.parametrize("stream", [False, True])
async def test_a_sure_agent_that_refuses_all_the_same_passes_the_request_on(three: Cascade, stream: bool) -> None:
    three.publish(by_chance(three.table()))
    three.scripts(Script(text="I don't know!", chances=UNLIKELY), "four", "unused")
    response = await three.ask(stream=stream)
    assert response.headers["x-disrouter-path"] == "small,medium"
    said = await response.read()
    assert b"four" in said
    assert b"know" not in said
    assert len(three.entry.engine.bodies) == 2
    assert "Scenario:" not in json.dumps(three.entry.engine.bodies[1])


async def test_who_refused_uninstructed_says_so_where_nobody_else_is_left(three: Cascade) -> None:
    three.publish(by_chance(three.table()))
    three.scripts(Script(text="I don't know!", chances=UNLIKELY), Script(status=500), Script(status=500))
    assert await three.said(await three.ask()) == ("small,medium,large,small", "I don't know!")


async def test_an_unsure_agent_is_asked_for_one_token_only(three: Cascade) -> None:
    three.publish(by_chance(three.table()))
    three.scripts(Script(chances=LIKELY), "four", "unused")
    response = await three.ask()
    assert await three.said(response) == ("small,medium", "four")
    spent = {"agent": "small", "prompt_tokens": 5, "completion_tokens": 1}
    assert json.loads(response.headers["x-disrouter-refused-usage"]) == [spent]
    (probe,) = three.entry.engine.bodies
    assert (probe["max_tokens"], probe["top_logprobs"], probe["stream"]) == (1, TOP, False)


@pytest.mark.parametrize("alpha", [0.0, 0.05, 0.2, 0.24, 0.26, 0.4, 0.5, 0.79, 0.81, 1.0])
@pytest.mark.parametrize("chances", [LIKELY, UNLIKELY])
async def test_any_preference_is_served_exactly_along_the_whole_chain(
    three: Cascade, alpha: float, chances: dict[str, float]
) -> None:
    """Small refuses by its text; medium, behind a hop, decides by the very number that the client sent."""
    table = three.table()
    route = ProbabilityRoute(calibration=TRAINED, gamma=1.0)
    medium = replace(table.agents["medium"], probability=route)
    three.publish(replace(table, agents={**table.agents, "medium": medium}))
    three.scripts("I don't know!", Script(text="mid", chances=chances), "big")
    competence = 0.2 if chances is LIKELY else 0.75
    expected = "mid" if competence >= reject_threshold(alpha, 1.0) else "big"
    assert (await three.said(await three.ask(headers={"x-disrouter-preference": str(alpha)})))[1] == expected
    assert (await three.said(await three.ask(disrouter={"preference": alpha})))[1] == expected


@pytest.mark.parametrize(("alpha", "who"), [(0.24, "next"), (0.26, "small")])
async def test_the_odds_between_refusal_and_answer_decide_whatever_else_a_reply_might_begin_with(
    three: Cascade, alpha: float, who: str
) -> None:
    """Competence is 3/4 by the odds; by the refusal's chance alone it would be .85."""
    three.publish(by_chance(three.table(), calibration=BY_ODDS))
    three.scripts(Script(text="small", chances={" I": 0.1, "I": 0.05, "Let": 0.45, "The": 0.4}), "next", "unused")
    assert (await three.said(await three.ask(disrouter={"preference": alpha})))[1] == who


async def test_a_reply_that_begins_like_none_of_the_calibrations_is_decided_by_its_text(three: Cascade) -> None:
    three.publish(by_chance(three.table(), calibration=BY_ODDS))
    three.scripts(Script(text="I don't know!", chances={"Sure": 0.6, "Let": 0.3, "I": 0.01}), "next", "unused")
    assert await three.said(await three.ask()) == ("small,medium", "next")
    assert three.entry.metric("disrouter_unfamiliar_probability_probes_total") == 1
    assert three.entry.metric("disrouter_unreadable_probability_probes_total") == 0
    assert three.entry.engine.bodies[1]["messages"][0]["content"].startswith(Scenario.BALANCE.prompt)


async def test_a_scenario_stands_for_its_alpha_and_the_table_for_silence(three: Cascade) -> None:
    three.publish(by_chance(three.table(), preference=0.9))
    three.scripts(Script(text="mine", chances=LIKELY), "next", "unused")
    assert (await three.said(await three.ask()))[1] == "mine", "0.2 >= 1 - 0.9"
    assert (await three.said(await three.ask(disrouter={"scenario": "balance"})))[1] == "next"


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"[]",
        b'{"choices": []}',
        whole_of("four"),
        b'{"choices": [{"logprobs": {"content": []}}]}',
        b'{"choices": [{"logprobs": {"content": [{"top_logprobs": []}]}}]}',
        b'{"choices": [{"logprobs": {"content": [{"top_logprobs": [{"token": "I", "logprob": "high"}]}]}}]}',
        b'{"choices": [{"logprobs": {"content": [{"top_logprobs": [{"token": 7, "logprob": -1}]}]}}]}',
        b'{"choices": [{"logprobs": {"content": [{"top_logprobs": [{"token": "I", "logprob": 1e9}]}]}}]}',
    ],
)
async def test_where_the_logprobs_tell_nothing_the_text_decides(three: Cascade, reply: bytes) -> None:
    three.publish(by_chance(three.table()))
    three.scripts(Script(text="I don't know!", probe=reply), "four", "unused")
    assert await three.said(await three.ask()) == ("small,medium", "four")
    assert three.entry.metric("disrouter_unreadable_probability_probes_total") == 1
    assert three.entry.engine.bodies[1]["messages"][0]["content"].startswith(Scenario.BALANCE.prompt)


async def test_an_engine_that_fails_at_the_probe_is_failed_over(three: Cascade) -> None:
    three.publish(by_chance(three.table()))
    three.scripts(Script(status=500, body=b"{}"), "four", "unused")
    assert await three.said(await three.ask()) == ("small,medium", "four")
    assert three.entry.metric("disrouter_failovers_total", reason="5xx") == 1


async def test_an_engine_that_gives_no_logprobs_decides_by_its_text(three: Cascade) -> None:
    three.publish(by_chance(three.table()))
    three.scripts(Script(text="four", probe=b'{"error": {"message": "logprobs are not allowed"}}'), "unused", "unused")
    assert await three.said(await three.ask()) == ("small", "four")
    assert len(three.entry.engine.bodies) == 2


async def test_a_hopeless_query_jumps_to_the_agent_that_the_table_names(three: Cascade) -> None:
    three.publish(by_chance(three.table(), JumpRoute(to="large", below=0.3)))
    three.scripts(Script(chances=LIKELY), "unused", "four")
    response = await three.ask()
    assert await three.said(response) == ("small,large", "four")
    assert response.headers["x-disrouter-hops"] == "1"
    assert three.entry.metric("disrouter_jumps_total") == 1
    assert three.agents["medium"].engine.bodies == []


async def test_a_query_that_is_only_doubtful_does_not_jump(three: Cascade) -> None:
    three.publish(by_chance(three.table(), JumpRoute(to="large", below=0.19)))
    three.scripts(Script(chances=LIKELY), "four", "unused")
    assert await three.said(await three.ask()) == ("small,medium", "four")
    assert three.entry.metric("disrouter_jumps_total") == 0


async def test_a_jump_reaches_beyond_the_hop_cap_of_the_long_way(three: Cascade) -> None:
    three.publish(by_chance(three.table(max_hops=2), JumpRoute(to="large", below=0.3)))
    three.scripts(Script(chances=LIKELY), "unused", "four")
    assert await three.said(await three.ask()) == ("small,large", "four")


async def test_who_was_jumped_over_answers_where_nobody_above_can(three: Cascade) -> None:
    three.publish(by_chance(three.table(), JumpRoute(to="large", below=0.3)))
    three.scripts(Script(chances=LIKELY), Script(text="I don't know!", uninstructed="four"), Script(status=500))
    assert await three.said(await three.ask()) == ("small,large,medium", "four")


async def test_who_was_jumped_over_is_left_out_where_the_table_rather_fails(three: Cascade) -> None:
    fallback = Fallback(policy=FallbackPolicy.FAIL)
    three.publish(by_chance(three.table(), JumpRoute(to="large", below=0.3), fallback=fallback))
    three.scripts(Script(chances=LIKELY), "unused", Script(status=500))
    response = await three.ask()
    assert (response.status, response.headers["x-disrouter-path"]) == (503, "small,large")
    assert three.agents["medium"].engine.bodies == []


async def test_a_pinned_agent_is_not_probed(three: Cascade) -> None:
    three.publish(by_chance(three.table()))
    three.entry.engine.script = Script(text="four", chances=LIKELY)
    assert await three.said(await three.ask("qwen/small")) == ("small", "four")
    assert len(three.entry.engine.bodies) == 1


def test_a_completion_is_probed_and_read_in_its_own_shape() -> None:
    probe = probe_fields({"prompt": "2+2?", "model": "m", "stream": True, "echo": True, "user": "u"})
    assert probe == {
        "prompt": "2+2?",
        "model": "m",
        "user": "u",
        "max_tokens": 1,
        "n": 1,
        "stream": False,
        "logprobs": TOP,
    }
    reply = {"choices": [{"text": "I", "logprobs": {"top_logprobs": [{"I": math.log(0.5), " I": math.log(0.25)}]}}]}
    assert signal_of(json.dumps(reply).encode(), TRAINED) == pytest.approx((0.75, 0.0))


def test_what_bends_the_first_token_is_left_out_of_a_probe_and_what_shapes_the_prompt_stays() -> None:
    bent = {"response_format": {}, "tool_choice": "required", "logit_bias": {}, "max_completion_tokens": 9, "n": 4}
    kept = {"messages": [], "tools": [{}], "chat_template_kwargs": {"enable_thinking": False}}
    probe = probe_fields({**bent, **kept})
    assert {key: probe[key] for key in kept} == kept
    assert not bent.keys() & probe.keys() - {"n", "tool_choice"}
    assert (probe["n"], probe["tool_choice"]) == (1, "none")


@given(st.dictionaries(st.sampled_from(["I", " I", "I ", "i", "The", "\n", ""]), st.floats(1e-9, 1.0), min_size=1))
def test_the_chance_is_the_sum_over_every_spelling_and_never_more_than_one(chances: dict[str, float]) -> None:
    expected = min(1.0, sum(chance for token, chance in chances.items() if token.strip() == "I"))
    found = signal_of(probe_of(chances), BY_ODDS)
    assert found is not None
    assert found.refusal == pytest.approx(expected)
    assert found.answer == 0.0


@given(st.binary(max_size=200))
def test_no_reply_makes_it_fail(body: bytes) -> None:
    assert signal_of(body, BY_ODDS) is None
