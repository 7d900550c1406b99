"""Authentication: clients by API key, other sidecars by the hop token.

Only a caller with the hop token is taken for a sidecar. Internal headers of every other caller are dropped. Keys are
compared as digests, every one of them every time, so that the time taken reveals nothing.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from disrouter.names import HEADER_DEADLINE, HEADER_PATH
from disrouter_sidecar.errors import InvalidConfig, Rejected
from disrouter_sidecar.headers import Headers
from disrouter_sidecar.mounted_files import Mounted, files_of

MAX_KEYS = 4096
MAX_KEY_BYTES = 4096
_INTERNAL = (HEADER_PATH, HEADER_DEADLINE)
"""Headers that sidecars send each other; scenario and preference are the client's to choose."""
_SCHEME = "bearer "


class Keys:
    """A set of secrets that can only be compared with."""

    def __init__(self, keys: Iterable[bytes]) -> None:
        self._digests = [hashlib.sha256(key).digest() for key in keys]

    def know(self, presented: bytes) -> bool:
        """Whether this is one of them, in a time that depends on their number alone."""
        digest = hashlib.sha256(presented).digest()
        known = False
        for each in self._digests:
            known |= hmac.compare_digest(each, digest)
        return known


@dataclass(frozen=True)
class Tokens:
    """The hop token: one is sent, each is accepted, so that it can be rotated without a lost hop."""

    sent: str = field(repr=False)
    keys: Keys


class Authenticator:
    """Admits requests. Without API keys every client may ask; without a hop token internal headers are trusted."""

    def __init__(self, api_keys: Path | None = None, hop_token: Path | None = None) -> None:
        """Raises InvalidConfig where a file is missing or unusable."""
        self._keys = None if api_keys is None else Mounted.required(api_keys, read_keys)
        self._hop = None if hop_token is None else Mounted.required(hop_token, read_tokens)

    @property
    def open(self) -> bool:
        """Whether everybody is admitted, with every header."""
        return self._hop is None

    def admit(self, headers: Headers) -> Headers:
        """The headers that can be trusted. Raises Rejected (401) for a client without a valid API key."""
        if self._hop is None:
            return headers
        presented = _bearer(headers.get("authorization", "")) or headers.get("x-api-key", "").encode("latin-1")
        if self._hop.value.keys.know(presented):
            return headers
        if self._keys is not None and not self._keys.value.know(presented):
            message = "no valid API key was sent; send one as `Authorization: Bearer <key>` or as `x-api-key`"
            raise Rejected(401, "invalid_api_key", message)
        return {name: value for name, value in headers.items() if name not in _INTERNAL}

    def trusts(self, headers: Headers) -> bool:
        """Whether all of these headers can be. Raises Rejected (401) as `admit` does."""
        return self._hop is None or len(self.admit(headers)) == len(headers)

    def hop_headers(self) -> Headers:
        """What identifies this sidecar to the next agent's."""
        return {} if self._hop is None else {"authorization": f"Bearer {self._hop.value.sent}"}

    def poll(self) -> None:
        """Read files again that have changed."""
        polls: list[Callable[[], bool]] = [each.poll for each in (self._keys, self._hop) if each is not None]
        for poll in polls:
            poll()


def read_keys(folder: Path) -> Keys:
    """Every file of a mounted Secret is one key. Without any file no client is admitted: the safe reading."""
    if not folder.is_dir():
        raise InvalidConfig(f"{folder} is not a folder of API keys; mount the Secret there")
    files = files_of(folder)
    if len(files) > MAX_KEYS:
        raise InvalidConfig(f"{folder} holds {len(files)} API keys; at most {MAX_KEYS} are supported")
    return Keys(key for file in files if (key := _short(file).strip()))


def read_tokens(file: Path) -> Tokens:
    """One token per line, the one to send first."""
    tokens = tuple(line.strip() for line in _short(file).decode("ascii", "replace").splitlines() if line.strip())
    if not tokens or not all(token.isascii() and token.isprintable() for token in tokens):
        raise InvalidConfig(f"{file} must hold a token that a header can carry; check the Secret (it is not shown)")
    return Tokens(tokens[0], Keys(map(str.encode, tokens)))


def _short(file: Path) -> bytes:
    with file.open("rb") as opened:
        text = opened.read(MAX_KEY_BYTES + 1)
    if len(text) > MAX_KEY_BYTES:
        raise InvalidConfig(f"{file} is larger than {MAX_KEY_BYTES} bytes; a key is shorter")
    return text


def _bearer(header: str) -> bytes:
    """The key's bytes as they were sent: the parser reads each byte of a header as one character."""
    if header[: len(_SCHEME)].lower() != _SCHEME:
        return b""
    return header[len(_SCHEME) :].encode("latin-1", "replace").strip()
