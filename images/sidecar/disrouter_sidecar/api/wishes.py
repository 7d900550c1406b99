"""Which scenario or preference a request asks for: in its field `disrouter` or in headers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from disrouter.errors import InvalidRequest
from disrouter.names import HEADER_PREFERENCE, HEADER_SCENARIO
from disrouter.scenario import parse_scenario
from disrouter_sidecar.wish import Wish

EXTENSION = "disrouter"
"""Field of the body (OpenAI clients: `extra_body`) that holds `scenario` and `preference`; engines never see it."""


def wish_of_body(extension: Any) -> Wish | None:
    """What the field `disrouter` asks for. Raises InvalidRequest that names the field."""
    if extension is None:
        return None
    if not isinstance(extension, dict):
        raise InvalidRequest("`disrouter` must be an object with `scenario` or `preference`", EXTENSION)
    for key in extension:
        if key not in ("scenario", "preference"):
            raise InvalidRequest(f"`disrouter` has no field {key[:64]!r}; use scenario or preference", EXTENSION)
    scenario = extension.get("scenario")
    preference = extension.get("preference")
    if scenario is not None and not isinstance(scenario, str):
        raise InvalidRequest("`scenario` must be a string", f"{EXTENSION}.scenario")
    if preference is not None and (isinstance(preference, bool) or not isinstance(preference, int | float)):
        raise InvalidRequest("`preference` must be a number in [0, 1]", f"{EXTENSION}.preference")
    return _wish(scenario, preference, f"{EXTENSION}.scenario", f"{EXTENSION}.preference")


def wish_of_headers(headers: Mapping[str, str]) -> Wish | None:
    """What the headers ask for. Raises InvalidRequest that names the header."""
    text = headers.get(HEADER_PREFERENCE)
    preference = None
    if text is not None:
        try:
            preference = float(text)
        except ValueError:
            message = f"preference must be a number in [0, 1], got {text[:64]!r}"
            raise InvalidRequest(message, HEADER_PREFERENCE) from None
    return _wish(headers.get(HEADER_SCENARIO), preference, HEADER_SCENARIO, HEADER_PREFERENCE)


def _wish(scenario: str | None, preference: float | None, scenario_param: str, preference_param: str) -> Wish | None:
    """Both are checked; the finer wish, the preference, wins."""
    chosen = None
    if scenario is not None:
        try:
            chosen = Wish.of_scenario(parse_scenario(scenario))
        except InvalidRequest as error:
            raise InvalidRequest(str(error), scenario_param) from None
    if preference is not None:
        try:
            chosen = Wish.of_preference(float(preference))
        except InvalidRequest as error:
            raise InvalidRequest(str(error), preference_param) from None
    return chosen
