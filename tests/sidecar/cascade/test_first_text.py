"""A text that is cut out of a body is the user's, to the byte, and the rest is the same request with a mark in it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from disrouter_sidecar.cascade.fast_path.first_text import MARK, find_text, marked, parted

texts = st.text(max_size=60) | st.lists(
    st.sampled_from(['"', "\\", "\n", "a", '","role":"user","content":"']), max_size=7
).map("".join)


@given(system=texts, text=texts, compact=st.booleans(), escaped=st.booleans())
def test_a_text_is_cut_out_and_the_rest_stays(system: str, text: str, compact: bool, escaped: bool) -> None:
    asked = {"messages": [{"role": "system", "content": system}, {"role": "user", "content": text}], "n": 1}
    separators = (",", ":") if compact else (", ", ": ")
    body = json.dumps(asked, separators=separators, ensure_ascii=escaped).encode("utf-8", "surrogatepass")
    place = find_text(b"head" + body, len(b"head"))
    assert place is not None
    start, end = (each - len(b"head") for each in place)
    before, after = body[:start], body[end:]
    assert json.loads(b'"' + body[start:end] + b'"') == text
    rest = json.loads(marked(before, after))
    assert rest["messages"] == [{"role": "system", "content": system}, {"role": "user", "content": MARK}]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"messages":[]}',
        b'{"role":"user","content":["x"]}',
        b'{"role":"user","content":"never ends',
        b'{"role":"user","content":"never ends\\"',
        b'{"role":"user","content":"' + b'\\"' * 200 + b'"}',
        b'{"role":"user","content":"x' + b"\\" * 200 + b'"}',
        b'{"content":"x","role":"user"}',
    ],
)
def test_what_has_no_such_text_is_left_whole(body: bytes) -> None:
    assert find_text(body) is None


@pytest.mark.parametrize("count", range(8))
def test_backslashes_before_a_quote_are_counted_in_pairs(count: int) -> None:
    body = b'{"role":"user","content":"' + b"\\" * count + b'" "}'
    start = body.index(b':"', 10) + 2
    assert find_text(body) == (start, start + count if count % 2 == 0 else start + count + 2)


def test_a_mark_is_found_only_where_it_is_alone() -> None:
    rest = marked(b"a", b"b")
    assert parted(rest) == (b"a", b"b")
    assert parted(rest + rest) is None
    assert parted(b"ab") is None
