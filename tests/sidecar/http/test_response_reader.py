"""Replies are read the same however their bytes are cut; a connection is used again only where both sides are clear."""

from __future__ import annotations

import pytest

from disrouter_sidecar.errors import UpstreamFailed
from disrouter_sidecar.http.client.response_parser import MAX_HEAD_BYTES, ResponseReader

SIZED = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Twice: 1\r\nx-twice: 2\r\n\r\nhello"
CHUNKED = (
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    b"3;ext=1\r\nhel\r\n2\r\nlo\r\n0\r\nx-disrouter-agent: sneaked\r\n\r\n"
)
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + SIZED
CLOSED = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\nhello"
OLD = b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello"
LAST = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello"
EMPTY = b"HTTP/1.1 204 No Content\r\n\r\n"


def read(*pieces: bytes) -> ResponseReader:
    reader = ResponseReader()
    for piece in pieces:
        reader.feed(piece)
    return reader


@pytest.mark.parametrize(
    ("data", "body", "complete", "reusable"),
    [
        (SIZED, b"hello", True, True),
        (CHUNKED, b"hello", True, True),
        (INTERIM, b"hello", True, True),
        (CLOSED, b"hello", False, False),
        (OLD, b"hello", True, False),
        (LAST, b"hello", True, False),
        (EMPTY, b"", True, True),
        (SIZED + b"HTTP/1.1 200 OK\r\n", b"hello", True, False),
        (LAST + b"more", b"hello", True, False),
    ],
)
def test_a_reply_is_read_whatever_the_cut(data: bytes, body: bytes, complete: bool, reusable: bool) -> None:
    for pieces in (
        [data],
        [data[index : index + 1] for index in range(len(data))],
        *([data[:cut], data[cut:]] for cut in range(1, len(data))),
    ):
        reader = read(*pieces)
        assert reader.headed
        assert b"".join(reader.pieces) == body
        assert (reader.complete, reader.reusable) == (complete, reusable)
        assert "x-disrouter-agent" not in reader.headers
        assert "link" not in reader.headers


def test_one_reader_reads_one_reply_after_the_other() -> None:
    reader = ResponseReader()
    for data in (SIZED, CHUNKED, INTERIM, SIZED):
        reader.begin()
        reader.feed(data)
        assert reader.complete
        assert reader.reusable
        assert b"".join(reader.pieces) == b"hello"


@pytest.mark.parametrize(
    ("data", "complete"), [(CLOSED, True), (SIZED[:-1], False), (CHUNKED[:-1], False), (b"", False)]
)
def test_the_connections_end_is_the_bodys_end_only_without_a_length(data: bytes, complete: bool) -> None:
    assert read(data).eof() is complete


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nxx",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 300,
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * (MAX_HEAD_BYTES + 1),
    ],
)
def test_what_is_no_reply_fails(data: bytes) -> None:
    with pytest.raises(UpstreamFailed):
        read(data)
    with pytest.raises(UpstreamFailed):
        read(*(data[start : start + 100] for start in range(0, len(data), 100)))


def padded(size: int) -> bytes:
    """A head of exactly that many bytes."""
    start = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx: "
    return start + b"y" * (size - len(start) - 4) + b"\r\n\r\n"


@pytest.mark.parametrize("step", [1000, 1 << 20])
@pytest.mark.parametrize("interim", [b"", b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"], ids=["alone", "interim"])
def test_a_head_has_the_same_bound_in_one_piece_and_in_many(step: int, interim: bytes) -> None:
    def pieces(size: int) -> list[bytes]:
        data = interim + padded(size - len(interim)) + b"hello"
        return [data[start : start + step] for start in range(0, len(data), step)]

    assert b"".join(read(*pieces(MAX_HEAD_BYTES)).pieces) == b"hello"
    with pytest.raises(UpstreamFailed, match="larger than"):
        read(*pieces(MAX_HEAD_BYTES + 1))
