"""A chunk that goes on as it came is the same to the client, however the engine frames its stream."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import h11
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from disrouter_sidecar.http.client.response_parser import ResponseReader
from disrouter_sidecar.http.client.whole_chunk import MAX_BYTES, payload_of_chunk
from support.raw_http import raw_server
from support.sidecars import cascade

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
EVENT = b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":null}]}\n\n'
ASKED = b'{"model": "qwen", "stream": true, "messages": [{"role": "user", "content": "?"}]}'
LINE = b"POST /v1/chat/completions HTTP/1.%d\r\nhost: a\r\nconnection: close\r\ncontent-type: application/json\r\n"


def chunk(payload: bytes, size: bytes = b"%x", extension: bytes = b"") -> bytes:
    return (size % len(payload)) + extension + b"\r\n" + payload + b"\r\n"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (chunk(b"x"), True),
        (chunk(b"x" * 15), True),
        (chunk(b"x" * 16), True),
        (chunk(b"x" * 255), True),
        (chunk(b"x" * 255) + chunk(b"\r\n"), False),
        (chunk(b"x" * 256), True),
        (chunk(b"x" * (MAX_BYTES - 7)), True),
        (chunk(b"x" * 0xAB, b"%X"), False),
        (b"", False),
        (b"0\r\n\r\n", False),
        (chunk(b"x") + b"0\r\n\r\n", False),
        (chunk(b"x" * 16)[:-1], False),
        (chunk(b"x" * 16)[:-2], False),
        (chunk(b"x" * 16)[:-2] + b"yz", False),
        (chunk(b"x" * 16) + b"1", False),
        (chunk(b"x" * 16) + b"1\r\n", False),
        (chunk(b"x" * 16) + b"1\r\nx\r", False),
        (chunk(b"x" * 16)[1:], False),
        (chunk(b"xyz", b"00%x"), False),
        (chunk(b"xyz", b"+%x"), False),
        (chunk(b"xyz", b"0x%x"), False),
        (chunk(b"xyz", b" %x"), False),
        (chunk(b"xyz", extension=b";a=b"), False),
        (b"g\r\n" + b"x" * 16 + b"\r\n", False),
        (b"1_0\r\n" + b"x" * 16 + b"\r\n", False),
        (chunk(b"x" * MAX_BYTES), False),
    ],
)
def test_a_whole_chunk_is_told_from_all_else(data: bytes, expected: bool) -> None:
    assert payload_of_chunk(data) == (data.index(b"\r\n") + 2 if expected else 0)


@given(
    data=st.binary(max_size=40)
    | st.lists(st.sampled_from([b"1", b"a", b"\r\n", b"x", b"0", chunk(b"xy")])).map(b"".join)
)
def test_what_is_taken_for_a_whole_chunk_is_one_to_llhttp(data: bytes) -> None:
    if not payload_of_chunk(data):
        return
    reader = ResponseReader()
    for piece in (HEAD, data):
        reader.feed(piece)
    assert reader.pieces
    assert not reader.complete
    reader.feed(b"0\r\n\r\n")
    assert reader.complete
    assert reader.reusable


def body_of(read: bytes) -> bytes:
    """What a client makes of a reply, by another parser than the sidecar's."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(read)
    client.receive_data(b"")
    body = b""
    while not isinstance(event := client.next_event(), h11.EndOfMessage):
        assert event not in (h11.NEED_DATA, h11.PAUSED)
        body += bytes(event.data) if isinstance(event, h11.Data) else b""
    return body


pieces = st.lists(
    st.tuples(
        st.sampled_from([b" 4", b"x" * 300, b"x" * 5000, b"\\r\\n", b"0"]),
        st.sampled_from([b"%x"] * 4 + [b"%X", b"00%x"]),
        st.sampled_from([b""] * 5 + [b";name=value"]),
    ),
    max_size=8,
)


async def test_a_stream_is_the_same_to_the_client_however_it_is_framed_and_cut(tmp_path: Path) -> None:
    loop = asyncio.get_running_loop()
    async with (
        raw_server() as engine,
        cascade(tmp_path, ("small", "large"), {"small": {"engine_url": engine.url.removesuffix("/x")}}) as two,
    ):
        address = urlsplit(two.entry.url)

        async def ask(minor: int) -> bytes:
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
            writer.write(LINE % minor + b"content-length: %d\r\n\r\n%b" % (len(ASKED), ASKED))
            try:
                return await asyncio.wait_for(reader.read(), 10)
            finally:
                writer.close()

        @settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
        @given(framed=pieces, cuts=st.lists(st.floats(0, 1), max_size=6), joined=st.booleans(), minor=st.integers(0, 1))
        @example(framed=[(b" 4", b"%x", b"")] * 4, cuts=[], joined=False, minor=1)
        @example(framed=[(b" 4", b"%x", b"")] * 4, cuts=[], joined=False, minor=0)
        def run(framed: list[tuple[bytes, bytes, bytes]], cuts: list[float], joined: bool, minor: int) -> None:
            events = [(EVENT % b"Rome", b"%x", b""), *((EVENT % text, size, more) for text, size, more in framed)]
            chunks = [chunk(*each) for each in events]
            data = HEAD + b"".join(chunks) + b"0\r\n\r\n"
            places = sorted(int(cut * len(data)) for cut in cuts)
            cut = [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]
            engine.replies[:] = [[each for each in cut if each] if joined else [HEAD, *chunks, b"0\r\n\r\n"]]
            read = asyncio.run_coroutine_threadsafe(ask(minor), loop).result(20)
            assert body_of(read) == b"".join(payload for payload, _, _ in events)

        await asyncio.to_thread(run)
