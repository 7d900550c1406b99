"""The route table survives the wire and refuses what would lose a request."""

from __future__ import annotations

import json
from typing import Any

import pytest

from disrouter.api import parse
from disrouter.errors import InvalidRouteTable
from disrouter.routes import AgentRoute, Awareness, RouteTable, Timeouts
from disrouter.scenario import Scenario
from support.manifests import valid


def _table(**changes: Any) -> RouteTable:
    agents = {
        "small": AgentRoute(url="http://small", cost=0.1, awareness=Awareness.TRAINED, next="large"),
        "large": AgentRoute(url="http://large:8080", cost=0.9, awareness=Awareness.NONE),
    }
    return RouteTable(**{"generation": 3, "cascade": "qwen", "entrypoint": "small", "agents": agents} | changes)


def test_a_table_survives_json_with_the_order_of_its_agents() -> None:
    reverse = _table(agents=dict(reversed(_table().agents.items())))
    for table in (_table(), reverse):
        again = RouteTable.from_json(table.to_json())
        assert again == table
        assert list(again.agents) == list(table.agents)
        assert again.to_json() == table.to_json()
    assert '"firstByte"' in _table().to_json()


def test_the_path_goes_from_the_entry_to_the_one_that_always_answers() -> None:
    assert _table().path() == ["small", "large"]
    assert _table(entrypoint="large").path() == ["large"]


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ('"entrypoint": "small"|"entrypoint": "tiny"', "entrypoint 'tiny' is not among the agents"),
        ('"next": "large"|"next": "huge"', "agents.small.next 'huge' is not among"),
        ('"version": 1|"version": 2', "version"),
        ('"cost": 0.1|"cost": 2', "agents.small.cost"),
        ('"generation"|"generatoin"', "generation: Field required"),
        ("http://small|http://small/v1", "agents.small.url"),
    ],
)
def test_a_broken_table_says_why(broken: str, says: str) -> None:
    before, after = broken.split("|")
    text = _table().to_json()
    assert before in text
    with pytest.raises(InvalidRouteTable, match=says):
        RouteTable.from_json(text.replace(before, after))


def test_a_table_of_a_newer_operator_is_read_past_its_unknown_fields() -> None:
    newer = json.loads(_table().to_json())
    newer["shadow"] = {"agent": "new"}
    newer["timeouts"]["queue"] = 3
    newer["agents"]["small"]["weight"] = 0.5
    assert RouteTable.from_json(json.dumps(newer)) == _table()


def test_a_manifests_timeouts_travel_in_the_table() -> None:
    table = _table(timeouts=parse(valid() | {"spec": valid()["spec"] | {"timeouts": {"idle": 5}}}).timeouts)
    assert table.timeouts == Timeouts(idle=5)
    assert RouteTable.from_json(table.to_json()) == table


def test_a_cycle_is_refused_with_its_path() -> None:
    text = _table().to_json().replace('"awareness": "none"', '"awareness": "none", "next": "small"')
    with pytest.raises(InvalidRouteTable, match="small -> large -> small"):
        RouteTable.from_json(text)


def test_text_that_is_not_json_is_refused() -> None:
    with pytest.raises(InvalidRouteTable, match="Invalid JSON"):
        RouteTable.from_json("{")


def test_a_preference_outranks_the_scenario() -> None:
    assert _table(preference=0.9).default_scenario is Scenario.COST_FIRST
    assert _table(scenario=Scenario.PERFORMANCE_FIRST).default_scenario is Scenario.PERFORMANCE_FIRST
