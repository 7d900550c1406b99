"""The environment, parsed once into a frozen value. There is no other configuration."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from disrouter.listening import ANY_ADDRESS
from disrouter.names import FRAMING_HEADERS, SIDECAR_PORT, is_dns_label
from disrouter_sidecar.errors import InvalidConfig

MAX_BODY_BYTES = 4 * 1024 * 1024
"""Largest request body by default: a million tokens of text. Parsed it may take 30 times as much."""

MAX_HEADERS = 64
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]{1,128}")


@dataclass(frozen=True)
class Config:
    """What one sidecar is: its agent, its engine, its address and its limits."""

    cascade: str
    agent: str
    engine_url: str
    """Base address of the engine: without `/v1` beside this sidecar, with the provider's own path if `external`."""
    engine_model: str
    """Value of `model` in requests to the engine."""
    routes: Path
    engine_key: str | None = field(default=None, repr=False)
    engine_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Headers of every request to the engine; `authorization` replaces the key."""
    external: bool = False
    """The engine is a provider elsewhere: its health is not probed, unless `engine_health` says where."""
    engine_health: str | None = None
    """Address that says 200 to a GET while the engine serves; None: `/health` of the engine beside this sidecar."""
    api_keys: Path | None = None
    """Folder with a file per API key that clients may present; None: no key is asked for."""
    hop_token: Path | None = None
    """File with the bearer by which sidecars identify each other."""
    tls: Path | None = None
    """Folder with `tls.crt`, `tls.key` and `ca.crt`."""
    host: str = ANY_ADDRESS
    """A pod's port must be reachable from its Service, by IPv4 and IPv6."""
    port: int = SIDECAR_PORT
    drain_seconds: float = 30.0
    """Seconds that requests in flight get after SIGTERM."""
    linger_seconds: float = 1.0
    """Seconds after SIGTERM in which new requests are still taken: a Service learns of the end a little later."""
    max_body_bytes: int = MAX_BODY_BYTES
    log_level: str = "INFO"
    fast_path: bool = True
    """Plain chats are served without the objects of a run."""

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Config:
        """Read and check every variable. Raises InvalidConfig that names the variable and the remedy."""
        if _path(env, "DISROUTER_API_KEYS") is not None and _path(env, "DISROUTER_HOP_TOKEN") is None:
            raise InvalidConfig("DISROUTER_API_KEYS needs DISROUTER_HOP_TOKEN, or sidecars could not ask each other")
        return cls(
            cascade=_name(env, "DISROUTER_CASCADE"),
            agent=_name(env, "DISROUTER_AGENT"),
            engine_url=_url(env, "DISROUTER_ENGINE_URL"),
            engine_model=_required(env, "DISROUTER_ENGINE_MODEL", "the model's name in the engine"),
            routes=Path(_required(env, "DISROUTER_ROUTES", "the path of the route table, a JSON file")),
            engine_key=_key(env, "DISROUTER_ENGINE_KEY"),
            engine_headers=_headers(env),
            external=_flag(env, "DISROUTER_EXTERNAL"),
            engine_health=_optional_url(env, "DISROUTER_ENGINE_HEALTH"),
            api_keys=_path(env, "DISROUTER_API_KEYS"),
            hop_token=_path(env, "DISROUTER_HOP_TOKEN"),
            tls=_path(env, "DISROUTER_TLS"),
            host=env.get("DISROUTER_HOST", "").strip() or cls.host,
            port=int(_number(env, "DISROUTER_PORT", cls.port, 1, 65535, whole=True)),
            drain_seconds=_number(env, "DISROUTER_DRAIN_SECONDS", cls.drain_seconds, 0, 86400),
            linger_seconds=_number(env, "DISROUTER_LINGER_SECONDS", cls.linger_seconds, 0, 3600),
            max_body_bytes=int(_number(env, "DISROUTER_MAX_BODY_BYTES", cls.max_body_bytes, 1024, 2**31, whole=True)),
            log_level=_level(env, "DISROUTER_LOG_LEVEL"),
            fast_path=_flag(env, "DISROUTER_FAST_PATH", cls.fast_path),
        )

    @property
    def engine_base(self) -> str:
        """What an API's path is appended to."""
        return self.engine_url if self.external else f"{self.engine_url}/v1"

    @property
    def engine_root(self) -> str:
        """What the path of an API is appended to that vLLM serves outside `/v1`."""
        return self.engine_url.removesuffix("/v1")

    @property
    def health_url(self) -> str | None:
        """What is asked whether the engine serves; None: nobody is, and it is taken to serve."""
        if self.engine_health is not None:
            return self.engine_health
        return None if self.external else f"{self.engine_url}/health"

    @property
    def engine_bearer(self) -> Mapping[str, str]:
        """Headers that authenticate this sidecar to the engine."""
        key = {} if self.engine_key is None else {"authorization": f"Bearer {self.engine_key}"}
        return {**key, **self.engine_headers}


def _required(env: Mapping[str, str], name: str, what: str) -> str:
    value = env.get(name, "").strip()
    if not value:
        raise InvalidConfig(f"{name} is not set; set it to {what}")
    return value


def _name(env: Mapping[str, str], name: str) -> str:
    value = _required(env, name, "a name from the manifest")
    if not is_dns_label(value):
        raise InvalidConfig(f"{name}={value[:80]!r} is not a name; use lower case letters, digits and dashes")
    return value


def _url(env: Mapping[str, str], name: str) -> str:
    return _address(name, _required(env, name, "the engine's base address, for example http://127.0.0.1:8081"))


def _optional_url(env: Mapping[str, str], name: str) -> str | None:
    value = env.get(name, "").strip()
    return _address(name, value) if value else None


def _address(name: str, text: str) -> str:
    value = text.rstrip("/")
    try:
        parts = urlsplit(value)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or parts.query or parts.fragment or parts.username:
        raise InvalidConfig(f"{name} is not an address; use http(s)://host[:port][/path] without credentials or query")
    return value


def _key(env: Mapping[str, str], name: str) -> str | None:
    value = env.get(name, "").strip()
    if not value:
        return None
    if not (value.isascii() and value.isprintable()):
        raise InvalidConfig(
            f"{name} holds characters that no header can carry; check the Secret (its value is not shown)"
        )
    return value


def _path(env: Mapping[str, str], name: str) -> Path | None:
    value = env.get(name, "").strip()
    return Path(value) if value else None


def _headers(env: Mapping[str, str]) -> Mapping[str, str]:
    """`DISROUTER_HEADER_0_NAME` with `DISROUTER_HEADER_0_VALUE`, and so on to the first that is missing."""
    headers: dict[str, str] = {}
    for index in range(MAX_HEADERS):
        variable = f"DISROUTER_HEADER_{index}_NAME"
        name = env.get(variable, "").strip().lower()
        if not name:
            break
        if _TOKEN.fullmatch(name) is None or name in FRAMING_HEADERS:
            raise InvalidConfig(f"{variable}={name[:80]!r} is not a header that can be set; use another name")
        headers[name] = _key(env, f"DISROUTER_HEADER_{index}_VALUE") or ""
    return headers


def _flag(env: Mapping[str, str], name: str, default: bool = False) -> bool:
    value = env.get(name, "").strip().lower()
    if not value:
        return default
    if value in ("0", "false", "no"):
        return False
    if value in ("1", "true", "yes"):
        return True
    raise InvalidConfig(f"{name}={value[:80]!r} is neither true nor false; use one of them")


def _number(
    env: Mapping[str, str], name: str, default: float, least: float, most: float, *, whole: bool = False
) -> float:
    text = env.get(name, "").strip()
    if not text:
        return default
    kind = "a whole number" if whole else "a number"
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise InvalidConfig(f"{name}={text[:80]!r} must be {kind} from {least:g} to {most:g}")
    return value


def _level(env: Mapping[str, str], name: str) -> str:
    value = env.get(name, "").strip().upper() or "INFO"
    if value not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise InvalidConfig(f"{name}={value[:80]!r} is not a level; use debug, info, warning or error")
    return value
