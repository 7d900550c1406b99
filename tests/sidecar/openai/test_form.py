"""One field of a form is found as every other parser finds it, or the form is an error."""

from __future__ import annotations

import email
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from disrouter.errors import InvalidRequest
from disrouter_sidecar.openai.pass_through.form import MAX_PART_HEAD, MAX_PARTS, is_form, value_of

KIND = "multipart/form-data; boundary=b"


def part(value: bytes, disposition: str = 'form-data; name="model"', more: str = "") -> bytes:
    return f"--b\r\ncontent-disposition: {disposition}\r\n{more}\r\n".encode() + value + b"\r\n"


def form(*parts: bytes, end: bytes = b"--b--\r\n") -> bytes:
    return b"".join(parts) + end


def found(raw: bytes, kind: str = KIND) -> bytes | None:
    place = value_of(raw, kind, "model")
    return None if place is None else raw[place]


OTHER = part(b"\r\n--c\r\n\r\nx", 'form-data; name="file"; filename="model"', "content-type: audio/wav\r\n")


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (form(part(b"m")), KIND),
        (form(part(b"m"), end=b"--b--"), KIND),
        (form(OTHER, part(b"m"), OTHER), KIND),
        (form(part(b"m")), 'Multipart/Form-Data; charset=utf-8; boundary="b"'),
        (form(part(b"m", "form-data; name=model")), KIND),
        (form(part(b"m", "FORM-DATA; Name=\"model\"; filename*=utf-8''a%20b")), KIND),
        (form(part(b"m", 'form-data; filename="a; name=b"; name="model"')), KIND),
        (form(part(b"m", more="content-type: text/plain\r\n")), KIND),
    ],
)
def test_it_is_found_however_it_is_written(raw: bytes, kind: str) -> None:
    assert found(raw, kind) == b"m"


def test_what_is_not_there_is_not_found() -> None:
    assert found(form(OTHER)) is None
    assert found(form(part(b"m", 'form-data; name="Model"'))) is None
    assert found(b"--b--\r\n") is None
    assert found(form(part(b""))) == b""


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"preamble\r\n" + form(part(b"m")),
        form(part(b"m"), end=b""),
        form(part(b"m"), end=b"--b"),
        form(part(b"m"), end=b"--b--\r\nmore"),
        form(part(b"m"), part(b"n")),
        form(part(b"m"), part(b"n", "form-data; name=model")),
        form(part(b"m", 'form-data; name="model"; name="file"')),
        form(part(b"m", "form-data; name=\"file\"; name*=utf-8''model")),
        form(part(b"m", 'form-data; name="mod\\el"')),
        form(part(b"m", 'attachment; name="model"')),
        form(part(b"m", "form-data")),
        form(part(b"m", 'form-data; name="model" x')),
        form(part(b"m", more='content-disposition: form-data; name="file"\r\n')),
        form(part(b"m", more=' folded: "x"\r\n')),
        form(part(b"m", more="no colon\r\n")),
        form(part(b"m", more=f"x: {'y' * MAX_PART_HEAD}\r\n")),
        form(b"--b\r\n\r\nm\r\n"),
        form(b"--b\r\nm\r\n"),
        form(b"--b \r\n" + part(b"m")[5:]),
        form(b"--bb\r\n" + part(b"m")[5:]),
        form(*[part(b"m", 'form-data; name="x"')] * (MAX_PARTS + 1)),
    ],
)
def test_what_could_be_read_in_two_ways_is_an_error(raw: bytes) -> None:
    with pytest.raises(InvalidRequest):
        found(raw)


@pytest.mark.parametrize(
    "kind",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=b; boundary=c",
        'multipart/form-data; boundary="b',
        "multipart/form-data; boundary=é",
        f"multipart/form-data; boundary={'b' * 71}",
    ],
)
def test_a_form_names_one_boundary(kind: str) -> None:
    assert is_form(kind)
    with pytest.raises(InvalidRequest) as caught:
        found(form(part(b"m")), kind)
    assert caught.value.param == "content-type"


def test_only_a_form_is_a_form() -> None:
    assert not any(map(is_form, (None, "", "application/json", "multipart/mixed; boundary=b")))


values = st.binary(max_size=40).filter(lambda value: b"\n" not in value and b"\r" not in value)


@given(st.lists(st.tuples(st.sampled_from(["model", "file", "x"]), values), max_size=5))
def test_it_is_found_where_pythons_own_parser_finds_it(fields: list[tuple[str, bytes]]) -> None:
    raw = form(*(part(value, f'form-data; name="{name}"') for name, value in fields))
    parsed = email.message_from_bytes(f"content-type: {KIND}\r\n\r\n".encode() + raw, policy=email.policy.HTTP)
    parts = [*parsed.walk()][1:]
    models = [each for each in parts if each.get_param("name", header="content-disposition") == "model"]
    if len(models) > 1:
        with pytest.raises(InvalidRequest):
            found(raw)
    else:
        assert found(raw) == (models[0].get_payload(decode=True) if models else None)


@given(st.binary(max_size=200), st.integers(0, 80), st.integers(0, 8))
def test_rubbish_is_an_error_or_nothing(noise: bytes, place: int, cut: int) -> None:
    raw = form(OTHER, part(b"m"))
    mangled = raw[:place] + noise + raw[place + cut :]
    try:
        got = value_of(mangled, KIND, "model")
    except InvalidRequest:
        return
    assert got is None or 0 < got.start <= got.stop <= len(mangled)
