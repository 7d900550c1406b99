"""Replies as real engines and gateways write them, byte for byte: no refusal reaches the client, every answer does."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from support.fake_engine import Script, delta, event, stream_of, whole_of
from support.raw_engine import Body, RawEngine, RawReply, raw_engine
from support.sidecars import REFUSAL, Cascade, cascade

DONE = b"data: [DONE]\n\n"
SSE = "text/event-stream"
FOUR = b"".join(stream_of("four"))


class Small:
    """A cascade whose first engine says what it is told, before two that answer `four`."""

    def __init__(self, built: Cascade, engine: RawEngine) -> None:
        self.cascade = built
        self.engine = engine

    def says(self, *pieces: bytes, **fields: Any) -> None:
        self.engine.answer = lambda _: RawReply(list(pieces), **fields)

    def answers(self, answer: Callable[[Body], RawReply]) -> None:
        self.engine.answer = answer

    async def ask(self, **fields: Any) -> tuple[str, bytes]:
        """The path and the body."""
        response = await self.cascade.ask(**fields)
        assert response.status == 200, await response.text()
        return response.headers["x-disrouter-path"], await response.content.read()


@pytest.fixture
async def small(tmp_path: Path) -> AsyncIterator[Small]:
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(raw_engine(lambda _: RawReply([whole_of("four")])))
        only = {"small": {"engine_url": engine.url}}
        built = await stack.enter_async_context(cascade(tmp_path, only=only))
        built.http = await stack.enter_async_context(aiohttp.ClientSession(auto_decompress=False))
        built.scripts("unused", "four", "four")
        yield Small(built, engine)


def chunk(content: Any, finish: Any = None, **fields: Any) -> bytes:
    return event({"choices": [{"index": 0, "delta": {"content": content, **fields}, "finish_reason": finish}]})


def chunks(*contents: Any, finish: Any = "stop", between: Any = None) -> bytes:
    """A stream of these contents; `between` is the finish reason of all but the last chunk."""
    role = event({"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": between}]})
    return role + b"".join(chunk(text, between) for text in contents) + chunk(None, finish) + DONE


def whole(content: Any, finish: Any = "stop", **message: Any) -> bytes:
    said = {"role": "assistant", "content": content, **message}
    return json.dumps({"choices": [{"index": 0, "message": said, "finish_reason": finish}]}).encode()


PIECES = ("I", " don", "'t", " know", "!")
REFUSING_STREAMS: list[tuple[str, bytes, dict[str, Any]]] = [
    ("finish reason empty", chunks(*PIECES, between=""), {}),
    ("finish reason the word null", chunks(*PIECES, between="null"), {}),
    ("finish reason of an unknown word", chunks(*PIECES, between="running"), {}),
    ("finish reason in capitals", chunks(*PIECES, finish="STOP"), {}),
    ("content as parts", chunks([{"type": "text", "text": "I don't"}], [{"type": "text", "text": " know!"}]), {}),
    ("thinking parts", chunks([{"type": "thinking", "thinking": [{"type": "text", "text": "x"}]}], REFUSAL), {}),
    ("content as bare strings", chunks(["I don't ", "know!"]), {}),
    ("capitals in the media type", chunks(*PIECES), {"content_type": "Text/Event-Stream; charset=utf-8"}),
    ("another media type", chunks(*PIECES), {"content_type": "application/json"}),
    ("no media type", chunks(*PIECES), {"content_type": None}),
    ("a byte order mark", b"\xef\xbb\xbf" + chunks(*PIECES), {}),
    ("the mark under another type", b"\xef\xbb\xbf" + chunks(*PIECES), {"content_type": "text/plain"}),
    ("lines that end in CR", chunks(*PIECES).replace(b"\n", b"\r"), {}),
    ("lines that end in CRLF", chunks(*PIECES).replace(b"\n", b"\r\n"), {}),
    ("comments", b": hi\n\n:\n\n" + chunks(*PIECES).replace(b"\n\n", b"\n: x\n\n"), {}),
    ("comments under another type", b": hi\n\n" + chunks(*PIECES), {"content_type": "application/octet-stream"}),
    ("no blank", chunks(*PIECES).replace(b"data: ", b"data:"), {}),
    ("an event over several lines", chunks(*PIECES).replace(b'{"choices": ', b'{"choices":\ndata: '), {}),
    ("other fields", b"retry: 5\nid: 1\nevent: message\n" + chunks(*PIECES), {}),
    ("a name without a colon", b"data\n\nid\n\n" + chunks(*PIECES), {}),
    ("gzip", gzip.compress(chunks(*PIECES)), {"headers": {"content-encoding": "gzip"}}),
    (
        "gzip under another type",
        gzip.compress(chunks(*PIECES)),
        {"content_type": "x/y", "headers": {"content-encoding": "x-gzip"}},
    ),
    ("deflate", zlib.compress(chunks(*PIECES)), {"headers": {"content-encoding": "deflate"}}),
    ("raw deflate", zlib.compress(chunks(*PIECES))[2:-4], {"headers": {"content-encoding": "Deflate"}}),
    ("NaN", chunks(*PIECES).replace(b'"index": 0', b'"index": 0, "logprob": NaN'), {}),
    ("-Infinity", chunks(*PIECES).replace(b'"index": 0', b'"index": 0, "logprob": -Infinity'), {}),
    ("a lone surrogate", chunks(*PIECES).replace(b'"index": 0', b'"index": 0, "x": "\\ud83d"'), {}),
    ("invisible characters", chunks("\u200b\ufeff", *PIECES), {}),
    ("special tokens", chunks("<|im_start|>", "assistant\n", *PIECES, "<|im_end|>"), {}),
    ("an entity", chunks("I don", "&#3", "9;t know!"), {}),
    ("a block of reasoning beyond 256 KiB", chunks("<think>", *["x" * 1000] * 400, "</think>", *PIECES), {}),
    (
        "reasoning beyond 256 KiB",
        chunks(*[""] * 1)[: -len(DONE)]
        + b"".join(chunk(None, reasoning_content="x" * 1000) for _ in range(400))
        + chunks(*PIECES),
        {},
    ),
    ("an index of null", chunks(*PIECES).replace(b'"index": 0', b'"index": null'), {}),
    ("an index of one", chunks(*PIECES).replace(b'"index": 0', b'"index": 1'), {}),
    ("a limit at the first word", chunks("I", finish="length"), {}),
    ("no end at all", chunk("I don't know"), {}),
    ("no closing blank line", (chunk("I don't know") + chunk(None, "stop")).rstrip(b"\n"), {}),
    ("a whole reply to a stream", whole(REFUSAL), {"content_type": "application/json"}),
    ("a string for content of null", event({"choices": [{"delta": {"content": None}}]}) + chunks(*PIECES), {}),
]
FAILING_STREAMS: list[tuple[str, bytes, dict[str, Any]]] = [
    ("only the end", DONE, {}),
    ("nothing", b": hi\n\n", {}),
    ("no content", chunks("", None, finish="stop"), {}),
    ("blanks", chunks(" \n", finish="stop"), {}),
    (
        "reasoning that is cut",
        event({"choices": [{"delta": {"reasoning_content": "hm"}, "finish_reason": "length"}]}) + DONE,
        {},
    ),
    ("a typed error", b'event: error\ndata: {"message": "boom"}\n\n', {}),
    ("a typed error of words", b"event: error\ndata: boom\n\n", {}),
    ("an error of words", event({"error": "boom"}), {}),
    (
        "an error after a role",
        delta(role="assistant", content="") + event({"error": {"message": "boom", "code": "503"}}),
        {},
    ),
    ("no JSON", b"data: what?\n\n" + FOUR, {}),
    ("an encoding that nobody knows", b"xx", {"headers": {"content-encoding": "br"}}),
    ("what is not gzip", b"xx", {"headers": {"content-encoding": "gzip"}}),
]
REFUSING_WHOLES: list[tuple[str, bytes, dict[str, Any]]] = [
    ("parts", whole([{"type": "text", "text": REFUSAL}]), {}),
    ("thinking parts", whole([{"type": "thinking", "thinking": "x"}, {"type": "text", "text": REFUSAL}]), {}),
    ("a thought that only closes", whole("The year is unclear to me.</think>\n\nI don't know!"), {}),
    ("gzip", gzip.compress(whole(REFUSAL)), {"headers": {"content-encoding": "gzip"}}),
    ("NaN", whole(REFUSAL).replace(b'"index"', b'"logprob": NaN, "index"'), {}),
    ("a byte order mark", b"\xef\xbb\xbf" + whole(REFUSAL), {}),
    ("broken UTF-8 beside it", whole(REFUSAL).replace(b'"index"', b'"x": "\xff", "index"'), {}),
    ("an entity", whole("I don&#39;t know!"), {}),
    ("escapes", whole(REFUSAL).replace(b"don", b"d\\u006fn"), {}),
    ("invisible characters inside", whole("I do\u200bn't know!"), {}),
    ("special tokens", whole("<|im_start|>assistant\nI don't know!<|im_end|>"), {}),
    ("a stream to a whole request", chunks(*PIECES), {}),
    ("a stream to a whole request by name", chunks(*PIECES), {"content_type": SSE}),
    ("a limit", whole("I don", finish="length"), {}),
    ("a limit in capitals", whole("I", finish="MAX_TOKENS"), {}),
    ("more than a mebibyte of numbers", whole(REFUSAL)[:-1] + b', "prompt_logprobs": [' + b"1," * 700_000 + b"1]}", {}),
    ("a list around it", b"[" + whole(REFUSAL) + b"]", {}),
]
FAILING_WHOLES: list[tuple[str, bytes, dict[str, Any]]] = [
    ("no content", whole(""), {}),
    ("null and reasoning, cut", whole(None, finish="length", reasoning_content="hm"), {}),
    ("an error of words", b'{"error": "boom"}', {}),
    ("an error", b'{"error": {"message": "boom", "code": 502}}', {}),
    ("an error that quotes the request", b'{"error":{"message":"boom","request":' + whole("four") + b"}}", {}),
    ("an error behind a text", whole("four").replace(b"}]", b'}], "error": {"message": "boom"}', 1), {}),
    ("an error by its object", b'{"object": "error", "message": "boom", "code": 500}', {}),
    ("no choices", b'{"choices": []}', {}),
    ("a page", b"<html>sign in</html>", {"content_type": "text/html"}),
    ("nothing", b"", {}),
    ("half a reply", whole("four")[:-9], {}),
    ("half a reply without blanks", whole("four").replace(b": ", b":")[:-9], {}),
    ("an encoding that nobody knows", b"xx", {"headers": {"content-encoding": "zstd"}}),
]


def rows(table: list[tuple[str, bytes, dict[str, Any]]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(("body", "fields"), [row[1:] for row in table], ids=[row[0] for row in table])


@rows(REFUSING_STREAMS + FAILING_STREAMS)
async def test_a_stream_that_refuses_or_fails_goes_on_to_the_next_agent(
    small: Small, body: bytes, fields: dict[str, Any]
) -> None:
    small.says(body, **{"content_type": SSE, **fields})
    assert await small.ask(stream=True) == ("small,medium", FOUR)


@rows(REFUSING_WHOLES + FAILING_WHOLES)
async def test_a_whole_reply_that_refuses_or_fails_goes_on_to_the_next_agent(
    small: Small, body: bytes, fields: dict[str, Any]
) -> None:
    small.says(body, **fields)
    path, answer = await small.ask()
    assert (path, json.loads(answer)["choices"][0]["message"]["content"]) == ("small,medium", "four")


ANSWERING_STREAMS: list[tuple[str, bytes, dict[str, Any]]] = [
    (name, body.replace(b"I don't know!", b"Rome").replace(b'"I"', b'"Rome"'), fields)
    for name, body, fields in (
        ("finish reason empty", chunks("Ro", "me", between=""), {}),
        ("parts", chunks([{"type": "text", "text": "Rome"}]), {}),
        ("an image", chunks([{"type": "image_url", "image_url": {"url": "x"}}]), {}),
        ("another media type", chunks("Rome"), {"content_type": "application/json"}),
        ("CR", chunks("Rome").replace(b"\n", b"\r"), {}),
        ("gzip", gzip.compress(chunks("Rome")), {"headers": {"content-encoding": "gzip"}}),
        ("NaN", chunks("Rome").replace(b'"index": 0', b'"index": 0, "x": NaN'), {}),
        ("the tag of a role", chunks("<|im_start|>assistant\n", "Rome"), {}),
        ("an entity", chunks("&amp;", " so on"), {}),
        ("an answer of one letter", chunks("I"), {}),
        ("an answer of a tag", chunks("<b>", "x"), {}),
        (
            "a tool call",
            chunks(None, finish="tool_calls")[:0]
            + event({"choices": [{"delta": {"tool_calls": [{"function": {"name": "f"}}]}}]}),
            {},
        ),
        ("a filter", event({"choices": [{"delta": {}, "finish_reason": "content_filter"}]}) + DONE, {}),
        (
            "much reasoning",
            b"".join(chunk(None, reasoning_content="x" * 1000) for _ in range(400)) + chunks("Rome"),
            {},
        ),
    )
]
ANSWERING_WHOLES: list[tuple[str, bytes, dict[str, Any]]] = [
    ("parts", whole([{"type": "text", "text": "Rome"}]), {}),
    ("gzip", gzip.compress(whole("Rome")), {"headers": {"content-encoding": "gzip"}}),
    ("NaN", whole("Rome").replace(b'"index"', b'"x": NaN, "index"'), {}),
    ("a tool call", whole(None, finish="tool_calls", tool_calls=[{"function": {"name": "f"}}]), {}),
    ("a policy", whole(None, refusal="I can't help with that"), {}),
    ("one letter", whole("I"), {}),
    ("words of a refusal", whole("I don't"), {}),
    ("a closing tag", whole("It ends with </think>"), {}),
    ("a digit", whole("4"), {}),
    ("another script", whole("\u7f57\u9a6c"), {}),
]


@rows(ANSWERING_STREAMS)
async def test_a_stream_that_answers_reaches_the_client_byte_for_byte(
    small: Small, body: bytes, fields: dict[str, Any]
) -> None:
    small.says(body, **{"content_type": SSE, **fields})
    assert await small.ask(stream=True) == ("small", body)


@rows(ANSWERING_WHOLES)
async def test_a_whole_reply_that_answers_reaches_the_client_byte_for_byte(
    small: Small, body: bytes, fields: dict[str, Any]
) -> None:
    small.says(body, **fields)
    assert await small.ask() == ("small", body)


@pytest.mark.parametrize("stop", ["'", " know", ["x", "don"], "\u2019t", " "])
@pytest.mark.parametrize("stream", [False, True])
async def test_a_stop_string_inside_the_phrase_is_left_out_of_the_decision(
    small: Small, stop: str | list[str], stream: bool
) -> None:
    """An engine that stops there says half a refusal, which is one whatever cut it."""
    first = stop if isinstance(stop, str) else stop[-1]

    def answer(body: Body) -> RawReply:
        said = REFUSAL.partition(first.replace("\u2019", "'"))[0] if "stop" in body else REFUSAL
        return RawReply(
            [chunks(said) if body.get("stream") else whole(said)], SSE if body.get("stream") else "application/json"
        )

    small.answers(answer)
    assert (await small.ask(stop=stop, stream=stream))[0] == "small,medium"
    assert "stop" not in small.engine.bodies[0]


@pytest.mark.parametrize("stream", [False, True])
async def test_an_engine_that_says_half_a_refusal_whatever_it_is_asked(small: Small, stream: bool) -> None:
    said = chunks("I don") if stream else whole("I don")
    small.says(said, content_type=SSE if stream else "application/json")
    assert (await small.ask(stop=["'"], stream=stream))[0] == "small,medium"


@pytest.mark.parametrize("said", ["I", "I don", "I don't"])
@pytest.mark.parametrize("stream", [False, True])
async def test_what_a_token_limit_leaves_of_a_refusal_is_one(small: Small, said: str, stream: bool) -> None:
    body = chunks(said, finish="length") if stream else whole(said, finish="length")
    small.says(body, content_type=SSE if stream else "application/json")
    assert (await small.ask(max_tokens=1, stream=stream))[0] == "small,medium"
    assert len(small.engine.bodies) == 1


async def test_what_is_undecidable_may_be_the_answer(small: Small) -> None:
    table = small.cascade.table(undecidable="answer")
    small.cascade.publish(table)
    small.says(b"<html>", content_type="text/html")
    assert await small.ask() == ("small", b"<html>")
    small.says(b"xx", headers={"content-encoding": "br"}, content_type=SSE)
    assert await small.ask(stream=True) == ("small", b"xx")
    assert small.cascade.entry.metric("disrouter_undecidable_replies_total") == 2


async def test_the_agent_that_alone_is_up_answers_though_its_reply_said_nothing(small: Small) -> None:
    """Instructed it says nothing, uninstructed it answers: a fallback."""
    small.answers(lambda body: RawReply([whole("" if "Scenario" in json.dumps(body) else "Rome")]))
    for agent in ("medium", "large"):
        small.cascade.agents[agent].engine.script = Script(status=503, body=b"{}")
    path, body = await small.ask()
    assert json.loads(body)["choices"][0]["message"]["content"] == "Rome"
    assert path == "small,medium,large,small"


@pytest.mark.parametrize("status", [400, 422])
async def test_an_error_that_only_the_instruction_causes_is_passed_on(small: Small, status: int) -> None:
    def answer(body: Body) -> RawReply:
        if "Scenario" in json.dumps(body):
            return RawReply([b'{"error": {"message": "bad request"}}'], status=status)
        return RawReply([whole("four")])

    small.answers(answer)
    path, _ = await small.ask()
    assert path == "small,medium"
    assert [body.get("max_tokens") for body in small.engine.bodies] == [None, 1]
    assert small.cascade.entry.metric("disrouter_failovers_total", reason="rejected") == 1


def _strict(body: Body) -> RawReply:
    """As vLLM judges a request's limits and stream options."""
    limit = body.get("max_tokens", 16)
    wrong = not isinstance(limit, int) or limit < 1 or ("stream_options" in body and not body.get("stream"))
    return RawReply([b'{"error": {"message": "wrong"}}'], status=400) if wrong else RawReply([whole("four")])


@pytest.mark.parametrize("wrong", [{"max_tokens": "many"}, {"max_tokens": 0}, {"stream_options": {}}], ids=str)
async def test_an_error_that_the_request_itself_causes_is_the_clients_to_read(
    small: Small, wrong: dict[str, Any]
) -> None:
    small.answers(_strict)
    response = await small.cascade.ask(**wrong)
    assert (response.status, response.headers["x-disrouter-path"]) == (400, "small")
    assert (await response.json())["error"]["message"] == "wrong"


@pytest.mark.parametrize(
    "message",
    [
        "m is not a multimodal model",
        '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
        "System message must be at the beginning.",
        "This model does not support image input",
        "tools param requires --jinja flag",
        "Conversation roles must alternate user/assistant/user/assistant/...",
        "[{'type': 'extra_forbidden', 'msg': 'Extra inputs are not permitted'}]",
        "response_format json_schema is not supported by this backend",
        "At most 0 image(s) may be provided in one prompt.",
    ],
)
async def test_an_error_about_the_agents_abilities_is_passed_on(small: Small, message: str) -> None:
    small.says(json.dumps({"error": {"message": message, "code": 400}}).encode(), status=400)
    assert (await small.ask())[0] == "small,medium"
    assert small.cascade.entry.metric("disrouter_failovers_total", reason="capability") == 1


async def test_a_chat_without_a_user_carries_the_instruction_in_its_only_system_message(small: Small) -> None:
    for messages in (
        [{"role": "system", "content": "You are S."}],
        [{"role": "developer", "content": "D."}, {"role": "assistant", "content": "x"}],
    ):
        await small.ask(messages=messages)
        sent = small.engine.bodies[-1]["messages"]
        assert [message["role"] for message in sent] == [message["role"] for message in messages]
        assert "Scenario: Balance" in sent[0]["content"]
        assert sent[0]["content"].endswith(messages[0]["content"])


async def test_a_compressed_error_is_read_and_loses_its_encoding(small: Small) -> None:
    body = gzip.compress(b'{"detail": [{"loc": ["body", "n"], "msg": "must be positive"}]}')
    small.says(body, status=400, headers={"content-encoding": "gzip"})
    async with aiohttp.ClientSession() as http:
        url = f"{small.cascade.entry.url}/v1/chat/completions"
        async with http.post(url, json={"model": "qwen", "messages": [{"role": "user", "content": "x"}]}) as response:
            assert "content-encoding" not in response.headers
            assert (await response.json())["error"]["message"] == "body.n: must be positive"
