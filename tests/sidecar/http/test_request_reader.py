"""Requests are read the same however their bytes are cut, and what could be read in two ways is not read at all."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from disrouter_sidecar.errors import Rejected
from disrouter_sidecar.http.head import NAMES, Head
from disrouter_sidecar.http.limits import Limits
from disrouter_sidecar.http.server.request_parser import RequestReader

LIMITS = Limits(body=1000, head=2000, url=200, headers=20)


@dataclass
class Seen:
    """The events of the reader."""

    heads: list[Head] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    begins: int = 0
    done: int = 0

    def known(self, *_: object) -> bool:
        return False

    def begun(self) -> None:
        self.begins += 1

    def headed(self, head: Head) -> None:
        self.heads.append(head)
        self.bodies.append(b"")

    def body(self, piece: bytes) -> None:
        self.bodies[-1] += piece

    def complete(self) -> None:
        self.done += 1


def feed(reader: RequestReader, data: bytes, size: int) -> None:
    for start in range(0, len(data), size):
        reader.feed(data[start : start + size])


def read(*pieces: bytes) -> Seen:
    seen = Seen()
    reader = RequestReader(LIMITS, seen)
    for piece in pieces:
        reader.feed(piece)
    return seen


GET = b"GET /a%20b?q=1 HTTP/1.1\r\nHost: x\r\n\r\n"
SIZED = b"POST /p HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\nX-Twice: 1\r\nx-twice: 2\r\n\r\nhello"
CHUNKED = (
    b"POST /c HTTP/1.1\r\nhost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'3;name="value"\r\nhel\r\n2\r\nlo\r\n0\r\nTrailer: authorization\r\nauthorization: sneaked\r\n\r\n'
)
UPGRADE = (
    b"POST /u HTTP/1.1\r\nhost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAMAAABk\r\ncontent-length: 5\r\n\r\nhello"
)
ABSOLUTE = b"GET http://host:1/abs?x HTTP/1.1\r\nhost: x\r\n\r\n"
AHEAD = GET + SIZED + CHUNKED + UPGRADE + ABSOLUTE


def check(seen: Seen) -> None:
    assert [head.path for head in seen.heads] == ["/a b", "/p", "/c", "/u", "/abs"]
    assert seen.bodies == [b"", b"hello", b"hello", b"hello", b""]
    assert seen.done == 5
    assert seen.heads[1].headers["x-twice"] == "1, 2"
    assert "authorization" not in seen.heads[2].headers
    assert [head.length for head in seen.heads] == [0, 5, None, 5, 0]


def test_requests_ahead_of_each_other_are_read_whatever_the_cut() -> None:
    check(read(AHEAD))
    check(read(*(AHEAD[index : index + 1] for index in range(len(AHEAD)))))
    for cut in range(1, len(AHEAD)):
        check(read(AHEAD[:cut], AHEAD[cut:]))


LINE = b"POST / HTTP/1.1\r\nhost: x\r\n"
SMUGGLED = b"\r\n0\r\n\r\nGET /admin HTTP/1.1\r\nhost: x\r\n\r\n"
AMBIGUOUS = {
    "both lengths": LINE + b"content-length: 5\r\ntransfer-encoding: chunked\r\n" + SMUGGLED,
    "both lengths, reversed": LINE + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n" + SMUGGLED,
    "two lengths": LINE + b"content-length: 5\r\ncontent-length: 6\r\n" + SMUGGLED,
    "the same length twice": LINE + b"content-length: 5\r\ncontent-length: 5\r\n" + SMUGGLED,
    "a list of lengths": LINE + b"content-length: 5, 5\r\n" + SMUGGLED,
    "a signed length": LINE + b"content-length: +5\r\n" + SMUGGLED,
    "a hexadecimal length": LINE + b"content-length: 0x5\r\n" + SMUGGLED,
    "a length beyond all": LINE + b"content-length: 99999999999999999999\r\n" + SMUGGLED,
    "chunked not last": LINE + b"transfer-encoding: chunked, identity\r\n" + SMUGGLED,
    "chunked twice": LINE + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n" + SMUGGLED,
    "nearly chunked": LINE + b"transfer-encoding: xchunked\r\n" + SMUGGLED,
    "chunked with a tab": LINE + b"transfer-encoding:\x0bchunked\r\n" + SMUGGLED,
    "a space before the colon": LINE + b"content-length : 5\r\n" + SMUGGLED,
    "a folded header": LINE + b"x: a\r\n content-length: 5\r\n" + SMUGGLED,
    "a bare line feed": b"POST / HTTP/1.1\nhost: x\n\n",
    "a bare carriage return": LINE + b"x: a\rcontent-length: 5\r\n" + SMUGGLED,
    "a NUL in a value": LINE + b"x: a\x00b\r\n" + SMUGGLED,
    "a chunk size that is none": LINE + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
    "a chunk size beyond all": LINE + b"transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    "a chunk that is longer than it says": LINE + b"transfer-encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": b"POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n" + SMUGGLED,
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n",
    "two keys": LINE + b"authorization: a\r\nauthorization: b\r\n\r\n",
    "an unknown method": b"FOO / HTTP/1.1\r\nhost: x\r\n\r\n",
    "a lower-case method": b"get / HTTP/1.1\r\nhost: x\r\n\r\n",
    "HTTP/2's preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "more after the last request": b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\nGET / HTTP/1.1\r\n\r\n",
}


@pytest.mark.parametrize("data", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
@pytest.mark.parametrize("bytewise", [False, True])
def test_what_can_be_read_in_two_ways_is_refused(data: bytes, bytewise: bool) -> None:
    seen = Seen()
    reader = RequestReader(LIMITS, seen)
    with pytest.raises(Rejected) as caught:
        feed(reader, data, 1 if bytewise else len(data))
    assert caught.value.status == 400
    assert not any(head.path == "/admin" for head in seen.heads)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /" + b"a" * 300, 414),
        (b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"a" * 3000, 431),
        (b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a" * 3000, 431),
        (b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 30, 431),
        (LINE + b"transfer-encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * 30, 431),
        (b"GET /\r\n\r\n", 505),
        (b"GET / HTTP/2.0\r\nhost: x\r\n\r\n", 505),
        (LINE + b"expect: a-miracle\r\ncontent-length: 1\r\n\r\n", 417),
        (b"CONNECT x:443 HTTP/1.1\r\nhost: x\r\n\r\n", 405),
    ],
)
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_heads_have_bounds_and_versions(data: bytes, status: int, size: int) -> None:
    reader = RequestReader(LIMITS, Seen())
    with pytest.raises(Rejected) as caught:
        feed(reader, data, size)
    assert caught.value.status == status


@pytest.mark.parametrize("endless", [b"0\r\na: ", b"0\r\n", b"1;"], ids=["trailer", "trailers' names", "extension"])
@pytest.mark.parametrize("size", [1, 100])
def test_a_chunked_body_cannot_hide_bytes_without_end(endless: bytes, size: int) -> None:
    reader = RequestReader(LIMITS, Seen())
    reader.feed(LINE + b"transfer-encoding: chunked\r\n\r\n" + endless)
    with pytest.raises(Rejected) as caught:
        feed(reader, b"x" * 3000, size)
    assert caught.value.status == 431


@pytest.mark.parametrize(
    ("version", "connection", "keep"),
    [("1.1", "", True), ("1.1", "close", False), ("1.0", "", False), ("1.0", "keep-alive", False)],
)
def test_which_connections_last(version: str, connection: str, keep: bool) -> None:
    line = f"connection: {connection}\r\n" if connection else ""
    head = read(f"GET / HTTP/{version}\r\nhost: x\r\n{line}\r\n".encode()).heads[0]
    assert head.keep_alive is keep
    assert head.old is (version == "1.0")


def padded(size: int, cookies: int = 1) -> bytes:
    """A head of exactly that many bytes."""
    line, crumb = b"GET / HTTP/1.1\r\nhost: x\r\n", b"cookie: "
    each = (size - len(line) - 2) // cookies
    lines = [crumb + b"c" * (each - len(crumb) - 2) + b"\r\n"] * cookies
    rest = size - len(line) - 2 - each * cookies
    return line + b"".join(lines)[:-2] + b"c" * rest + b"\r\n\r\n"


@pytest.mark.parametrize("size", [1, 100, 1 << 20])
@pytest.mark.parametrize("cookies", [1, 10])
@pytest.mark.parametrize("before", [b"", SIZED, CHUNKED, GET * 20, UPGRADE], ids=len)
def test_a_head_has_the_same_bound_in_one_piece_in_many_and_behind_another_request(
    before: bytes, cookies: int, size: int
) -> None:
    seen = Seen()
    feed(RequestReader(LIMITS, seen), before + padded(LIMITS.head, cookies) + GET, size)
    assert seen.heads[-1].path == "/a b"
    with pytest.raises(Rejected) as caught:
        feed(RequestReader(LIMITS, Seen()), before + padded(LIMITS.head + 1, cookies) + GET, size)
    assert caught.value.status == 431


def outcome(data: bytes, cuts: list[int]) -> tuple[int, list[tuple[str, bytes]], int]:
    """The status of what is refused, 0 where nothing is; what was read before, and how many requests were complete."""
    seen, status = Seen(), 0
    reader = RequestReader(LIMITS, seen)
    places = [0, *sorted(cuts), len(data)]
    try:
        for start, end in pairwise(places):
            reader.feed(data[start:end])
    except Rejected as error:
        status = error.status
    return status, [(head.path, body) for head, body in zip(seen.heads, seen.bodies, strict=True)], seen.done


NAME = st.sampled_from([b"a", b"Cookie", b"x-" + b"n" * 60, b"accept"])
VALUE = st.integers(0, 700).map(lambda size: b"v" * size)
SPACES = st.sampled_from([b"", b" ", b"  \t ", b" " * 900])
HEADER = st.tuples(NAME, SPACES, VALUE).map(lambda parts: parts[0] + b":" + parts[1] + parts[2] + b"\r\n")
HEADERS = st.one_of(st.lists(HEADER, max_size=6), st.integers(0, 25).map(lambda count: [b"a: b\r\n"] * count))
PATH = st.one_of(st.integers(0, 10), st.integers(190, 210)).map(lambda size: b"/" + b"p" * size)
BODY = st.sampled_from(
    [
        b"\r\n",
        b"content-length: 0\r\n\r\n",
        b"content-length: 9\r\n\r\n\r\n\r\n\r\n\r\nx",
        b"transfer-encoding: chunked\r\n\r\n4\r\n\r\n\r\n\r\n1;e=f\r\nx\r\n0\r\n\r\n",
        b"transfer-encoding: chunked\r\n\r\n1;" + b"e" * 3500 + b"\r\nx\r\n0\r\nt: u\r\n\r\n",
        b"transfer-encoding: chunked\r\n\r\n1;" + b"e" * 5000 + b"\r\nx\r\n0\r\nt: u\r\n\r\n",
        b"connection: upgrade\r\nupgrade: h2c\r\ncontent-length: 1\r\n\r\nx",
        b"expect: tea\r\n\r\n",
        b"content-length: nine\r\n\r\n",
    ]
)
REQUEST = st.tuples(st.sampled_from([b"", b"\r\n", b"\r\n\r\n"]), PATH, HEADERS, BODY).map(
    lambda parts: parts[0] + b"POST " + parts[1] + b" HTTP/1.1\r\nhost: x\r\n" + b"".join(parts[2]) + parts[3]
)


@given(st.lists(REQUEST, min_size=1, max_size=4).map(b"".join), st.data())
def test_what_becomes_of_requests_does_not_depend_on_the_cut(data: bytes, draw: st.DataObject) -> None:
    cuts = draw.draw(st.lists(st.integers(0, len(data)), max_size=8))
    whole = outcome(data, [])
    assert outcome(data, cuts) == whole
    assert outcome(data, list(range(1, len(data)))) == whole


def test_names_of_strangers_fill_no_memory() -> None:
    for index in range(3000):
        read(b"GET / HTTP/1.1\r\nhost: x\r\nx-%d: 1\r\nx-%d-%b: 1\r\n\r\n" % (index, index, b"n" * 100))
    read(GET)
    assert len(NAMES) <= 1024
    assert max(map(len, NAMES)) <= 40
    assert NAMES[b"Host"] == "host"
