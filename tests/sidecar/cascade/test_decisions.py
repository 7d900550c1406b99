"""Why a request was answered as it was: each agent's decision, at the sidecar that the client asked and in its log."""

from __future__ import annotations

import json
import logging
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from disrouter.calibration import Calibration, CalibrationPoint
from disrouter.routes import Capabilities, ProbabilityRoute
from disrouter_sidecar.cascade.decision_trail import header_of, tokens_at_end, tokens_text
from disrouter_sidecar.openai.usage import MAX_HEADER, records_of
from disrouter_sidecar.telemetry.decisions import DecisionMemory
from disrouter_sidecar.telemetry.logs import NoLog, line_of
from support.fake_engine import DONE, Script, event, stream_of
from support.origin import origin, saying
from support.sidecars import REFUSAL, Cascade

Why = dict[str, Any]
DOWN = Script(status=503, body=b"{}")


async def why(three: Cascade, request_id: str, agent: str = "small", status: int = 200) -> Why:
    url = f"{three.agents[agent].url}/disrouter/v1/decisions/{request_id}"
    async with three.http.get(url) as response:
        assert response.status == status
        assert response.headers["content-type"] == "application/json"
        found: Why = await response.json()
        return found


async def asked(three: Cascade, request_id: str, status: int = 200, **fields: Any) -> Why:
    """Ask with this id, and then why."""
    response = await three.ask(headers={"x-request-id": request_id}, **fields)
    assert response.status == status
    assert "x-disrouter-decisions" not in response.headers, "that is between sidecars"
    await response.read()
    return await why(three, request_id)


@pytest.mark.parametrize("stream", [False, True])
async def test_each_agents_decision_is_told_where_the_client_asked(three: Cascade, stream: bool) -> None:
    three.scripts(REFUSAL, DOWN, "four")
    found = await asked(three, "r-1", stream=stream, scenario=None)
    small, medium, large = found.pop("decisions")
    assert all(each.pop("milliseconds") >= 0 for each in (small, medium, large))
    if stream:
        assert small.pop("estimated") is True
        assert "completion_tokens" not in large, "this stream reports no usage"
    else:
        assert (small.pop("prompt_tokens"), large.pop("prompt_tokens")) == (1, 1)
        assert large.pop("completion_tokens") == 1
    assert small.pop("completion_tokens") >= 1
    assert small == {"agent": "small", "decision": "refuse", "cost": 0.1}
    assert medium == {"agent": "medium", "decision": "failover", "cost": 0.5, "reason": "cold"}
    assert large == {"agent": "large", "decision": "answer", "cost": 0.9}
    told = ("request_id", "outcome", "model", "stream", "scenario", "pinned", "path", "answered_by", "status", "api")
    assert {name: found[name] for name in told} == {
        "request_id": "r-1",
        "outcome": "answer",
        "model": "qwen",
        "stream": stream,
        "scenario": "balance",
        "pinned": False,
        "path": "small,medium,large",
        "answered_by": "large",
        "status": 200,
        "api": "chat",
    }
    assert [each["agent"] for each in (await why(three, "r-1", "medium"))["decisions"]] == ["medium", "large"]
    assert "four" not in json.dumps(found)


async def test_the_usage_at_the_end_of_a_stream_is_the_answers(three: Cascade) -> None:
    usage = event({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}})
    pieces = [*stream_of("four")[:-1], usage, DONE]
    three.scripts(Script(pieces=pieces, gap=0.01), "unused", "unused")
    (small,) = (await asked(three, "r-2", stream=True))["decisions"]
    assert (small["prompt_tokens"], small["completion_tokens"]) == (7, 2)


async def test_what_a_decision_by_probability_was_made_from_is_told(three: Cascade) -> None:
    points = (CalibrationPoint(refusal=0.0, competence=0.9), CalibrationPoint(refusal=1.0, competence=0.1))
    route = ProbabilityRoute(calibration=Calibration(token="I", points=points), gamma=1.0)
    table = three.table(preference=0.5)
    medium = replace(table.agents["medium"], probability=route)
    three.publish(replace(table, agents={**table.agents, "medium": medium}))
    three.scripts(REFUSAL, Script(text="mid", chances={"I": 0.25, "It": 0.5}), "big")
    decision = (await asked(three, "r-3"))["decisions"][1]
    evidence = {name: decision[name] for name in ("refusal_probability", "competence", "threshold")}
    assert evidence == pytest.approx({"refusal_probability": 0.25, "competence": 0.7, "threshold": 0.5}, abs=1e-6)
    assert (decision["agent"], decision["decision"]) == ("medium", "answer")


async def test_an_agent_that_is_passed_over_unasked_has_no_time(three: Cascade) -> None:
    table = three.table()
    small = replace(table.agents["small"], capabilities=Capabilities(images=False))
    three.publish(replace(table, agents={**table.agents, "small": small}))
    picture = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]
    first, second = (await asked(three, "r-4", messages=[{"role": "user", "content": picture}]))["decisions"]
    assert first == {"agent": "small", "decision": "failover", "cost": 0.1, "reason": "capability"}
    assert second["decision"] == "answer"


async def test_a_request_that_nobody_answers_names_everyone_that_failed(three: Cascade) -> None:
    table = three.table()
    three.publish(replace(table, fallback=replace(table.fallback, policy="fail")))
    three.scripts(REFUSAL, DOWN, DOWN)
    found = await asked(three, "r-5", status=503)
    assert [(each["agent"], each["decision"]) for each in found["decisions"]] == [
        ("small", "refuse"),
        ("medium", "failover"),
        ("large", "failover"),
    ]
    assert (found["outcome"], found["path"]) == ("no_agent_available", "small,medium,large")


async def test_an_agent_that_answers_after_all_has_decided_twice(three: Cascade) -> None:
    three.scripts(REFUSAL, DOWN, DOWN)
    found = await asked(three, "r-6")
    assert [(each["agent"], each["decision"]) for each in found["decisions"]] == [
        ("small", "refuse"),
        ("medium", "failover"),
        ("large", "failover"),
        ("small", "fallback"),
    ]


async def test_of_a_sidecar_that_tells_nothing_only_the_answer_is_known(three: Cascade) -> None:
    """An older one, while a cascade is upgraded."""
    told = {"x-disrouter-agent": "medium", "x-disrouter-path": "small,medium"}
    async with origin(saying("four", told)) as older:
        table = three.table()
        medium = replace(table.agents["medium"], url=older.url)
        three.publish(replace(table, agents={**table.agents, "medium": medium}))
        three.scripts(REFUSAL, "unused", "unused")
        found = (await asked(three, "r-8"))["decisions"]
    assert [(each["agent"], each["decision"], each["cost"]) for each in found] == [
        ("small", "refuse", 0.1),
        ("medium", "answer", 0.5),
    ]


async def test_the_log_says_the_same(three: Cascade, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "disrouter_sidecar.requests")
    three.scripts(REFUSAL, "four", "unused")
    found = await asked(three, "r-7")
    (record,) = [line for line in caplog.records if vars(line)["agent"] == "small"]
    assert vars(record)["decisions"] == found["decisions"]


async def test_an_id_that_nobody_knows_is_said_with_what_to_do(three: Cascade) -> None:
    error = (await why(three, "nobody", status=404))["error"]
    assert error["code"] == "request_not_found"
    assert all(word in error["message"] for word in ("'nobody'", "2048", "keptDecisions", "log"))


async def test_the_oldest_give_way_and_none_are_kept_where_none_are_wanted(three: Cascade) -> None:
    three.publish(three.table(kept_decisions=2))
    for number in range(3):
        await (await three.ask(headers={"x-request-id": f"id-{number}"})).read()
    await why(three, "id-0", status=404)
    assert (await why(three, "id-1"))["request_id"] == "id-1"
    three.publish(three.table(kept_decisions=0))
    await (await three.ask(headers={"x-request-id": "id-3"})).read()
    for number in range(4):
        await why(three, f"id-{number}", status=404)


def test_one_id_that_comes_again_names_the_later_request() -> None:
    memory = DecisionMemory()
    memory.remember("a", NoLog().log("chat", {"outcome": "first"}), 2)
    memory.remember("b", NoLog().log("chat", {}), 2)
    memory.remember("a", NoLog().log("chat", {"outcome": "second"}), 2)
    memory.remember("c", NoLog().log("chat", {}), 2)
    found = memory.find("a")
    assert found is not None
    assert found["outcome"] == "second"
    assert memory.find("b") is None


@pytest.mark.parametrize(
    ("end", "tokens"),
    [
        (b'{"usage":{"prompt_tokens":3,"completion_tokens":4}}', (3, 4)),
        (b'data: {"usage": {"input_tokens": 5 , "output_tokens" : 6}}\n\ndata: [DONE]\n\n', (5, 6)),
        (b'event: message_delta\ndata: {"usage":{"output_tokens":6}}\n\nevent: message_stop\ndata: {}\n\n', (None, 6)),
        (
            b'{"usage":{"completion_tokens_details":{"a":1},"prompt_tokens": 3, "completion_tokens":4},"id":"x"}',
            (3, 4),
        ),
        (b'{"usage":{"prompt_tokens":-1,"completion_tokens":true}}', (None, None)),
        (b'{"usage":{"prompt_tokens":0,"completion_tokens":4}}', (0, 4)),
        (b'{"usage":null}', (None, None)),
        (b'{"usage":{"prompt_tokens":"many"}}', (None, None)),
        (b'"usage"', (None, None)),
        (b"", (None, None)),
    ],
)
def test_an_answers_end_tells_its_tokens(end: bytes, tokens: tuple[int | None, int | None]) -> None:
    told = tokens_at_end(b"x" * 5000 + end)
    assert json.loads('{"x":0' + tokens_text(b"x" * 5000 + end) + "}") == {"x": 0, **told}
    assert (told.get("prompt_tokens"), told.get("completion_tokens")) == tokens


def test_what_is_remembered_takes_no_more_than_its_bytes() -> None:
    tracemalloc.start()
    try:
        lines = [line_of(0.0, "info", "chat", {"request_id": f"{number:0500}"}) for number in range(100)]
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert held < 1.5 * sum(map(len, lines))


@given(st.text(max_size=200) | st.sampled_from(["[1]", '[{"agent": 1}]', "{}", "[" * 5000, '["a"]']))
def test_a_header_that_no_sidecar_writes_tells_nothing(header: str) -> None:
    assert records_of(header) == [] or all(isinstance(each["agent"], str) for each in records_of(header))


@given(st.integers(min_value=0, max_value=400))
def test_a_header_is_bounded_and_keeps_the_first_decisions_and_the_last(count: int) -> None:
    decisions = [{"agent": f"agent-{number}", "decision": "refuse", "cost": 0.5} for number in range(count)]
    header = header_of(decisions)
    assert len(header) <= MAX_HEADER
    kept = records_of(header)
    assert kept == decisions[: max(0, len(kept) - 1)] + decisions[-1:]
    assert len(kept) == count or len(kept) >= 100
