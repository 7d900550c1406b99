"""The decision on a stream does not depend on how its bytes were cut."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from disrouter.refusal import Decision, judge
from disrouter.refusal.text import after_reasoning
from disrouter_sidecar.decision.sse import EventReader
from disrouter_sidecar.decision.stream import MAX_HELD_BYTES, Expectation, StreamDecider
from disrouter_sidecar.decision.verdict import Verdict
from disrouter_sidecar.decision.whole import LARGE, decide_whole
from disrouter_sidecar.openai import Chat
from support.fake_engine import DONE, delta, event, stream_of, whole_of
from support.sidecars import REFUSAL
from support.texts import CUTS, TEXTS, cut

ANSWER, REFUSE, UNDECIDED = Verdict.ANSWER, Verdict.REFUSE, Verdict.UNDECIDED
EMPTY, UNFINISHED, UNDECIDABLE, FAILED = Verdict.EMPTY, Verdict.UNFINISHED, Verdict.UNDECIDABLE, Verdict.FAILED
CALL: dict[str, Any] = {"tool_calls": [{"index": 0, "id": "1", "function": {"name": "f", "arguments": ""}}]}

STREAMS: list[tuple[str, int, Sequence[bytes], Verdict]] = [
    ("an answer", 1, stream_of("four"), ANSWER),
    ("a refusal", 1, stream_of(REFUSAL), REFUSE),
    ("a refusal with a curly apostrophe", 1, stream_of("I don’t know!"), REFUSE),
    ("a refusal without its mark", 1, stream_of("I don't know"), REFUSE),
    ("an answer that begins like a refusal", 1, stream_of("I don't know the year, but the city is Rome"), ANSWER),
    ("a refusal that the token limit cuts off", 1, [delta(content="I don't"), delta(finish="length"), DONE], REFUSE),
    ("the same in one chunk", 1, [delta(content="I don’t kn", finish="length"), DONE], REFUSE),
    ("a cut at the refusal's first word", 1, [delta(content="I"), delta(finish="length"), DONE], REFUSE),
    ("an answer of the same words", 1, [delta(content="I don't"), delta(finish="stop"), DONE], ANSWER),
    ("comments between events", 1, [b": keep-alive\n\n", *stream_of(REFUSAL), b": bye\n\n"], REFUSE),
    ("carriage returns", 1, [piece.replace(b"\n", b"\r\n") for piece in stream_of(REFUSAL)], REFUSE),
    ("other fields", 1, [b"event: x\nid: 1\nretry: 3\n" + piece for piece in stream_of(REFUSAL)], REFUSE),
    ("no space after data:", 1, [piece.replace(b"data: ", b"data:") for piece in stream_of(REFUSAL)], REFUSE),
    ("reasoning first", 1, [delta(reasoning_content="hm"), delta(reasoning="hm"), *stream_of(REFUSAL)], REFUSE),
    ("a think block", 1, stream_of("<think>do I know? I don't know!</think>\n\nI don't know!"), REFUSE),
    ("a think block, then an answer", 1, stream_of("<think>I don't know!</think>four"), ANSWER),
    ("a tool call", 1, [delta(role="assistant"), delta(**CALL), delta(finish="tool_calls"), DONE], ANSWER),
    ("text, then a tool call", 1, [delta(content="I"), delta(**CALL)], ANSWER),
    ("a policy refusal", 1, [delta(refusal="I can't help")], ANSWER),
    ("nothing but roles", 1, [delta(role="assistant"), delta(content=""), delta(content=None), DONE], EMPTY),
    ("nothing", 1, [], EMPTY),
    ("usage only", 1, [event({"choices": [], "usage": {}}), DONE], EMPTY),
    ("no JSON", 1, [event(b"what?")], UNDECIDABLE),
    ("choices of another shape", 1, [event({"choices": {"a": 1}}), event({"choices": [1]}), event([1])], EMPTY),
    ("a choice of another number", 1, [delta(1, content=REFUSAL)], REFUSE),
    ("the last event without its blank line", 1, [b"".join(stream_of("I don't know")[:-2])[:-2]], REFUSE),
    ("two refusals of two", 2, stream_of(REFUSAL, choices=2), REFUSE),
    ("one refusal of two", 2, [delta(0, content=REFUSAL), delta(1, content="four")], ANSWER),
    ("one refusal of two, the other silent", 2, [delta(0, content=REFUSAL), DONE], REFUSE),
]
BY_NAME = pytest.mark.parametrize(
    ("choices", "pieces", "expected"), [row[1:] for row in STREAMS], ids=[row[0] for row in STREAMS]
)


def run(body: bytes, cuts: Iterator[int] | Sequence[int], choices: int) -> StreamDecider:
    """Feed the pieces between the cuts, checking that a decision once made stays."""
    decider = StreamDecider(Chat(), Expectation(choices))
    seen = UNDECIDED
    edges = [0, *sorted(cuts), len(body)]
    for start, end in pairwise(edges):
        decision = decider.feed(body[start:end])
        assert seen in (UNDECIDED, decision)
        seen = decision
    final = decider.finish()
    assert seen in (UNDECIDED, final)
    return decider


@BY_NAME
def test_the_decision_at_once_and_byte_by_byte(choices: int, pieces: Sequence[bytes], expected: Verdict) -> None:
    body = b"".join(pieces)
    assert run(body, (), choices).verdict is expected
    assert run(body, range(1, len(body)), choices).verdict is expected


@given(data=st.data(), row=st.sampled_from(STREAMS))
def test_the_decision_with_any_cuts(data: st.DataObject, row: tuple[str, int, Sequence[bytes], Verdict]) -> None:
    body = b"".join(row[2])
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=12))
    assert run(body, cuts, row[1]).verdict is row[3]


@given(text=TEXTS.filter(bool), places=CUTS, escaped=st.booleans(), data=st.data())
def test_any_text_in_any_deltas_and_any_bytes_decides_as_the_text_itself(
    text: str, places: list[int], escaped: bool, data: st.DataObject
) -> None:
    """The stream may be cut inside an escape or a character; the whole reply says the same."""
    assume(after_reasoning(text) == text or text.lstrip().startswith("<think>"))
    said = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in cut(text, places)]
    ended = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    events = [event(json.dumps(value, ensure_ascii=escaped).encode()) for value in [*said, ended]]
    body = b"".join([*events, DONE])
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=12))
    decision, speaks = judge(text)
    expected = REFUSE if decision is Decision.REFUSE else ANSWER if speaks else EMPTY
    assert run(body, cuts, 1).verdict is expected
    assert decide_whole(Chat(), whole_of(text)).verdict is expected


def test_an_answer_is_known_at_its_first_word_and_a_refusal_at_its_mark() -> None:
    decider = StreamDecider(Chat())
    assert decider.feed(delta(role="assistant", content="")) is UNDECIDED
    assert decider.feed(delta(content="The")) is ANSWER
    decider = StreamDecider(Chat())
    assert decider.feed(delta(content="I don't know")) is UNDECIDED
    assert decider.feed(delta(content="!")) is REFUSE


def test_a_stream_that_reasons_without_end_cannot_be_decided() -> None:
    decider = StreamDecider(Chat())
    piece = delta(reasoning_content="x" * 100_000)
    fed = 0
    while decider.feed(piece) is UNDECIDED:
        fed += len(piece)
        assert fed <= MAX_HELD_BYTES
    assert decider.verdict is UNDECIDABLE


def test_a_line_without_end_cannot_be_decided() -> None:
    decider = StreamDecider(Chat())
    assert decider.feed(b"data: " + b"x" * MAX_HELD_BYTES) is UNDECIDABLE


def test_an_error_event_is_kept_for_whoever_decides_what_it_means() -> None:
    decider = StreamDecider(Chat())
    decider.feed(event({"error": {"message": "boom", "code": 500}}) + b"".join(stream_of("four")))
    assert decider.error == {"message": "boom", "code": 500}
    assert decider.verdict is FAILED


@given(st.lists(st.binary(max_size=20).filter(lambda data: not set(data) & {10, 13}), max_size=8), st.data())
def test_events_are_read_whatever_the_cuts(payloads: list[bytes], data: st.DataObject) -> None:
    body = b"".join(b": c\n" + event(payload) for payload in payloads)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=10)))
    reader = EventReader()
    edges = [0, *cuts, len(body)]
    got = [piece for start, end in pairwise(edges) for piece in reader.feed(body[start:end])]
    assert got == payloads
    assert list(reader.finish()) == []


def test_an_event_of_several_lines_is_one_payload() -> None:
    assert list(EventReader().feed(b'data: {"a":\ndata: 1}\n\n')) == [b'{"a":\n1}']


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (whole_of("four"), ANSWER),
        (whole_of(REFUSAL), REFUSE),
        (whole_of(REFUSAL, REFUSAL), REFUSE),
        (whole_of(REFUSAL, "four"), ANSWER),
        (b'{"choices": [{"message": {"content": null, "tool_calls": [{"id": "1"}]}}]}', ANSWER),
        (b'{"choices": [{"message": {"content": "I don\'t know!", "tool_calls": [{"id": "1"}]}}]}', ANSWER),
        (b'{"choices": [{"message": {"reasoning_content": "hm", "content": "I don\'t know!"}}]}', REFUSE),
        (b'{"choices": []}', EMPTY),
        (whole_of("I don't kn", finish="length"), REFUSE),
        (whole_of("I don", finish="length"), REFUSE),
        (whole_of("I don't"), ANSWER),
        (whole_of(REFUSAL) + b" " * LARGE, REFUSE),
        (b'{"choices": "x"}', EMPTY),
        (b'{"choices": [1]}', EMPTY),
        (b"[]", EMPTY),
        (b"<html>", UNDECIDABLE),
    ],
)
def test_the_decision_on_a_whole_reply(body: bytes, expected: Verdict) -> None:
    assert decide_whole(Chat(), body).verdict is expected


def test_choices_that_are_asked_for_cost_nothing_until_they_are_seen() -> None:
    """A client may ask for a million: 128 for each of 10,000 prompts."""
    tracemalloc.start()
    decider = StreamDecider(Chat(), Expectation(128 * 10_000))
    assert decider.feed(delta(0, content=REFUSAL)) is UNDECIDED
    assert tracemalloc.get_traced_memory()[1] < 100_000
    tracemalloc.stop()
