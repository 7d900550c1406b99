"""The sidecar reads a route table as the contract does, without loading what the contract takes to check one."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from disrouter.calibration import Calibration, CalibrationPoint
from disrouter.errors import InvalidRouteTable
from disrouter.routes import AdapterRoute, AgentRoute, Awareness, JumpRoute, ProbabilityRoute, RouteTable, Timeouts
from disrouter.terms import PreferenceEncoding
from disrouter_sidecar.routes import parser


def table() -> dict[str, Any]:
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
    )
    large = AgentRoute(url="https://large:8443", cost=0.9, awareness=Awareness.NONE)
    full = RouteTable(
        generation=3,
        cascade="qwen",
        entrypoint="small",
        preference=0.3,
        timeouts=Timeouts(whole=9.5),
        agents={"small": small, "large": large},
    )
    found: dict[str, Any] = json.loads(full.to_json())
    return found


def plain(value: Any) -> Any:
    """A table's values whatever holds them."""
    if isinstance(value, dict):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, CalibrationPoint):
        return [value.refusal, value.competence]
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    names = getattr(type(value), "model_fields", None) or getattr(value, "__dataclass_fields__", None)
    if names is None:
        return value
    return {name: plain(getattr(value, name)) for name in names if name != "version"}


def both(text: bytes) -> tuple[Any, Any]:
    """What the contract and the sidecar make of it: values, or words of refusal."""
    results: list[Any] = []
    for read in (RouteTable.from_json, parser.read_table):
        try:
            results.append(plain(read(text)))
        except InvalidRouteTable as error:
            results.append(str(error))
    return results[0], results[1]


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, each in inner for place in places(each, (*path, key)))]


def test_a_full_table_is_read_alike_without_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    text = json.dumps(table()).encode()
    theirs, ours = both(text)
    assert ours == theirs
    monkeypatch.setattr(parser, "_by_the_contract", lambda _: pytest.fail("the contract was asked"))
    assert parser.read_table(text).path() == ["small", "large"]


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
def test_whatever_is_changed_in_it_both_say_the_same(data: st.DataObject) -> None:
    changed = table()
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(places(changed)))
        if not path:
            continue
        holder = changed
        for key in path[:-1]:
            holder = holder[key]
        action = data.draw(st.sampled_from(["set", "drop", "add", "rename"]))
        if action == "set":
            holder[path[-1]] = data.draw(_VALUES)
        elif action == "add" and isinstance(holder, dict):
            holder[data.draw(st.sampled_from(["new", "max_hops", "next", "small"]))] = data.draw(_VALUES)
        elif action == "rename" and isinstance(holder, dict):
            holder[f"{path[-1]}_"] = holder.pop(path[-1])
        else:
            del holder[path[-1]]
    theirs, ours = both(json.dumps(changed).encode())
    assert ours == theirs


@pytest.mark.parametrize("text", [b"", b"[]", b"null", b"{", b'{"agents": null}', b"NaN", b"\xff"])
def test_what_is_no_table_is_refused_in_the_contracts_words(text: bytes) -> None:
    theirs, ours = both(text)
    assert isinstance(ours, str)
    assert ours == theirs


def test_a_process_that_reads_a_good_table_never_loads_pydantic() -> None:
    program = (
        "import sys; import disrouter_sidecar.__main__; from disrouter_sidecar.routes.parser import read_table;"
        "read_table(sys.stdin.buffer.read()); print(sorted({'pydantic', 'prometheus_client'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=json.dumps(table()).encode(), capture_output=True, check=True
    )
    assert done.stdout.decode().strip() == "[]"


def test_the_largest_values_that_the_contract_takes_are_read_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    full = table()
    full["generation"] = 2**63 - 1
    full["agents"]["small"]["probability"]["gamma"] = 4.0
    text = json.dumps(full).encode()
    theirs, ours = both(text)
    assert ours == theirs
    monkeypatch.setattr(parser, "_by_the_contract", lambda _: pytest.fail("the contract was asked"))
    assert parser.read_table(text).generation == 2**63 - 1
