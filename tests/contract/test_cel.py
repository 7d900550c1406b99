"""The CRD's CEL rules are evaluated: the valid manifest passes, each invalid one breaks the rule that is meant."""

from __future__ import annotations

from typing import Any

import pytest

from disrouter.api import crd
from support.cel import failed, nodes
from support.manifests import INVALID, Invalid, valid, without_none

ROOT = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
BY_CEL = [case for case in INVALID if case.by_cel]
BY_NEITHER = [case for case in INVALID if not case.by_cel and not case.by_schema]


def _broken(manifest: Any) -> list[str]:
    return failed(ROOT, without_none(manifest))


def test_the_valid_manifest_breaks_no_rule() -> None:
    assert _broken(valid()) == []


@pytest.mark.parametrize("case", BY_CEL, ids=lambda case: case.name)
def test_an_invalid_manifest_breaks_the_rule_that_is_meant(case: Invalid) -> None:
    assert [message for message in _broken(case.manifest()) if case.by_cel in message]


@pytest.mark.parametrize("case", BY_NEITHER, ids=lambda case: case.name)
def test_what_only_the_operator_refuses_is_marked_so(case: Invalid) -> None:
    assert _broken(case.manifest()) == []


def test_every_rule_is_broken_by_some_manifest() -> None:
    messages = {rule["message"] for _, node in nodes(ROOT) for rule in node.get("x-kubernetes-validations", [])}
    assert messages == {message for case in BY_CEL for message in _broken(case.manifest())}


def test_equal_costs_and_skipping_routes_break_no_rule() -> None:
    manifest = valid()
    agents = manifest["spec"]["agents"]
    agents.insert(1, {"name": "expert", "model": {"uri": "hf://a/b"}, "cost": 0.1, "next": "large"})
    agents[0]["next"] = "medium"
    agents.insert(0, {"name": "tiny", "model": {"uri": "hf://a/b"}, "cost": 0, "next": "expert"})
    assert _broken(manifest) == ["spec.agents: no route reaches one of the agents; name it as an earlier agent's next"]
    agents[2]["next"] = "small"
    agents[1], agents[2] = agents[2], agents[1]
    agents[0]["next"] = "expert"
    agents[1]["next"] = "small"
    assert _broken(manifest) == []


def test_the_last_agent_may_say_that_it_always_answers_and_lie_on_s3() -> None:
    manifest = valid()
    manifest["spec"]["agents"][2] = {"name": "large", "model": {"uri": "s3://b/x"}, "cost": 1}
    assert _broken(manifest) == []
    manifest["spec"]["agents"][2]["selfAwareness"] = {"mode": "none"}
    assert _broken(manifest) == []


def test_lists_and_strings_that_rules_walk_are_bounded() -> None:
    """The API server refuses a CRD whose rules could cost too much; its estimate takes these bounds."""
    spec = ROOT["properties"]["spec"]["properties"]
    agents = spec["agents"]
    agent = agents["items"]["properties"]
    arguments = agent["engine"]["properties"]["args"]
    datasets = spec["training"]["properties"]["datasets"]
    held_out = spec["training"]["properties"]["evaluate"]["properties"]["datasets"]
    assert all("maxItems" in each for each in (agents, arguments, datasets, held_out))
    strings = (agent["name"], agent["next"], agent["model"]["properties"]["uri"], arguments["items"])
    assert all("maxLength" in each for each in strings)
