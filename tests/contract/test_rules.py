"""Every broken rule is reported with its field and what to do."""

from __future__ import annotations

import pytest

from disrouter.api import parse, violations
from disrouter.errors import InvalidCascade
from disrouter.routes import Awareness
from support.manifests import INVALID, Invalid, valid


@pytest.mark.parametrize("case", INVALID, ids=lambda case: case.name)
def test_an_invalid_manifest_is_refused_with_field_and_remedy(case: Invalid) -> None:
    found = violations(case.manifest())
    assert [v for v in found if v.field == case.field and case.says in v.message], [str(v) for v in found]


@pytest.mark.parametrize("number", [float("inf"), float("nan")])
def test_numbers_are_finite(number: float) -> None:
    manifest = valid()
    manifest["spec"] |= {"timeouts": {"idle": number}}
    assert [(v.field, "finite number" in v.message) for v in violations(manifest)] == [("spec.timeouts.idle", True)]


def test_a_bad_dataset_is_reported_once() -> None:
    manifest = valid()
    manifest["spec"]["training"]["datasets"] = [{"file": "data.jsonl"}]
    assert [v.field for v in violations(manifest)] == ["spec.training.datasets[0].file"]


def test_no_message_repeats_a_key() -> None:
    manifest = valid()
    manifest["spec"]["agents"][2]["external"]["url"] = "https://user:hidden@host/v1"
    assert [v for v in violations(manifest) if "hidden" in str(v)] == []
    manifest = valid()
    manifest["spec"]["agents"][1]["engine"] = {"args": ["--api-key=hidden"]}
    found = violations(manifest)
    assert found
    assert "hidden" not in str(found)


def test_addresses_and_quantities_that_fit() -> None:
    manifest = valid()
    first, second, third = manifest["spec"]["agents"]
    first["model"]["uri"] = "pvc://models.of-us/.cache/a..b/c.d/"
    first["resources"] = {"requests": {"cpu": 2, "memory": "1.5Gi"}, "limits": {"nvidia.com/gpu": "1", "cpu": "2500m"}}
    second["engine"] = {"args": ["--max-model-len", "8192", "--model-impl=auto", "-tp=2"]}
    third["external"] |= {"url": "http://[::1]:8000/v1", "apiKeySecretRef": {"name": "keys.prod", "key": "API_KEY"}}
    manifest["spec"]["training"]["datasets"] = [{"id": "openai/gsm8k", "config": "main"}, {"id": "squad"}]
    assert violations(manifest) == []
    resources = parse(manifest).agents[0].resources
    assert resources is not None
    assert resources.requests == {"cpu": "2", "memory": "1.5Gi"}


@pytest.mark.parametrize(
    "name", ["gpt-4o", "meta-llama/Llama-3.1-8B", "qwen-small", "qwen2/small", "small", "!~", "m" * 256]
)
def test_a_model_of_another_system_may_be_an_alias(name: str) -> None:
    manifest = valid()
    manifest["spec"]["aliases"] = [{"name": name, "agent": "small"}, {"name": "other"}]
    assert violations(manifest) == []


@pytest.mark.parametrize(
    "origin",
    ["*", "http://localhost:3000", "https://app.example.com", "https://[::1]:8443", f"https://{'a' * 248}"],
)
def test_origins_that_browsers_write(origin: str) -> None:
    assert violations(valid() | {"spec": valid()["spec"] | {"cors": {"origins": [origin]}}}) == []


def test_a_line_feed_behind_an_alias_is_no_part_of_it() -> None:
    """`$` stands before one in some dialects of patterns."""
    manifest = valid()
    manifest["spec"]["aliases"] = [{"name": "gpt-4o\n"}]
    assert [v.field for v in violations(manifest)] == ["spec.aliases[0].name"]


def test_without_a_name_no_alias_is_taken() -> None:
    manifest = valid() | {"metadata": {}}
    manifest["spec"]["aliases"] = [{"name": "/small"}]
    assert [v.field for v in violations(manifest)] == ["metadata.name"]


def test_what_a_manifest_says_nothing_of_is_learned_or_off() -> None:
    spec = parse(valid())
    assert (spec.timeouts.whole, spec.timeouts.keep_alive, spec.undecidable) == (300, 15, "forward")
    assert (spec.aliases, spec.cors.origins) == ((), ())
    assert spec.agents[0].capabilities.dump() == {}
    assert (spec.awareness(0).deferral_tool, spec.awareness(0).prompt_opens_reasoning) == (False, None)


def test_the_valid_manifest_has_no_violations() -> None:
    assert violations(valid()) == []


def test_every_violation_is_reported_at_once() -> None:
    manifest = valid()
    manifest["spec"]["agents"][0]["cost"] = 0.5
    manifest["spec"]["agents"][2]["replicas"] = {"min": 3, "max": 1}
    with pytest.raises(InvalidCascade) as raised:
        parse(manifest)
    assert {v.field for v in raised.value.violations} == {"spec.agents[1].cost", "spec.agents[2].replicas"}


@pytest.mark.parametrize("spec", [None, [], "text", 3])
def test_a_spec_that_is_no_object_is_a_violation_not_a_crash(spec: object) -> None:
    manifest = valid() | {"spec": spec}
    assert violations(manifest)[0].field == "spec"


def test_a_wrong_kind_is_named() -> None:
    assert [v.field for v in violations(valid() | {"kind": "Cascade"})] == ["kind"]


def test_an_unlike_unknown_field_lists_the_known_ones() -> None:
    manifest = valid()
    manifest["spec"]["training"]["gate"] = {"zzz": 1}
    (violation,) = violations(manifest)
    assert violation.field == "spec.training.gate.zzz"
    assert "known here: minUtilityGain" in violation.message


def test_defaults_of_self_awareness_follow_place_and_training() -> None:
    spec = parse(valid())
    assert [spec.awareness(k).mode for k in range(3)] == [Awareness.TRAINED, Awareness.TRAINED, Awareness.NONE]
    manifest = valid()
    manifest["spec"].pop("training")
    spec = parse(manifest)
    assert [spec.awareness(k).mode for k in range(3)] == [Awareness.PROMPTED, Awareness.PROMPTED, Awareness.NONE]


def test_a_route_may_skip_an_agent_that_another_reaches() -> None:
    manifest = valid()
    manifest["spec"]["agents"].insert(1, {"name": "expert", "model": {"uri": "hf://a/b"}, "cost": 0.2, "next": "large"})
    manifest["spec"]["agents"][0]["next"] = "expert"
    assert [v.field for v in violations(manifest)] == ["spec.agents[2].name"]
