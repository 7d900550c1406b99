"""Compressed replies, undone to judge them although none was asked for; what is relayed are the bytes that came."""

from __future__ import annotations

import zlib

MAX_DECODED = 16 * 1024 * 1024
"""Bytes to which one reply may expand: a few bytes can stand for gigabytes."""
_GZIP = 16 + zlib.MAX_WBITS
_ZLIB, _RAW = zlib.MAX_WBITS, -zlib.MAX_WBITS
_KNOWN = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": _ZLIB}


class Inflate:
    """Feed compressed bytes in any pieces, get the plain ones. Raises ValueError on what cannot be undone."""

    def __init__(self, coding: str) -> None:
        self._wbits = _KNOWN[coding]
        self._stream = zlib.decompressobj(self._wbits)
        self._left = MAX_DECODED
        self._first = True

    def feed(self, piece: bytes) -> bytes:
        """The plain bytes of this piece."""
        out = []
        while piece and self._left > 0:
            plain = self._inflate(piece)
            self._left -= len(plain)
            out.append(plain)
            piece = self._stream.unconsumed_tail
            if self._stream.eof:  # another member may follow (RFC 1952)
                piece = self._stream.unused_data
                self._stream = zlib.decompressobj(self._wbits)
        if self._left <= 0:
            raise ValueError(f"it expands to more than {MAX_DECODED} bytes")
        return b"".join(out)

    def _inflate(self, piece: bytes) -> bytes:
        try:
            plain = self._stream.decompress(piece, self._left)
        except zlib.error as error:
            if self._wbits != _ZLIB or not self._first:
                raise ValueError(f"it is not {error}") from None
            self._wbits = _RAW  # many servers send deflate without the header that RFC 9110 asks for
            self._stream = zlib.decompressobj(_RAW)
            return self._inflate(piece)
        self._first = False
        return plain


def decoder_of(encoding: str | None) -> Inflate | None:
    """What undoes a `content-encoding`; None where nothing has to be undone. Raises ValueError for any other."""
    codings = [
        coding for part in (encoding or "").lower().split(",") if (coding := part.strip()) not in ("", "identity")
    ]
    if not codings:
        return None
    if len(codings) > 1 or codings[0] not in _KNOWN:
        raise ValueError(f"its content-encoding {', '.join(codings)[:64]!r} is not known")
    return Inflate(codings[0])
