"""Manifests that are wrong in what they say of requests: how long they wait, what they may ask for, and who asks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from support.manifest import Invalid, Manifest, change_agent

Breaks = Callable[[Manifest], object]


def _with(**fields: Any) -> Breaks:
    return lambda m: m["spec"].update(fields)


def _with_own_alias(cascade: str, alias: str) -> Breaks:
    return lambda m: (m["metadata"].update(name=cascade), m["spec"].update(aliases=[{"name": alias, "agent": "small"}]))


def _with_cap(cap: object) -> Breaks:
    return lambda m: change_agent(m, 0, maxInflight=cap)


def _with_capabilities(**capabilities: Any) -> Breaks:
    return lambda m: change_agent(m, 0, capabilities=capabilities)


def _with_self_awareness(**fields: Any) -> Breaks:
    return lambda m: change_agent(m, 0, selfAwareness={"mode": "trained"} | fields)


REQUESTS = (
    *(
        Invalid(
            f"a timeout {name} of {seconds}",
            _with(timeouts={name: seconds}),
            f"spec.timeouts.{name}",
            says,
            by_schema=True,
        )
        for name, seconds, says in (
            ("keepAlive", -1, "greater than or equal to 0 (got -1)"),
            ("keepAlive", 86401, "less than or equal to 86400"),
            ("whole", 0, "greater than 0 (got 0)"),
        )
    ),
    Invalid(
        "more decisions than a pod can remember",
        _with(keptDecisions=65537),
        "spec.keptDecisions",
        "less than or equal to 65536",
        by_schema=True,
    ),
    Invalid(
        "an unknown policy for what is undecidable",
        _with(undecidable="refuse"),
        "spec.undecidable",
        "'forward' or 'answer'",
        by_schema=True,
    ),
    *(
        Invalid(
            f"an alias {name!r}",
            _with(aliases=[{"name": name}]),
            "spec.aliases[0].name",
            "use printable ASCII without blanks",
            by_schema=True,
        )
        for name in ("gpt 4o", "gpt-4o\t", "modèle")
    ),
    Invalid(
        "an empty alias",
        _with(aliases=[{"name": ""}]),
        "spec.aliases[0].name",
        "at least 1 character",
        by_schema=True,
    ),
    Invalid(
        "a long alias",
        _with(aliases=[{"name": "m" * 257}]),
        "spec.aliases[0].name",
        "at most 256 characters",
        by_schema=True,
    ),
    Invalid(
        "an alias without a name",
        _with(aliases=[{"agent": "small"}]),
        "spec.aliases[0].name",
        "is required; add it",
        by_schema=True,
    ),
    Invalid(
        "too many aliases",
        _with(aliases=[{"name": f"model-{number}"} for number in range(65)]),
        "spec.aliases",
        "at most 64 items",
        by_schema=True,
    ),
    *(
        Invalid(
            f"an origin {origin}",
            _with(cors={"origins": ["*", origin]}),
            "spec.cors.origins[1]",
            "write https://host or https://host:port, in lower case and without a path, or *",
            by_schema=True,
        )
        for origin in (
            *("app.example.com", "https://app.example.com/", "https://app.example.com/chat", "ftp://app.example.com"),
            *("https://App.example.com", "https://*.example.com", "https://me@app.example.com", "https://a:port"),
            *("null", "https://a b", "https://"),
        )
    ),
    Invalid(
        "a long origin",
        _with(cors={"origins": [f"https://{'a' * 249}"]}),
        "spec.cors.origins[0]",
        "at most 256 characters",
        by_schema=True,
    ),
    Invalid(
        "too many origins",
        _with(cors={"origins": [f"https://a{number}" for number in range(33)]}),
        "spec.cors.origins",
        "at most 32 items",
        by_schema=True,
    ),
    *(
        Invalid(
            f"a capability {name} of {value!r}",
            _with_capabilities(**{name: value}),
            f"spec.agents[0].capabilities.{name}",
            says,
            by_schema=True,
        )
        for name, value, says in (
            *((name, "yes", "should be a valid boolean") for name in ("images", "audio", "tools", "structuredOutput")),
            ("contextLength", 0, "greater than or equal to 1 (got 0)"),
            ("contextLength", 100_000_001, "less than or equal to 100000000"),
            ("contextLength", "8k", "should be a valid integer"),
        )
    ),
    Invalid(
        "a misspelt capability",
        _with_capabilities(image=True),
        "spec.agents[0].capabilities.image",
        "did you mean 'images'?",
    ),
    *(
        Invalid(
            f"a cap of {value!r}",
            _with_cap(value),
            "spec.agents[0].maxInflight",
            says,
            by_schema=True,
        )
        for value, says in (
            (0, "greater than or equal to 1 (got 0)"),
            (100_001, "less than or equal to 100000"),
            ("8", "should be a valid integer"),
        )
    ),
    *(
        Invalid(
            f"a {name} in quotes",
            _with_self_awareness(**{name: "true"}),
            f"spec.agents[0].selfAwareness.{name}",
            "should be a valid boolean",
            by_schema=True,
        )
        for name in ("deferralTool", "promptOpensReasoning")
    ),
    Invalid(
        "duplicate aliases",
        _with(aliases=[{"name": "gpt-4o"}, {"name": "gpt-4o", "agent": "large"}]),
        "spec.aliases",
        "2 aliases are named 'gpt-4o'; names must be unique",
        by_schema=True,
    ),
    Invalid(
        "an alias of an unknown agent",
        _with(aliases=[{"name": "gpt-4o"}, {"name": "gpt-4o-mini", "agent": "tiny"}]),
        "spec.aliases[1].agent",
        "no agent is named 'tiny'; use one of small, medium, large",
        by_cel="spec.aliases[].agent: no agent has that name; use one of spec.agents[].name",
    ),
    *(
        Invalid(
            f"an alias {alias} of the cascade {name}",
            _with_own_alias(name, alias),
            "spec.aliases[0].name",
            f"'{alias}' is taken: the cascade's own name and all that begins with it and '/' are; use another",
            by_cel="spec.aliases[].name: the cascade's own name and all that begins with it and '/' are taken",
        )
        for name, alias in (("own", "own"), ("top", "top/"), ("known", "known/small"), ("deep", "deep/other/one"))
    ),
)
