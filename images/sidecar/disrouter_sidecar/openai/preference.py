"""A request's preference: a number, and the trained scenario nearest to it for agents that were taught no numbers.

A request states it in its field `disrouter` or in headers; else the route table's holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from disrouter.errors import InvalidRequest
from disrouter.names import HEADER_PREFERENCE, HEADER_SCENARIO
from disrouter.routes import RouteTable
from disrouter.scenario import Scenario, StatedPreference, nearest, parse_scenario
from disrouter.terms import PreferenceEncoding

EXTENSION = "disrouter"
"""Field of the body (OpenAI clients: `extra_body`) that holds `scenario` and `preference`; engines never see it."""


@dataclass(frozen=True)
class Preference:
    """One preference in both of its forms."""

    scenario: Scenario
    alpha: float
    """Preference factor in [0, 1] as it was asked for; larger weighs cost more (section 2.1)."""

    @classmethod
    def of_scenario(cls, scenario: Scenario) -> Self:
        """A scenario by name stands for its own alpha."""
        return cls(scenario, scenario.alpha)

    @classmethod
    def of_preference(cls, alpha: float) -> Self:
        """Any number in [0, 1]. Raises InvalidRequest outside it."""
        return cls(nearest(alpha), alpha)

    def stated(self, encoding: PreferenceEncoding | None) -> StatedPreference:
        """For an agent: the number where it was taught numbers and no scenario has this one, else the scenario."""
        exact = encoding is PreferenceEncoding.CONTINUOUS and self.alpha != self.scenario.alpha
        return self.alpha if exact else self.scenario

    @classmethod
    def of_table(cls, table: RouteTable) -> Self:
        """For a request that states none."""
        if table.preference is None:
            return cls.of_scenario(table.scenario)
        return cls.of_preference(table.preference)


def preference_of_body(extension: Any) -> Preference | None:
    """As the field `disrouter` states it. Raises InvalidRequest that names the field."""
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
    return _chosen(scenario, preference, f"{EXTENSION}.scenario", f"{EXTENSION}.preference")


def preference_of_headers(headers: Mapping[str, str]) -> Preference | None:
    """As the headers state it. Raises InvalidRequest that names the header."""
    text = headers.get(HEADER_PREFERENCE)
    preference = None
    if text is not None:
        try:
            preference = float(text)
        except ValueError:
            message = f"preference must be a number in [0, 1], got {text[:64]!r}"
            raise InvalidRequest(message, HEADER_PREFERENCE) from None
    return _chosen(headers.get(HEADER_SCENARIO), preference, HEADER_SCENARIO, HEADER_PREFERENCE)


def _chosen(
    scenario: str | None, preference: float | None, scenario_param: str, preference_param: str
) -> Preference | None:
    """Both are checked; a preference outranks a scenario."""
    chosen = None
    if scenario is not None:
        try:
            chosen = Preference.of_scenario(parse_scenario(scenario))
        except InvalidRequest as error:
            raise InvalidRequest(str(error), scenario_param) from None
    if preference is not None:
        try:
            chosen = Preference.of_preference(float(preference))
        except InvalidRequest as error:
            raise InvalidRequest(str(error), preference_param) from None
    return chosen
