"""A head that is compared with an earlier one is read as llhttp reads it, or left to llhttp."""

from __future__ import annotations

from dataclasses import dataclass, field
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from disrouter_sidecar.errors import Rejected, UpstreamFailed
from disrouter_sidecar.http import head_memory
from disrouter_sidecar.http.client.response_parser import ResponseReader
from disrouter_sidecar.http.head import Head
from disrouter_sidecar.http.head_memory import LENGTH, MAX_HEADS, HeadMemory
from disrouter_sidecar.http.limits import Limits
from disrouter_sidecar.http.server.request_parser import RequestReader

LIMITS = Limits(body=1000, head=4000, url=200, headers=20)
HEADS = (
    "POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\ncontent-length: {length}\r\nX-Request-Id: {id}\r\n\r\n",
    "POST /v1/messages HTTP/1.1\r\nhost: a\r\nx-request-id: {id}\r\nDate:\t{date}\r\nCONTENT-LENGTH:{length}\r\n\r\n",
    "POST /v1/embeddings HTTP/1.1\r\nHost: a\r\nAuthorization: {id}\r\ncontent-length: {length}\r\n\r\n",
    "POST /p HTTP/1.1\r\nhost: a\r\nx-a: 1\r\nX-A: 2\r\ncontent-length: {length}\r\nx-disrouter-deadline: 5\r\n\r\n",
    "GET /healthz HTTP/1.1\r\nhost: a\r\ntraceparent: {id}\r\n\r\n",
    "POST /c HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n",
    "POST /e HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: {length}\r\n\r\n",
    "POST /o HTTP/1.0\r\nconnection: keep-alive\r\ncontent-length: {length}\r\n\r\n",
    "POST /k HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n",
    "POST /u HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: h2c\r\ncontent-length: {length}\r\n\r\n",
)
REPLIES = (
    "HTTP/1.1 200 OK\r\ndate: {date}\r\nserver: uvicorn\r\ncontent-length: {length}\r\nx-request-id: {id}\r\n\r\n",
    "HTTP/1.1 404 Not Found\r\nContent-Length: {length}\r\nContent-Type: application/json\r\n\r\n",
    "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n",
    "HTTP/1.0 200 OK\r\ncontent-length: {length}\r\nconnection: keep-alive\r\n\r\n",
    "HTTP/1.1 204 No Content\r\ndate: {date}\r\n\r\n",
    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
)
BODIES = st.sampled_from(("", "hello", "x" * 12, "5\r\nhello\r\n0\r\n\r\n", "{}\r\n\r\n"))
VALUES = st.one_of(
    st.sampled_from(("a", "Sun, 29 Nov 2026 12:00:00 GMT", "", " a", "a ", "a\tb", "é", "\x00", "\x7f", "v" * 1024)),
    st.text(st.characters(max_codepoint=255), max_size=20),
)
HITS = (1, 10**9)
"""A pattern at once, and never one."""
LENGTHS = st.sampled_from(
    ("{size}", "{size}", "{size}", "0{size}", "+{size}", " {size}", "{size} ", "{size}x", "", "-1", "99")
)


@st.composite
def messages(draw: st.DrawFn, templates: tuple[str, ...]) -> bytes:
    """Much like others, but for values, and sometimes for a few bytes."""
    body = draw(BODIES)
    length = draw(LENGTHS).replace("{size}", str(len(body)))
    head = draw(st.sampled_from(templates))
    values = {"length": length, "id": draw(VALUES), "date": draw(VALUES)}
    data = (head.format(**values) + body).encode("latin-1")
    for _ in range(draw(st.sampled_from((0, 0, 0, 1, 2)))):
        place = draw(st.integers(0, len(data)))
        data = data[:place] + draw(st.binary(max_size=2)) + data[place + draw(st.integers(0, 2)) :]
    return data


@dataclass
class Seen:
    """The events of a reader, as one text."""

    events: list[object] = field(default_factory=list)

    def known(self, *_: object) -> bool:
        return False

    def begun(self) -> None:
        self.events.append("begun")

    def headed(self, head: Head) -> None:
        headers = {name: value for name, value in head.headers.items() if name != LENGTH}
        self.events.append(head._replace(headers=headers))

    def body(self, piece: bytes) -> None:
        if isinstance(self.events[-1], bytes):
            piece = self.events.pop() + piece  # type: ignore[operator]
        self.events.append(bytes(piece))

    def complete(self) -> None:
        self.events.append("complete")


def events_of(requests: list[bytes], *, lessons: int) -> list[object]:
    """What is read of one request after the other."""
    seen = Seen()
    reader = RequestReader(LIMITS, seen)
    reader._lessons, reader._known = lessons, reader._known if lessons else None
    for request in requests:
        try:
            reader.feed(request)
        except Rejected as error:
            seen.events.append((error.status, error.code))
            break
        seen.events.append(reader.head_bytes)
    return seen.events


def sized(template: str, body: str = "hello", **values: str) -> bytes:
    """A request or a reply without oddities."""
    return (template.format(length=len(body), id="a", date="today") + body).encode()


@pytest.mark.parametrize("hits", HITS)
@given(requests=st.lists(messages(HEADS), min_size=2, max_size=4))
@example(requests=[sized(HEADS[0]), sized(HEADS[0], "hi"), sized(HEADS[0], ""), sized(HEADS[0])])
@example(requests=[sized(HEADS[0]), sized(HEADS[0])[:-1], b"o" + sized(HEADS[0])])
@example(requests=[sized(HEADS[0]), sized(HEADS[0]), sized(HEADS[8]), sized(HEADS[0])])
@example(requests=[sized(HEADS[0]), sized(HEADS[0]) + sized(HEADS[0])])
@example(requests=[sized(HEADS[0])[:60], sized(HEADS[0])[60:], b"\r\n\r\n", b"\r\n\r\n", sized(HEADS[0])])
@example(requests=[b"\r\n" + sized(HEADS[0]), b"\r\n" + sized(HEADS[0])])
@settings(max_examples=500)
def test_requests_are_read_as_without_memory(hits: int, requests: list[bytes]) -> None:
    requests = [sized(HEADS[4], ""), *requests]
    with mock.patch.object(head_memory, "_HITS", hits):
        assert events_of(requests, lessons=8) == events_of(requests, lessons=0)


@pytest.mark.parametrize("hits", HITS)
@given(replies=st.lists(messages(REPLIES), min_size=2, max_size=4))
@example(replies=[sized(REPLIES[0]), sized(REPLIES[0], "hi"), sized(REPLIES[0]) + b"more"])
@example(replies=[sized(REPLIES[3]), sized(REPLIES[3])[:25]])
@settings(max_examples=500)
def test_replies_are_read_as_without_memory(hits: int, replies: list[bytes]) -> None:
    def facts_of(lessons: int) -> list[object]:
        reader = ResponseReader()
        facts: list[object] = []
        reader._lessons, reader._known = lessons, reader._known if lessons else None
        for reply in replies:
            reader.begin()
            try:
                reader.feed(reply)
            except UpstreamFailed as failure:
                return [*facts, str(failure)]
            headers = {name: value for name, value in reader.headers.items() if name != LENGTH}
            status = reader.status if reader.headed else 0
            facts.append((reader.headed, reader.complete, status, headers, b"".join(reader.pieces), reader.reusable))
            if not reader.reusable:
                break
        return facts

    with mock.patch.object(head_memory, "_HITS", hits):
        assert facts_of(8) == facts_of(0)


@pytest.mark.parametrize("template", HEADS[:5])
def test_a_client_that_stays_is_known_by_its_third_head(template: str, monkeypatch: pytest.MonkeyPatch) -> None:
    body = "" if template.startswith("GET") else "hello"
    reader = RequestReader(LIMITS, Seen())
    reader.feed(sized(template, body))
    assert reader._known is None, "strangers who come and go teach nothing"
    reader.feed(sized(template, body))
    monkeypatch.setattr(type(reader), "_feed", lambda *_: pytest.fail("parsed"))
    reader.feed(sized(template, body))


def test_a_new_clients_head_is_known_if_it_is_like_the_last_that_was_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    events_of([sized(HEADS[0], "hello")] * 2, lessons=8)
    seen = Seen()
    reader = RequestReader(LIMITS, seen)
    monkeypatch.setattr(type(reader), "_feed", lambda *_: pytest.fail("parsed"))
    reader.feed(sized(HEADS[0], "another"))
    assert seen.events[-2:] == [b"another", "complete"]


@pytest.mark.parametrize("template", REPLIES[:2])
def test_the_second_reply_of_a_kind_is_not_parsed(template: str, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = ResponseReader()
    reader.feed(sized(template))
    reader.begin()
    monkeypatch.setattr(type(reader), "_feed", lambda *_: pytest.fail("parsed"))
    reader.feed(sized(template, "some other length"))
    assert reader.complete


def test_memory_is_bounded_and_strangers_heads_give_way() -> None:
    memory: HeadMemory[int] = HeadMemory()
    for number in range(2 * MAX_HEADS):
        assert memory.learn(b"GET /%d HTTP/1.1\r\nhost: a\r\n\r\n" % number, number) is not None
        assert len(memory._known) <= MAX_HEADS
    assert memory.learn(b"GET / HTTP/1.1\r\nhost: %b\r\n\r\n" % (b"a" * 4096), 0) is None


def test_connections_share_what_they_remember() -> None:
    memory: HeadMemory[int] = HeadMemory()
    first = memory.learn(b"POST / HTTP/1.1\r\ncontent-length: 5\r\n\r\n", 1)
    assert memory.learn(b"POST / HTTP/1.1\r\ncontent-length: 77\r\n\r\n", 2) is first
