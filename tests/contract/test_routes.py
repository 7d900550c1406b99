"""The route table survives the wire and refuses what would lose a request."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, get_type_hints

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from disrouter import routes
from disrouter.api import Agent, CascadeSpec, parse
from disrouter.api.definition.crd import structural
from disrouter.calibration import Calibration, CalibrationPoint
from disrouter.errors import InvalidRouteTable
from disrouter.routes import (
    AdapterRoute,
    AgentRoute,
    AliasRoute,
    Awareness,
    Capabilities,
    Fallback,
    FallbackPolicy,
    JumpRoute,
    ProbabilityRoute,
    RouteTable,
    Timeouts,
    UndecidablePolicy,
)
from disrouter.terms import PreferenceEncoding
from support.manifests import valid


def _table(**changes: Any) -> RouteTable:
    agents = {
        "small": AgentRoute(url="http://small", cost=0.1, awareness=Awareness.TRAINED, next="large"),
        "large": AgentRoute(url="http://large:8080", cost=0.9, awareness=Awareness.NONE),
    }
    fields: dict[str, Any] = {"generation": 3, "cascade": "qwen", "entrypoint": "small", "agents": agents}
    return RouteTable(**(fields | changes))


def _full() -> RouteTable:
    """One with everything in it."""
    points = (CalibrationPoint(refusal=0.1, competence=0.9), CalibrationPoint(refusal=0.8, competence=0.2))
    small = AgentRoute(
        url="http://small",
        cost=0.1,
        awareness=Awareness.TRAINED,
        next="large",
        probability=ProbabilityRoute(
            calibration=Calibration(token="I", points=points), jump=JumpRoute(to="large", below=0.1)
        ),
        adapter=AdapterRoute(name="run-1", path="/mnt/run-1"),
        preference_encoding=PreferenceEncoding.CONTINUOUS,
        prompt_opens_reasoning=True,
        deferral_tool=True,
        capabilities=Capabilities(images=False, audio=False, tools=True, structured_output=True, context_length=8192),
        max_inflight=64,
    )
    large = AgentRoute(url="https://large:8443", cost=0.9, awareness=Awareness.NONE)
    return _table(
        preference=0.3,
        timeouts=Timeouts(whole=9.5, keep_alive=3.0),
        undecidable=UndecidablePolicy.ANSWER,
        aliases={"gpt-4o": AliasRoute(), "meta-llama/Llama": AliasRoute(agent="small")},
        cors_origins=["https://app.example.com"],
        kept_decisions=7,
        agents={"small": small, "large": large},
    )


def _changed(path: str, value: Any) -> bytes:
    """The full table as text, with another value at `path`; `...` takes it out."""
    table = json.loads(_full().to_json())
    *above, last = path.split(".")
    place = table
    for key in above:
        place = place[int(key) if isinstance(place, list) else key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return json.dumps(table).encode()


def test_a_full_table_survives_json() -> None:
    assert RouteTable.from_json(_full().to_json()) == _full()
    assert RouteTable.from_json(_full().to_json().encode()) == _full()
    assert '"firstByte"' in _full().to_json()


def test_equal_tables_are_equal_text_whatever_the_order_of_their_agents() -> None:
    table = _full()
    turned = replace(table, agents=dict(reversed(table.agents.items())))
    assert list(turned.agents) != list(table.agents)
    assert turned.to_json() == table.to_json()


def test_what_is_absent_is_not_written() -> None:
    assert "null" not in _table().to_json()


def test_the_path_goes_from_the_entrypoint_to_the_one_that_always_answers() -> None:
    assert _table().path() == ["small", "large"]
    assert _table(entrypoint="large").path() == ["large"]


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("entrypoint", "tiny", "entrypoint 'tiny' is not among the agents"),
        ("agents.small.next", "huge", "agents.small.next 'huge' is not among"),
        ("agents.small.probability.jump.to", "huge", "agents.small jumps to 'huge', not among"),
        ("agents.large.next", "small", "large -> small -> large"),
        ("agents.large.next", "large", "large -> large"),
        ("version", 2, "version: "),
        ("generation", ..., "generation: Field required"),
        ("agents.large.awareness", ..., "agents.large.awareness: Field required"),
        ("agents.large", [], "agents.large: Expected `object`"),
        ("agents", {}, "agents: "),
        ("scenario", "fast", "scenario: "),
        ("agents.small.url", "http://small/v1", "agents.small.url: "),
        ("agents.small.url", "http://small\n", "agents.small.url: "),
        ("agents.small.url", "ftp://small", "agents.small.url: "),
        ("agents.small.adapter.name", "", "agents.small.adapter.name: "),
        ("agents.small.adapter.name", "x" * 129, "agents.small.adapter.name: "),
        ("agents.small.adapter.path", "x" * 1025, "agents.small.adapter.path: "),
        ("agents.small.preferenceEncoding", "other", "agents.small.preferenceEncoding: "),
        ("agents.small.probability.calibration.token", "", "agents.small.probability.calibration.token: "),
        ("agents.small.probability.calibration.token", "x" * 65, "agents.small.probability.calibration.token: "),
        ("agents.small.probability.calibration.weight", 1, "agents.small.probability.calibration: .*unknown field"),
        ("agents.small.probability.calibration.points.0.weight", 1, "calibration.points.0.: .*unknown field"),
        ("agents.small.probability.calibration.points", [], "agents.small.probability.calibration.points: "),
        ("agents.small.probability.calibration.points.1.refusal", 0.1, "must rise in refusal"),
        ("agents.small.probability.calibration.points.1.competence", 0.95, "not rise in competence"),
        ("fallback.policy", "never", "fallback.policy: "),
        ("timeouts", None, "timeouts: "),
        ("timeouts.whole", None, "timeouts.whole: "),
        ("undecidable", "refuse", "undecidable: Invalid enum value 'refuse'"),
        ("agents.small.deferralTool", None, "agents.small.deferralTool: Expected `bool`"),
        ("agents.small.capabilities.images", "yes", "agents.small.capabilities.images: Expected `bool | null`"),
        ("aliases.gpt-4o", [], "aliases.gpt-4o: Expected `object`"),
        ("aliases.gpt-4o.agent", 4, r"aliases.gpt-4o.agent: Expected `str \| null`"),
        ("aliases.gpt-4o.agent", "huge", "aliases.gpt-4o 'huge' is not among the agents"),
        ("aliases", {"": {}}, "aliases: Expected `str` of length >= 1"),
        ("aliases", {"x" * 257: {}}, "aliases: Expected `str` of length <= 256"),
        ("aliases", {f"a{k}": {} for k in range(65)}, "aliases: Expected `object` of length <= 64"),
        ("corsOrigins", [""], r"corsOrigins\[0\]: "),
        ("corsOrigins", ["x" * 257], r"corsOrigins\[0\]: "),
        ("corsOrigins", ["*"] * 33, "corsOrigins: "),
    ],
)
def test_a_broken_table_names_the_field_and_says_why(path: str, value: Any, says: str) -> None:
    with pytest.raises(InvalidRouteTable, match=says) as caught:
        RouteTable.from_json(_changed(path, value))
    assert "\n" not in str(caught.value)


_NUMBERS = {
    "generation": (0, 2**63 - 1, 1),
    "preference": (0, 1, 0.001),
    "maxHops": (1, 64, 1),
    "timeouts.connect": (0.001, 86400, 0.001),
    "timeouts.firstByte": (0.001, 86400, 0.001),
    "timeouts.idle": (0.001, 86400, 0.001),
    "timeouts.chain": (0.001, 86400, 0.001),
    "timeouts.whole": (0.001, 86400, 0.001),
    "timeouts.keepAlive": (0, 86400, 0.001),
    "retries.ratio": (0, 10, 0.001),
    "retries.burst": (0, 10000, 1),
    "breaker.failures": (1, 1000, 1),
    "breaker.openSeconds": (0.001, 86400, 0.001),
    "fallback.retryAfter": (1, 3600, 1),
    "agents.small.cost": (0, 1, 0.001),
    "agents.small.maxInflight": (1, 100_000, 1),
    "agents.small.capabilities.contextLength": (1, 100_000_000, 1),
    "agents.small.probability.gamma": (0, 4, 0.001),
    "agents.small.probability.jump.below": (0, 1, 0.001),
    "agents.small.probability.calibration.points.0.competence": (0.2, 1, 0.001),
    "agents.small.probability.calibration.points.1.refusal": (0.101, 1, 0.001),
}
"""Least and most of each number, and a step beyond them."""


@pytest.mark.parametrize("path", _NUMBERS)
def test_a_number_is_taken_up_to_its_bounds_and_no_further(path: str) -> None:
    least, most, step = _NUMBERS[path]
    for inside in (least, most):
        RouteTable.from_json(_changed(path, inside))
    for outside in (least - step, most + step):
        with pytest.raises(InvalidRouteTable):
            RouteTable.from_json(_changed(path, outside))


@pytest.mark.parametrize("path", _NUMBERS)
@pytest.mark.parametrize("value", ["1", True, [], {}], ids=repr)
def test_nothing_else_stands_for_a_number(path: str, value: Any) -> None:
    with pytest.raises(InvalidRouteTable, match=r"Expected `(int|float)( \| null)?`, got"):
        RouteTable.from_json(_changed(path, value))


_OPTIONAL = (
    *("preference", "aliases.meta-llama/Llama.agent", "agents.small.next", "agents.small.probability"),
    *(f"agents.small.capabilities.{name}" for name in ("images", "structuredOutput", "contextLength")),
    "agents.small.maxInflight",
)


@pytest.mark.parametrize("path", _OPTIONAL)
def test_what_may_be_absent_may_be_null(path: str) -> None:
    assert RouteTable.from_json(_changed(path, None)) == RouteTable.from_json(_changed(path, ...))


def test_a_table_of_a_newer_operator_is_read_past_its_unknown_fields() -> None:
    newer = json.loads(_table().to_json())
    newer["shadow"] = {"agent": "new"}
    newer["timeouts"]["queue"] = 3
    newer["agents"]["small"]["weight"] = 0.5
    assert RouteTable.from_json(json.dumps(newer)) == _table()


def test_a_table_that_says_as_little_as_it_may_has_the_defaults() -> None:
    agents = {"small": {"url": "http://small", "cost": 0, "awareness": "none"}}
    least = {"generation": 1, "cascade": "qwen", "entrypoint": "small", "agents": agents}
    table = RouteTable.from_json(json.dumps(least))
    assert table.timeouts == Timeouts(connect=2, first_byte=60, idle=60, chain=600, whole=300, keep_alive=15)
    assert (table.max_hops, table.scenario, table.preference) == (16, "balance", None)
    assert table.fallback == Fallback(policy=FallbackPolicy.BEST_EFFORT, retry_after=5)
    assert table.retries == routes.Retries(ratio=0.2, burst=100)
    assert table.breaker == routes.Breaker(failures=5, open_seconds=10)
    assert (table.undecidable, table.aliases, table.cors_origins) == ("forward", {}, [])
    assert table.kept_decisions == 2048
    small = table.agents["small"]
    assert (small.deferral_tool, small.prompt_opens_reasoning, small.capabilities) == (False, False, Capabilities())
    assert small.max_inflight is None


def test_what_no_sidecar_would_read_is_not_written() -> None:
    agents = {"small": AgentRoute(url="small", cost=0.1, awareness=Awareness.NONE)}
    with pytest.raises(InvalidRouteTable, match=r"agents\.small\.url"):
        _table(agents=agents).to_json()
    with pytest.raises(ValueError, match="entrypoint 'tiny'"):
        _table(entrypoint="tiny")


@pytest.mark.parametrize(
    "text",
    [b"", b"[]", b"null", b"{", b'{"agents": null}', b"NaN", b"\xff", b'{"\xff": 1}', b'{"a":' + b"[" * 100_000],
    ids=lambda text: repr(text[:16]),
)
def test_what_is_no_table_is_refused_in_one_line(text: bytes) -> None:
    with pytest.raises(InvalidRouteTable) as caught:
        RouteTable.from_json(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("agents.large.cost", "high"), "agents.large.cost: Expected `float`, got `str`"),
        (("agents.large.cost", ...), "agents.large.cost: Field required"),
        (("generation", ...), "generation: Field required"),
        (("entrypoint", "tiny"), "entrypoint 'tiny' is not among the agents ['large', 'small']"),
    ],
)
def test_the_whole_message(change: tuple[str, Any], says: str) -> None:
    with pytest.raises(InvalidRouteTable) as caught:
        RouteTable.from_json(_changed(*change))
    assert str(caught.value) == says


def test_a_message_on_what_is_no_json() -> None:
    with pytest.raises(InvalidRouteTable, match=r"\AInvalid JSON: .*truncated"):
        RouteTable.from_json(b"{")


def test_an_alias_is_named_even_where_the_agents_are_missing() -> None:
    with pytest.raises(InvalidRouteTable, match=r"aliases\.gpt-4o\.agent: Expected"):
        RouteTable.from_json('{"aliases": {"gpt-4o": {"agent": 3}}}')


def test_text_that_is_not_json_is_refused_as_such() -> None:
    with pytest.raises(InvalidRouteTable, match="Invalid JSON"):
        RouteTable.from_json("{")


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value below its top."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield (*path, key)
        yield from _places(each, (*path, key))


_VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 2**70),
    st.floats(-2, 1e6),
    st.floats(0, 5),
    st.sampled_from(
        ["", "small", "large", "x" * 2000, "0.5", "balance", "none", "http://a/b", "http://a b", "trained"]
    ),
    st.sampled_from([[], {}, [[]], {"a": 1}, [{"refusal": 0.5, "competence": 0.5}], {"first_byte": 1.0}]),
)


@settings(max_examples=600, deadline=None, derandomize=True, database=None)
@given(st.data())
def test_whatever_is_changed_in_it_is_refused_in_one_line_or_survives_the_wire(data: st.DataObject) -> None:
    changed = json.loads(_full().to_json())
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(list(_places(changed)) or [("new",)]))
        holder = changed
        for key in path[:-1]:
            holder = holder[key]
        action = data.draw(st.sampled_from(["set", "drop", "add", "rename"]))
        if action == "drop":
            holder.pop(path[-1], None) if isinstance(holder, dict) else holder.pop(path[-1])
        elif action == "add" and isinstance(holder, dict):
            holder[data.draw(st.sampled_from(["new", "max_hops", "next", "small"]))] = data.draw(_VALUES)
        elif action == "rename" and isinstance(holder, dict) and path[-1] in holder:
            holder[f"{path[-1]}_"] = holder.pop(path[-1])
        else:
            holder[path[-1]] = data.draw(_VALUES)
    try:
        table = RouteTable.from_json(json.dumps(changed).encode())
    except InvalidRouteTable as error:
        refusal = error
    else:
        assert RouteTable.from_json(table.to_json()) == table
        assert [table.path_from(name)[0] for name in table.agents] == list(table.agents)
        return
    assert str(refusal)
    assert "\n" not in str(refusal)


def test_a_manifests_timeouts_travel_in_the_table() -> None:
    spec = parse(valid() | {"spec": valid()["spec"] | {"timeouts": {"idle": 5}}})
    table = _table(timeouts=Timeouts(**dict(spec.timeouts)))
    assert table.timeouts == Timeouts(idle=5)
    assert RouteTable.from_json(table.to_json()) == table


def _bounds(schema: dict[str, Any]) -> dict[str, Any]:
    """Bounds, choices and default of each field of a JSON schema."""
    fields = structural(schema)["properties"]
    unlike = ("description", "type")
    return {
        name: {key: sorted(value) if key == "enum" else value for key, value in field.items() if key not in unlike}
        for name, field in fields.items()
    }


@pytest.mark.parametrize("name", ["timeouts", "retries", "breaker", "fallback"])
def test_the_manifest_has_the_fields_defaults_and_bounds_of_the_table(name: str) -> None:
    struct, model = get_type_hints(RouteTable)[name], get_type_hints(CascadeSpec)[name]
    _, parts = msgspec.json.schema_components([struct], ref_template="#/$defs/{name}")
    bounds = _bounds(model.model_json_schema())
    assert bounds == _bounds(parts[struct.__name__] | {"$defs": parts})
    assert all(field.keys() - {"default"} for field in bounds.values()), "each has bounds or choices"
    assert struct(**dict(model())) == struct()


def test_the_manifest_has_the_capabilities_of_the_table() -> None:
    _, parts = msgspec.json.schema_components([Capabilities], ref_template="#/$defs/{name}")
    bounds = _bounds(get_type_hints(Agent)["capabilities"].model_json_schema())
    assert bounds == _bounds(parts["Capabilities"])
    assert bounds.keys() == {"images", "audio", "tools", "structuredOutput", "contextLength"}


def test_the_manifest_has_the_cap_of_the_table() -> None:
    """Both as an object, which `_bounds` reads."""
    (_, parts), agent = msgspec.json.schema_components([AgentRoute]), structural(Agent.model_json_schema())
    cap = parts["AgentRoute"]["properties"]["maxInflight"]["anyOf"]
    bounds = next({key: each[key] for key in ("minimum", "maximum")} for each in cap if each["type"] == "integer")
    field = agent["properties"]["maxInflight"]
    assert {key: field[key] for key in bounds} == bounds == {"minimum": 1, "maximum": 100_000}
    assert "default" not in field


def test_the_manifest_takes_as_many_aliases_and_origins_as_the_table_and_none_that_is_longer() -> None:
    (_, parts), spec = msgspec.json.schema_components([RouteTable]), structural(CascadeSpec.model_json_schema())
    table = parts["RouteTable"]["properties"]
    length = ("minLength", "maxLength")
    aliases, origins = spec["properties"]["aliases"], spec["properties"]["cors"]["properties"]["origins"]
    alias = aliases["items"]["properties"]["name"]
    assert aliases["maxItems"] == table["aliases"]["maxProperties"]
    assert {key: alias[key] for key in length} == {key: table["aliases"]["propertyNames"][key] for key in length}
    assert origins["maxItems"] == table["corsOrigins"]["maxItems"]
    assert {key: origins["items"][key] for key in length} == {key: table["corsOrigins"]["items"][key] for key in length}


def test_no_part_of_a_table_can_be_changed() -> None:
    table = _full()
    small = table.agents["small"]
    assert small.probability is not None
    assert small.adapter is not None
    parts = (table, table.timeouts, table.retries, table.breaker, table.fallback, table.aliases["gpt-4o"])
    inner = (small, small.adapter, small.capabilities)
    for part in (*parts, *inner, small.probability, small.probability.jump, small.probability.calibration):
        field = msgspec.structs.fields(part)[0].name  # type: ignore[arg-type]
        with pytest.raises(AttributeError, match="immutable type"):
            setattr(part, field, "changed")


def test_a_probability_without_a_gamma_has_the_papers() -> None:
    probability = RouteTable.from_json(_changed("agents.small.probability.gamma", ...)).agents["small"].probability
    assert probability is not None
    assert probability.gamma == 0.5
