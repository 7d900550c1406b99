"""The route table's text to `routes.RouteTable`.

A table as the operator writes it is read here, without pydantic. Whatever this reader is not sure of is left to the
contract (`disrouter.routes`), which accepts or refuses it and says why: so nothing is accepted or refused here that the
contract would not, and only a sidecar that meets such a table pays for loading it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from itertools import pairwise
from typing import Any

import orjson

from disrouter.errors import InvalidRouteTable
from disrouter.scenario import Scenario
from disrouter.terms import MAX_GAMMA, MAX_GENERATION, Awareness, FallbackPolicy, PreferenceEncoding
from disrouter_sidecar.routes.route_table import (
    AdapterRoute,
    AgentRoute,
    Breaker,
    Calibration,
    Fallback,
    JumpRoute,
    ProbabilityRoute,
    Retries,
    RouteTable,
    Timeouts,
)

_MAX_SECONDS, _MAX_POINTS = 86400, 16
_URL = re.compile(r"https?://[^\s/]+")
_REQUIRED = object()


class _Unsure(Exception):
    """Left to the contract."""


def read_table(text: bytes) -> RouteTable:
    """Parse and check. Raises InvalidRouteTable with every reason on one line."""
    try:
        return _table(_Fields(orjson.loads(text)))
    except (_Unsure, orjson.JSONDecodeError):
        return _by_the_contract(text)


def _by_the_contract(text: bytes) -> RouteTable:
    from disrouter.routes import RouteTable as Contract

    checked = Contract.from_json(text).to_json()
    try:
        return _table(_Fields(orjson.loads(checked)))
    except (_Unsure, orjson.JSONDecodeError):
        raise InvalidRouteTable("it holds a number that is larger than any sidecar reads") from None


class _Fields:
    """A JSON object by the contract's wire names; whatever is not plainly right raises _Unsure."""

    def __init__(self, value: Any, *, only: Collection[str] = ()) -> None:
        """`only` are the fields of an object that may have no others."""
        self._fields: Mapping[str, Any] = _sure(value, isinstance(value, dict))
        known = not only or set(only).issuperset(self._fields)
        _sure(None, known and not any("_" in key for key in self._fields))

    def text(self, key: str, most: float = float("inf")) -> str:
        value = self._fields.get(key)
        return str(_sure(value, isinstance(value, str) and len(value) <= most))

    def number(self, key: str, default: Any, most: float, *, zero: bool = True) -> float:
        """From zero, or from beyond it, to `most`."""
        value = self._fields.get(key, default)
        plain = isinstance(value, float) or (isinstance(value, int) and not isinstance(value, bool))
        return float(_sure(value, plain and 0 <= value <= most and (zero or value > 0)))

    def whole(self, key: str, default: Any, least: int, most: int) -> int:
        value = self._fields.get(key, default)
        return int(_sure(value, isinstance(value, int) and not isinstance(value, bool) and least <= value <= most))

    def choice(self, key: str, default: Any, known: Collection[str]) -> Any:
        value = self._fields.get(key, default)
        return _sure(value, isinstance(value, str) and value in known)

    def part(self, key: str) -> _Fields:
        """An object that may be left out, but not be null."""
        return _Fields(self._fields.get(key, {}))

    def get(self, key: str) -> Any:
        """Whatever it is; None where it is null or not there."""
        return self._fields.get(key)


def _sure(value: Any, well: bool) -> Any:
    if not well:
        raise _Unsure
    return value


def _table(fields: _Fields) -> RouteTable:
    fields.whole("version", 1, 1, 1)
    names = _sure(fields.get("agents"), isinstance(fields.get("agents"), dict)).keys()
    timeouts, retries, breaker, fallback = map(fields.part, ("timeouts", "retries", "breaker", "fallback"))
    table = RouteTable(
        generation=fields.whole("generation", _REQUIRED, 0, MAX_GENERATION),
        cascade=fields.text("cascade"),
        entrypoint=fields.choice("entrypoint", _REQUIRED, names),
        agents={name: _agent(_Fields(route), names) for name, route in fields.get("agents").items()},
        scenario=Scenario(fields.choice("scenario", Scenario.BALANCE, tuple(Scenario))),
        preference=None if fields.get("preference") is None else fields.number("preference", _REQUIRED, 1),
        max_hops=fields.whole("maxHops", 16, 1, 64),
        timeouts=_timeouts(timeouts),
        retries=Retries(retries.number("ratio", 0.2, 10), retries.whole("burst", 100, 0, 10000)),
        breaker=Breaker(
            breaker.whole("failures", 5, 1, 1000), breaker.number("openSeconds", 10.0, _MAX_SECONDS, zero=False)
        ),
        fallback=Fallback(
            FallbackPolicy(fallback.choice("policy", FallbackPolicy.BEST_EFFORT, tuple(FallbackPolicy))),
            fallback.whole("retryAfter", 5, 1, 3600),
        ),
    )
    for name in names:
        _sure(None, _ends(table.agents, name))
    return table


def _timeouts(fields: _Fields) -> Timeouts:
    defaults = (("connect", 2.0), ("firstByte", 60.0), ("idle", 60.0), ("chain", 600.0))
    connect, first, idle, chain = (fields.number(key, default, _MAX_SECONDS, zero=False) for key, default in defaults)
    whole = None if fields.get("whole") is None else fields.number("whole", _REQUIRED, _MAX_SECONDS, zero=False)
    return Timeouts(connect, first, idle, chain, whole)


def _agent(fields: _Fields, known: Collection[str]) -> AgentRoute:
    url, adapter, taught = fields.text("url"), fields.get("adapter"), fields.get("preferenceEncoding")
    return AgentRoute(
        url=_sure(url, _URL.fullmatch(url) is not None),
        cost=fields.number("cost", _REQUIRED, 1),
        awareness=Awareness(fields.choice("awareness", _REQUIRED, tuple(Awareness))),
        next=None if fields.get("next") is None else fields.choice("next", _REQUIRED, known),
        probability=None if fields.get("probability") is None else _probability(fields.part("probability"), known),
        adapter=None if adapter is None else _adapter(_Fields(adapter)),
        preference_encoding=None
        if taught is None
        else PreferenceEncoding(fields.choice("preferenceEncoding", _REQUIRED, tuple(PreferenceEncoding))),
    )


def _adapter(fields: _Fields) -> AdapterRoute:
    name, path = fields.text("name", 128), fields.text("path", 1024)
    return AdapterRoute(_sure(name, bool(name)), _sure(path, bool(path)))


def _probability(fields: _Fields, known: Collection[str]) -> ProbabilityRoute:
    jump = None if fields.get("jump") is None else fields.part("jump")
    return ProbabilityRoute(
        calibration=_calibration(_Fields(fields.get("calibration"), only=("token", "scenario", "points"))),
        gamma=fields.number("gamma", 0.5, MAX_GAMMA),
        jump=None
        if jump is None
        else JumpRoute(jump.choice("to", _REQUIRED, known), jump.number("below", _REQUIRED, 1)),
    )


def _calibration(fields: _Fields) -> Calibration:
    token, given = fields.text("token", 64), fields.get("points")
    _sure(None, bool(token) and isinstance(given, list) and 0 < len(given) <= _MAX_POINTS)
    each = [_Fields(point, only=("refusal", "competence")) for point in given]
    points = tuple((one.number("refusal", _REQUIRED, 1), one.number("competence", _REQUIRED, 1)) for one in each)
    _sure(None, all(low[0] < high[0] and low[1] >= high[1] for low, high in pairwise(points)))
    return Calibration(token, points, Scenario(fields.choice("scenario", Scenario.BALANCE, tuple(Scenario))))


def _ends(agents: Mapping[str, AgentRoute], start: str) -> bool:
    """Whether the way from here leads to an agent that always answers, not round in circles."""
    name: str | None = start
    for _ in agents:
        name = None if name is None else agents[name].next
    return name is None
