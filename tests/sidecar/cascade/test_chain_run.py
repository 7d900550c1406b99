"""Which agent answers, and what each engine is asked."""

from __future__ import annotations

import json
from typing import Any

from msgspec.structs import replace

from disrouter.routes import Awareness
from disrouter.scenario import PROMPTED_SUFFIX, Scenario, prompt_of
from disrouter.terms import PreferenceEncoding
from support.fake_engine import Script, stream_of, whole_of
from support.sidecars import REFUSAL, Cascade


async def test_an_answer_of_the_entry_reaches_the_client_verbatim(three: Cascade) -> None:
    response = await three.ask()
    assert await response.read() == whole_of("four")
    assert response.status == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-disrouter-agent"] == "small"
    assert response.headers["x-disrouter-path"] == "small"
    assert response.headers["x-disrouter-hops"] == "0"
    assert response.headers["x-disrouter-scenario"] == "balance"


async def test_refusals_travel_to_the_last_agent(three: Cascade) -> None:
    three.scripts(REFUSAL, REFUSAL, "forty-two")
    response = await three.ask()
    assert await three.said(response) == ("small,medium,large", "forty-two")
    assert response.headers["x-disrouter-agent"] == "large"
    assert response.headers["x-disrouter-hops"] == "2"


async def test_a_stream_is_relayed_verbatim(three: Cascade) -> None:
    response = await three.ask(stream=True)
    assert await response.read() == b"".join(stream_of("four"))
    assert response.headers["content-type"] == "text/event-stream"
    assert three.entry.engine.bodies[0]["stream"] is True


async def test_a_refused_stream_leaves_no_trace_of_the_refusal(three: Cascade) -> None:
    three.scripts(REFUSAL, "it is I don't know! who said so", "unused")
    response = await three.ask(stream=True)
    assert await response.read() == b"".join(stream_of("it is I don't know! who said so"))
    assert response.headers["x-disrouter-path"] == "small,medium"
    assert three.agents["large"].engine.bodies == []


async def test_the_last_agent_never_refuses(three: Cascade) -> None:
    three.scripts(REFUSAL, REFUSAL, REFUSAL)
    assert await three.said(await three.ask()) == ("small,medium,large", REFUSAL)
    response = await three.ask(stream=True)
    assert await response.read() == b"".join(stream_of(REFUSAL))


async def test_engines_are_asked_in_the_mode_of_the_client(three: Cascade) -> None:
    await three.ask()
    assert "stream" not in three.entry.engine.bodies[0]


async def test_every_agent_but_the_last_is_instructed_and_the_original_travels_on(three: Cascade) -> None:
    three.scripts(REFUSAL, REFUSAL, "four")
    fields: dict[str, Any] = {"temperature": 0.5, "logit_bias": {"1": 2}, "disrouter": {"scenario": "cost-first"}}
    response = await three.ask(**fields)
    assert response.headers["x-disrouter-scenario"] == "cost-first"
    small, medium, large = (agent.engine.bodies[0] for agent in three.agents.values())
    assert small["messages"][0]["content"] == f"{Scenario.COST_FIRST.prompt}\n2+2?"
    assert medium["messages"] == small["messages"]
    assert large["messages"] == [{"role": "user", "content": "2+2?"}]
    for name, body in zip(three.agents, (small, medium, large), strict=True):
        assert body["model"] == f"engine-{name}"
        assert body["temperature"] == 0.5
        assert body["logit_bias"] == {"1": 2}
        assert "disrouter" not in body


async def test_a_prompted_agent_is_told_the_words_of_a_refusal(three: Cascade) -> None:
    table = three.table()
    small = replace(table.agents["small"], awareness=Awareness.PROMPTED)
    three.publish(replace(table, agents={**table.agents, "small": small}))
    await three.ask()
    assert PROMPTED_SUFFIX in three.entry.engine.bodies[0]["messages"][0]["content"]


async def test_an_unaware_agent_with_a_successor_passes_its_words_through(three: Cascade) -> None:
    table = three.table()
    small = replace(table.agents["small"], awareness=Awareness.NONE)
    three.publish(replace(table, agents={**table.agents, "small": small}))
    three.scripts(REFUSAL, "unused", "unused")
    assert await three.said(await three.ask()) == ("small", REFUSAL)
    assert three.entry.engine.bodies[0]["messages"][0]["content"] == "2+2?"


async def test_a_pin_goes_straight_to_its_agent_which_may_not_refuse(three: Cascade) -> None:
    three.scripts("small talk", REFUSAL, "unused")
    response = await three.ask("qwen/medium")
    assert await three.said(response) == ("medium", REFUSAL)
    assert response.headers["x-disrouter-hops"] == "0"
    assert "x-disrouter-scenario" not in response.headers
    assert three.agents["medium"].engine.bodies[0]["messages"] == [{"role": "user", "content": "2+2?"}]
    assert three.entry.engine.bodies == []


async def test_a_pin_on_the_agent_of_the_sidecar_itself(three: Cascade) -> None:
    three.scripts(REFUSAL, "unused", "unused")
    response = await three.ask("qwen/small", stream=True)
    assert await response.read() == b"".join(stream_of(REFUSAL))
    assert response.headers["x-disrouter-path"] == "small"


async def test_with_several_choices_all_must_refuse(three: Cascade) -> None:
    three.entry.engine.script = Script(body=whole_of(REFUSAL, "four"))
    assert (await three.ask(n=2)).headers["x-disrouter-path"] == "small"
    three.entry.engine.script = Script(body=whole_of(REFUSAL, "I don’t know"))
    assert (await three.ask(n=2)).headers["x-disrouter-path"] == "small,medium"
    three.entry.engine.script = Script(pieces=stream_of(REFUSAL, choices=2))
    assert (await three.ask(n=2, stream=True)).headers["x-disrouter-path"] == "small,medium"


async def test_the_wish_of_the_body_beats_the_header_and_a_preference_finds_its_scenario(three: Cascade) -> None:
    header = {"x-disrouter-scenario": "Performance_First"}
    assert (await three.ask(headers=header)).headers["x-disrouter-scenario"] == "performance-first"
    both = await three.ask(headers=header, disrouter={"preference": 0.9})
    assert both.headers["x-disrouter-scenario"] == "cost-first"
    number = await three.ask(headers={"x-disrouter-preference": "0.3"})
    assert number.headers["x-disrouter-scenario"] == "performance-first"


async def test_an_agent_that_was_taught_numbers_is_told_the_number_and_the_others_their_nearest_scenario(
    three: Cascade,
) -> None:
    table = three.table()
    small = replace(table.agents["small"], preference_encoding=PreferenceEncoding.CONTINUOUS)
    three.publish(replace(table, agents={**table.agents, "small": small}))
    three.scripts(REFUSAL, "four", "unused")
    assert (await three.ask(disrouter={"preference": 0.734})).headers["x-disrouter-path"] == "small,medium"
    await three.ask(disrouter={"scenario": "cost-first"})
    number, scenario = (body["messages"][0]["content"] for body in three.entry.engine.bodies)
    assert number.startswith(prompt_of(0.73))
    assert scenario.startswith(Scenario.COST_FIRST.prompt), "a scenario by name was taught as well"
    assert three.agents["medium"].engine.bodies[0]["messages"][0]["content"].startswith(Scenario.COST_FIRST.prompt)


async def test_the_wish_in_a_header_reaches_the_agents_behind(three: Cascade) -> None:
    three.scripts(REFUSAL, "four", "unused")
    response = await three.ask(headers={"x-disrouter-scenario": "cost-first"})
    assert response.headers["x-disrouter-scenario"] == "cost-first"
    content = three.agents["medium"].engine.bodies[0]["messages"][0]["content"]
    assert content.startswith(Scenario.COST_FIRST.prompt)


async def test_a_key_of_the_client_stays_at_the_door_and_the_request_id_goes_all_the_way(three: Cascade) -> None:
    three.scripts(REFUSAL, REFUSAL, "four")
    response = await three.ask(headers={"authorization": "Bearer secret", "cookie": "a=b", "x-request-id": "abc-1"})
    assert response.headers["x-request-id"] == "abc-1"
    for agent in three.agents.values():
        seen = agent.engine.headers[0]
        assert seen["x-request-id"] == "abc-1"
        assert "authorization" not in seen
        assert "cookie" not in seen


async def test_an_agent_that_left_the_table_hands_late_requests_on(three: Cascade) -> None:
    table = three.table()
    agents = {name: route for name, route in table.agents.items() if name != "medium"}
    agents["small"] = replace(agents["small"], next="large")
    three.publish(replace(table, agents=agents))
    late = await three.ask(agent="medium", headers={"x-disrouter-path": "small"})
    assert await three.said(late) == ("small,medium,large", "four")
    lost = await three.ask(agent="medium")
    assert await three.said(lost) == ("medium,small", "four")


async def test_the_original_bytes_are_what_is_forwarded(three: Cascade) -> None:
    """Odd but valid JSON arrives at the last engine with the same meaning, after three parses of the same bytes."""
    three.scripts(REFUSAL, REFUSAL, "four")
    message = b'{"content":"\\u00e9 \\/ \xc3\xa9","role":"user"}'
    raw = b'{ "messages":[' + message + b'],\n "model" : "qwen", "seed": 9007199254740993}'
    assert await three.said(await three.post(raw)) == ("small,medium,large", "four")
    assert three.agents["large"].engine.bodies[0] == json.loads(raw) | {"model": "engine-large"}
