"""Forms (`multipart/form-data`, RFC 7578), as far as one field of them is read and replaced; every other byte stays.

What two parsers could read in two ways is an error: the engine must not find another model in a form than we do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from disrouter.errors import InvalidRequest

FORM = "multipart/form-data"
MAX_PARTS = 64
"""Fields that a form may have."""
MAX_PART_HEAD = 4096
"""Bytes of a part's headers."""
_BOUNDARY = re.compile(
    r""";\s*boundary=(?:"([\w'()+,./:=? -]{1,70})"|([\w'()+./:=?-]{1,70}))\s*(?=;|\Z)""", re.I | re.A
)
_PARAMETER = rb""";\s*([\w*-]+)=("(?:[^"\\]|\\.)*"|[^\s";]+)\s*"""
_DISPOSITION = re.compile(rb"form-data\s*(?:%b)+" % _PARAMETER, re.I)
_PARAMETERS = re.compile(_PARAMETER)


def is_form(content_type: str | None) -> bool:
    """Whether a body of this media type is a form."""
    return content_type is not None and content_type.partition(";")[0].strip().lower() == FORM


def value_of(raw: bytes, content_type: str, field: str) -> slice | None:
    """Where the value of this field stands, None where there is none. Raises InvalidRequest for what is no form."""
    places = [place for name, place in _parts(raw, _boundary(content_type)) if name == field.encode()]
    if len(places) > 1:
        raise InvalidRequest(f"the form has more than one field `{field}`", field)
    return places[0] if places else None


def _boundary(content_type: str) -> bytes:
    boundaries = _BOUNDARY.findall(content_type)
    if len(boundaries) != 1 or content_type.lower().count("boundary") != 1:
        raise InvalidRequest(f"`{FORM}` must name one `boundary`", "content-type")
    return "".join(boundaries[0]).encode()


def _parts(raw: bytes, boundary: bytes) -> Iterator[tuple[bytes, slice]]:
    """The name and the place of each part."""
    delimiter = b"\r\n--" + boundary
    if not raw.startswith(delimiter[2:]):
        raise _malformed("it does not begin with its boundary")
    place = len(delimiter) - 2
    for _ in range(MAX_PARTS):
        if raw[place : place + 2] != b"\r\n":
            break
        end = raw.find(delimiter, place)
        start = raw.find(b"\r\n\r\n", place, min(max(end, 0), place + MAX_PART_HEAD))
        if start < 0:
            raise _malformed(f"a part is not closed, or the headers of one have no end within {MAX_PART_HEAD} bytes")
        yield _name(raw[place + 2 : start]), slice(start + 4, end)
        place = end + len(delimiter)
    if raw[place : place + 5] not in (b"--", b"--\r\n"):
        raise _malformed(f"it does not end with its boundary, or has more than {MAX_PARTS} fields")


def _name(head: bytes) -> bytes:
    """What the one Content-Disposition of a part calls it."""
    headers = [line.partition(b":") for line in head.split(b"\r\n")]
    if any(not colon or name != name.strip() for name, colon, _ in headers):
        raise _malformed("a part has headers that are none")
    values = [value.strip() for name, _, value in headers if name.lower() == b"content-disposition"]
    if len(values) != 1 or _DISPOSITION.fullmatch(values[0]) is None:
        raise _malformed('each part needs one header `Content-Disposition: form-data; name="..."`')
    parameters = [(key.lower(), value.strip(b'"')) for key, value in _PARAMETERS.findall(values[0])]
    names = [value for key, value in parameters if key in (b"name", b"name*")]
    if len(names) != 1 or (b"name", names[0]) not in parameters or b"\\" in names[0]:
        raise _malformed("each part needs one plain `name`")
    return bytes(names[0])


def _malformed(why: str) -> InvalidRequest:
    return InvalidRequest(f"the body is no form: {why}", "body")
