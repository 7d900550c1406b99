"""Plain completions and the responses API are routed like chats: instructed, refused, streamed, passed through."""

from __future__ import annotations

import json
from typing import Any

import pytest

from disrouter.scenario import Scenario
from disrouter_sidecar.decision.stream import StreamDecider
from disrouter_sidecar.decision.verdict import Verdict
from disrouter_sidecar.decision.whole import decide_whole
from disrouter_sidecar.openai import Chat, Completions, Dialect, Responses
from support.fake_engine import DONE, Script, event
from support.sidecars import REFUSAL, Cascade

ANSWER, REFUSE, EMPTY = Verdict.ANSWER, Verdict.REFUSE, Verdict.EMPTY
BALANCE = Scenario.BALANCE.prompt


def completion(*texts: str, finish: str = "stop") -> bytes:
    choices = [{"index": index, "text": text, "finish_reason": finish} for index, text in enumerate(texts)]
    return json.dumps({"id": "c", "object": "text_completion", "choices": choices}).encode()


def chunk(text: str, index: int = 0, finish: str | None = None) -> bytes:
    return event({"object": "text_completion", "choices": [{"index": index, "text": text, "finish_reason": finish}]})


def message(text: str, kind: str = "output_text") -> dict[str, Any]:
    return {"type": "message", "role": "assistant", "content": [{"type": kind, "text": text}]}


def response(*items: dict[str, Any], **fields: Any) -> bytes:
    return json.dumps({"id": "r", "object": "response", "status": "completed", "output": items, **fields}).encode()


def typed(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\n".encode() + event({"type": kind, **fields})


def response_stream(*words: str) -> list[bytes]:
    start = [typed("response.created", response={"output": []}), typed("response.in_progress", response={})]
    added = typed("response.output_item.added", item={"type": "message", "content": []})
    deltas = [typed("response.output_text.delta", delta=word, output_index=0, content_index=0) for word in words]
    return [*start, added, *deltas, typed("response.completed", response={"output": [message("".join(words))]})]


CUT = {"incomplete_details": {"reason": "max_output_tokens"}}
CALL = {"type": "function_call", "name": "f", "arguments": "{}"}
THOUGHT = {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "hm"}]}
WHOLE: list[tuple[str, Dialect, bytes, Verdict]] = [
    ("a completion that answers", Completions(), completion("four"), ANSWER),
    ("a completion that refuses", Completions(), completion(" " + REFUSAL), REFUSE),
    ("one of two refuses", Completions(), completion(REFUSAL, "four"), ANSWER),
    ("both refuse", Completions(), completion(REFUSAL, REFUSAL), REFUSE),
    ("a completion cut off in the refusal", Completions(), completion("I don't", finish="length"), REFUSE),
    ("no choices", Completions(), b"{}", EMPTY),
    ("a response that answers", Responses(), response(message("four")), ANSWER),
    ("a response that refuses", Responses(), response(message(REFUSAL)), REFUSE),
    ("thoughts first", Responses(), response(THOUGHT, message(REFUSAL)), REFUSE),
    ("a call of a tool", Responses(), response(CALL), ANSWER),
    ("a refusal and a call", Responses(), response(message(REFUSAL), CALL), ANSWER),
    ("a provider's own refusal", Responses(), response(message(REFUSAL, "refusal")), ANSWER),
    ("a response cut off in the refusal", Responses(), response(message("I don't"), **CUT), REFUSE),
    ("nothing", Responses(), response(), EMPTY),
    ("a completion read as a chat", Chat(), completion(REFUSAL), EMPTY),
]


@pytest.mark.parametrize(("dialect", "body", "expected"), [row[1:] for row in WHOLE], ids=[row[0] for row in WHOLE])
def test_a_whole_reply_decides(dialect: Dialect, body: bytes, expected: Verdict) -> None:
    assert decide_whole(dialect, body).verdict is expected


STREAMS: list[tuple[str, Dialect, list[bytes], Verdict]] = [
    ("text", Completions(), [chunk("four"), chunk("", finish="stop"), DONE], ANSWER),
    ("refused", Completions(), [chunk("I don't "), chunk("know!"), chunk("", finish="stop"), DONE], REFUSE),
    ("events", Responses(), response_stream("fo", "ur"), ANSWER),
    ("events that refuse", Responses(), response_stream("I don't ", "know", "!"), REFUSE),
    ("events of thought", Responses(), [typed("response.reasoning_text.delta"), *response_stream(REFUSAL)], REFUSE),
    ("a call", Responses(), [typed("response.output_item.added", item=CALL)], ANSWER),
    ("cut off", Responses(), [*response_stream("I don't")[:-1], typed("response.incomplete", response=CUT)], REFUSE),
]


@pytest.mark.parametrize(
    ("dialect", "pieces", "expected"), [row[1:] for row in STREAMS], ids=[row[0] for row in STREAMS]
)
def test_a_stream_decides_however_it_is_cut(dialect: Dialect, pieces: list[bytes], expected: Verdict) -> None:
    whole = b"".join(pieces)
    for size in (1, 7, len(whole)):
        decider = StreamDecider(dialect)
        for start in range(0, len(whole), size):
            decider.feed(whole[start : start + size])
        assert decider.finish() is expected


def test_a_response_that_fails_before_it_decides_is_an_error() -> None:
    for failed in (
        typed("response.failed", response={"error": {"code": "server_error", "message": "x"}}),
        typed("error", message="x"),
    ):
        decider = StreamDecider(Responses())
        decider.feed(typed("response.created", response={}) + failed)
        assert decider.error is not None
        assert decider.error["message"] == "x"


async def test_a_prompt_is_instructed_and_forwarded_as_it_was(three: Cascade) -> None:
    three.entry.engine.script = Script(body=completion(REFUSAL))
    three.agents["medium"].engine.script = Script(body=completion("4"))
    reply = await three.send(
        "/completions", {"model": "qwen", "prompt": "2+2=", "suffix": "!", "disrouter": {"preference": 0.5}}
    )
    assert await reply.read() != b""
    assert reply.headers["x-disrouter-path"] == "small,medium"
    for name in ("small", "medium"):
        assert three.agents[name].engine.bodies == [
            {"model": f"engine-{name}", "prompt": f"{BALANCE}\n2+2=", "suffix": "!"}
        ]
        assert three.agents[name].engine.paths == ["/v1/completions"]


async def test_every_prompt_of_several_is_instructed_and_one_answer_answers(three: Cascade) -> None:
    three.entry.engine.script = Script(body=completion(REFUSAL, "4"))
    reply = await three.send("/completions", {"model": "qwen", "prompt": ["a", "b"]})
    assert reply.headers["x-disrouter-path"] == "small"
    assert three.entry.engine.bodies[0]["prompt"] == [f"{BALANCE}\na", f"{BALANCE}\nb"]


@pytest.mark.parametrize(
    "fields", [{"prompt": [1, 2]}, {"prompt": [[1], [2]]}, {"prompt": "x", "echo": True}, {"prompt_embeds": "AA=="}]
)
async def test_what_cannot_be_instructed_goes_untouched_to_the_last_agent(
    three: Cascade, fields: dict[str, Any]
) -> None:
    three.agents["large"].engine.script = Script(body=completion(REFUSAL))
    reply = await three.send("/completions", {"model": "qwen", **fields})
    assert reply.status == 200
    assert reply.headers["x-disrouter-agent"] == "large"
    assert three.agents["large"].engine.bodies == [{"model": "engine-large", **fields}]
    assert three.entry.engine.bodies == three.agents["medium"].engine.bodies == []


async def test_token_ids_can_be_pinned_to_another_agent(three: Cascade) -> None:
    three.agents["medium"].engine.script = Script(body=completion("4"))
    reply = await three.send("/completions", {"model": "qwen/medium", "prompt": [1, 2]})
    assert reply.headers["x-disrouter-agent"] == "medium"


async def test_streamed_completions_are_relayed_byte_for_byte(three: Cascade) -> None:
    pieces = [chunk("four "), chunk("it is"), chunk("", finish="stop"), DONE]
    three.entry.engine.script = Script(pieces=[chunk("I don't know!")], then="hang")
    three.agents["medium"].engine.script = Script(pieces=pieces)
    reply = await three.send("/completions", {"model": "qwen", "prompt": "x", "stream": True})
    assert await reply.read() == b"".join(pieces)
    assert reply.headers["x-disrouter-path"] == "small,medium"


async def test_a_response_is_instructed_in_its_text_or_its_first_message(three: Cascade) -> None:
    three.entry.engine.script = Script(body=response(message("4")))
    items = [
        {"role": "developer", "content": "be brief"},
        {"role": "user", "content": [{"type": "input_text", "text": "q"}]},
    ]
    for given in ("q", items):
        assert (await three.send("/responses", {"model": "qwen", "input": given})).status == 200
    text, messages = (body["input"] for body in three.entry.engine.bodies)
    assert text == f"{BALANCE}\nq"
    assert messages == [
        items[0],
        {
            "role": "user",
            "content": [{"type": "input_text", "text": f"{BALANCE}\n"}, {"type": "input_text", "text": "q"}],
        },
    ]


async def test_streamed_responses_are_relayed_byte_for_byte(three: Cascade) -> None:
    three.entry.engine.script = Script(pieces=response_stream(REFUSAL))
    three.agents["medium"].engine.script = Script(pieces=response_stream("it is ", "four"))
    reply = await three.send("/responses", {"model": "qwen", "input": "x", "stream": True})
    assert await reply.read() == b"".join(response_stream("it is ", "four"))
    assert reply.headers["x-disrouter-path"] == "small,medium"


@pytest.mark.parametrize(
    ("path", "fields", "param"),
    [
        ("/completions", {}, "prompt"),
        ("/completions", {"prompt": 1}, "prompt"),
        ("/completions", {"prompt": []}, "prompt"),
        ("/completions", {"prompt": ["a", 1]}, "prompt"),
        ("/responses", {}, "input"),
        ("/responses", {"input": []}, "input"),
        ("/responses", {"input": ["a"]}, "input[0]"),
        ("/responses", {"input": [{"role": "user", "content": 1}]}, "input[0].content"),
        ("/responses", {"input": "x", "background": True}, "background"),
        ("/responses", {"input": "x", "previous_response_id": "r"}, "previous_response_id"),
    ],
)
async def test_a_wrong_request_names_its_field(three: Cascade, path: str, fields: dict[str, Any], param: str) -> None:
    reply = await three.send(path, {"model": "qwen", **fields})
    assert reply.status == 400
    assert (await reply.json())["error"]["param"] == param


async def test_a_pinned_agent_may_refer_to_its_own_kept_answers(three: Cascade) -> None:
    three.entry.engine.script = Script(body=response(message("4")))
    reply = await three.send("/responses", {"model": "qwen/small", "input": "x", "previous_response_id": "r"})
    assert reply.status == 200
    assert three.entry.engine.bodies[0]["previous_response_id"] == "r"


async def test_an_api_that_no_engine_offers_says_so(three: Cascade) -> None:
    for agent in three.agents.values():
        agent.engine.script = Script(status=404, body=b'{"detail":"Not Found"}')
    reply = await three.send("/responses", {"model": "qwen", "input": "x"})
    error = (await reply.json())["error"]
    assert reply.status == 404
    assert error["code"] == "unsupported_api"
    assert "/v1/chat/completions" in error["message"]


async def test_an_engine_without_the_api_is_passed_over(three: Cascade) -> None:
    three.entry.engine.script = Script(status=404, body=b'{"detail":"Not Found"}')
    three.agents["medium"].engine.script = Script(body=response(message("4")))
    reply = await three.send("/responses", {"model": "qwen", "input": "x"})
    assert reply.headers["x-disrouter-path"] == "small,medium"
    assert three.entry.metric("disrouter_failovers_total", reason="unsupported") == 1
