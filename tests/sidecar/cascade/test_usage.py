"""What refused hops used is itemised: in a header of every answer, and in the body of a whole one."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from disrouter_sidecar.openai.usage import Usage, header_of, itemised, records_of
from support.fake_engine import DONE, Script, delta, event, stream_of, whole_of
from support.sidecars import REFUSAL, Cascade

SMALL, MEDIUM = {"agent": "small", "prompt_tokens": 1, "completion_tokens": 1}, {"agent": "medium"}


async def test_a_whole_answer_lists_the_refusals_before_it(three: Cascade) -> None:
    three.scripts(REFUSAL, Script(body=json.dumps({**json.loads(whole_of(REFUSAL)), "usage": None}).encode()), "four")
    response = await three.ask()
    body = await response.json()
    assert body.pop("disrouter") == {"path": ["small", "medium", "large"], "refused": [SMALL, MEDIUM]}
    assert body == json.loads(whole_of("four")), "and its own usage is the answering agent's"
    assert json.loads(response.headers["x-disrouter-refused-usage"]) == [SMALL, MEDIUM]
    tokens = {"cascade": "qwen", "agent": "small"}
    assert three.entry.metric("disrouter_refused_tokens_total", kind="prompt", **tokens) == 1
    assert three.entry.metric("disrouter_refused_tokens_total", kind="completion", **tokens) == 1


async def test_a_stream_stays_as_it_is_and_its_head_tells(three: Cascade) -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 2}
    told = event({"choices": [{"index": 0, "delta": {"content": REFUSAL}, "finish_reason": None}], "usage": usage})
    three.scripts("I don't know!", Script(pieces=[told, DONE]), "four")
    response = await three.ask(stream=True)
    assert await response.read() == b"".join(stream_of("four"))
    assert json.loads(response.headers["x-disrouter-refused-usage"]) == [
        {"agent": "small", "completion_tokens": 3, "estimated": True},
        {"agent": "medium", **usage},
    ]


async def test_an_answer_of_the_first_agent_is_untouched(three: Cascade) -> None:
    response = await three.ask()
    assert await response.read() == whole_of("four")
    assert "x-disrouter-refused-usage" not in response.headers


async def test_an_error_after_a_refusal_keeps_its_shape(three: Cascade) -> None:
    error = b'{"error": {"message": "temperature must be positive", "code": 400}}'
    three.scripts(REFUSAL, Script(status=400, body=error), "unused")
    response = await three.ask()
    assert response.status == 400
    assert await response.read() == error


async def test_a_stream_that_refuses_after_an_empty_delta_counts_its_text_alone(three: Cascade) -> None:
    three.scripts(Script(pieces=[delta(content=""), delta(content="I don't know!")]), "four", "unused")
    response = await three.ask(stream=True)
    assert json.loads(response.headers["x-disrouter-refused-usage"])[0]["completion_tokens"] == 1


EXTENSION = b',"disrouter":{"path":["small"],"refused":[]}}'


@given(st.binary(max_size=200), st.text(max_size=50))
def test_no_body_and_no_header_breaks_it(body: bytes, header: str) -> None:
    records_of(header)
    assert header_of("small", Usage(), header).startswith('[{"agent":"small"}')
    changed = itemised(body, "small", "[]")
    assert changed == body or changed == body.rstrip()[:-1] + EXTENSION


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), min_size=1, max_size=4))
def test_an_object_keeps_its_fields_and_gets_one_more(fields: dict[str, object]) -> None:
    body = json.dumps(fields).encode()
    assert itemised(body, "small", "[]") == body[:-1] + EXTENSION
    assert json.loads(itemised(body, "small", "[]")) == fields | {"disrouter": {"path": ["small"], "refused": []}}


def test_what_is_no_object_is_left_alone() -> None:
    for body in (b"", b"{}", b"[]", b"[{}]", b"text", b"{ "):
        assert itemised(body, "a", "[]") == body
