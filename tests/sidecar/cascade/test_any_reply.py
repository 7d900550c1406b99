"""One invariant over generated replies: a refusal never reaches the client while another agent is up, an answer always.

Generated: the text and its wrapping, its shape, finish reasons, reasoning, framing, media type, encoding and cuts.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.fake_engine import stream_of
from support.raw_engine import RawReply, raw_engine
from support.sidecars import REFUSAL, cascade

FOUR = b"".join(stream_of("four"))
_EXAMPLES = 300
_LEADS = ["", " \n", "\u200b", "\ufeff", "<|im_start|>assistant\n", "<s>", "**", "&nbsp;", "<think>hm</think>\n"]
_REFUSALS = [REFUSAL, "I don't know", "I don\u2019t know.", "I DON'T KNOW!", "I don&#39;t know!", "I do\u200bn't know!"]
_TAILS = ["", "\n", "</s>", "<|im_end|>", "**"]
_ANSWERS = ["Rome", "I don't know the year, but Rome", "4", "I", "\u7f57\u9a6c", '{"a": 1}', "I don't"]

refusals = st.builds("{}{}{}".format, st.sampled_from(_LEADS), st.sampled_from(_REFUSALS), st.sampled_from(_TAILS))
answers = st.builds("{}{}".format, st.sampled_from(_LEADS), st.sampled_from(_ANSWERS))
between = st.sampled_from([None, "", "null", "running"])
final = st.sampled_from(["stop", "STOP", "eos", None, "", "length"])
shapes: st.SearchStrategy[Callable[[str], Any]] = st.sampled_from(
    [lambda text: text, lambda text: [{"type": "text", "text": text}], lambda text: [text]]
)
encodings: st.SearchStrategy[tuple[str | None, Callable[[bytes], bytes]]] = st.sampled_from(
    [
        (None, bytes),
        ("identity", bytes),
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("Deflate", lambda body: zlib.compress(body)[2:-4]),
    ]
)
frames: st.SearchStrategy[Callable[[bytes], bytes]] = st.sampled_from(
    [
        lambda body: body,
        lambda body: body.replace(b"\n", b"\r"),
        lambda body: body.replace(b"\n", b"\r\n"),
        lambda body: b"\xef\xbb\xbf" + body,
        lambda body: b": c\n\n" + body.replace(b"\n\n", b"\n: c\n\n"),
        lambda body: body.replace(b"data: ", b"data:"),
        lambda body: body.replace(b"data: ", b"event: x\nid: 1\ndata: "),
        lambda body: body.replace(b'{"choices": ', b'{"choices":\ndata: '),
        lambda body: body.replace(b'"index": 0', b'"index": 0, "logprob": NaN'),
    ]
)
kinds = st.sampled_from(
    ["text/event-stream", "Text/Event-Stream; charset=utf-8", "application/json", "text/plain", None]
)


def _cuts(draw: st.DrawFn, length: int) -> list[int]:
    return [0, *sorted(draw(st.lists(st.integers(0, length), max_size=6))), length]


@st.composite
def replies(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> tuple[bool, RawReply]:
    """Whether a stream is asked for, and the reply."""
    text, shape, reason = draw(texts), draw(shapes), draw(final)
    stream = draw(st.booleans())
    reasoning = [{"reasoning_content": "hm" * draw(st.sampled_from([1, 200_000]))}] if draw(st.booleans()) else []
    if stream:
        parts = [text[start:end] for start, end in pairwise(_cuts(draw, len(text)))]
        deltas = [
            {"role": "assistant", "content": ""},
            *reasoning,
            *({"content": shape(part)} for part in parts if part),
        ]
        middle = draw(between)
        choices = [{"index": 0, "delta": each, "finish_reason": middle} for each in deltas]
        choices.append({"index": 0, "delta": {}, "finish_reason": reason})
        events = [f'data: {{"choices": [{json.dumps(choice)}]}}\n\n'.encode() for choice in choices]
        body = draw(frames)(b"".join([*events, b"data: [DONE]\n\n" if draw(st.booleans()) else b""]))
        kind = draw(kinds)
    else:
        message = {"role": "assistant", "content": shape(text), **(reasoning[0] if reasoning else {})}
        body = json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": reason}]}).encode()
        kind = "application/json"
    coding, encode = draw(encodings)
    body = encode(body)
    pieces = [body[start:end] for start, end in pairwise(_cuts(draw, len(body)))]
    return stream, RawReply(pieces, kind, headers={} if coding is None else {"content-encoding": coding})


async def _ask_all(
    directory: Path, cases: st.SearchStrategy[tuple[bool, RawReply]], judge: Callable[..., None]
) -> None:
    """Ask a cascade whose first engine gives each reply, before one that answers `four`."""
    loop = asyncio.get_running_loop()
    async with (
        raw_engine(lambda _: RawReply([])) as engine,
        cascade(directory, ("small", "large"), {"small": {"engine_url": engine.url}}) as two,
        aiohttp.ClientSession(auto_decompress=False) as two.http,
    ):
        two.publish(two.table())

        async def ask(*, stream: bool) -> tuple[str, bytes]:
            response = await two.ask(stream=stream)
            return response.headers["x-disrouter-path"], await response.content.read()

        @settings(max_examples=_EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=cases)
        def run(case: tuple[bool, RawReply]) -> None:
            stream, reply = case
            engine.answer = lambda _: reply
            path, body = asyncio.run_coroutine_threadsafe(ask(stream=stream), loop).result(30)
            judge(path, body, b"".join(reply.pieces))

        await asyncio.to_thread(run)


async def test_a_refusal_never_reaches_the_client(tmp_path: Path) -> None:
    def judge(path: str, body: bytes, _: bytes) -> None:
        assert path == "small,large"
        assert b"four" in body

    await _ask_all(tmp_path, replies(refusals), judge)


async def test_an_answer_reaches_the_client_byte_for_byte(tmp_path: Path) -> None:
    """But for one that a limit cuts off inside what may be the phrase."""

    def judge(path: str, body: bytes, sent: bytes) -> None:
        assert (path, body) == ("small", sent)

    whole = replies(answers.filter(lambda text: not text.endswith(("I", "I don't"))))
    await _ask_all(tmp_path, whole, judge)
