"""A real API server judges the resource definition: what it costs, what it refuses, how it is read and replaced."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import config
from kubernetes.client import ApiException, CustomObjectsApi

from disrouter.api import crd, violations
from disrouter.names import GROUP, PLURAL, VERSION
from support.controlplane import ControlPlane
from support.manifests import INVALID, Invalid, Manifest, valid, without_none
from support.schema import Schema, nodes

pytestmark = pytest.mark.controlplane

CRDS = Path(__file__).parents[2] / "crds"
FIRST = Path(__file__).parents[1] / "support/definitions/v1alpha1_first.yaml.gz"
"""The definition as API servers first accepted it, by the field names of today; never generated again."""
DEFINITION = f"crd/{PLURAL}.{GROUP}"
BOUNDS = ("maxItems", "maxLength", "maxProperties")


def _root(definition: Any) -> Schema:
    root: Schema = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return root


def _said(plane: ControlPlane, *arguments: str, stdin: str | None = None) -> str:
    """What kubectl printed as warning or error; empty for a success without a word."""
    done = plane.kubectl_process(*arguments, stdin=stdin)
    assert (done.returncode != 0) <= bool(done.stderr)
    return done.stderr


def _judged(plane: ControlPlane, definition: Any) -> str:
    return _said(plane, "create", "--dry-run=server", "-f", "-", stdin=json.dumps(definition))


@pytest.mark.parametrize(
    "command",
    [("create", "-f"), ("apply", "-f"), ("apply", "-k"), ("apply", "--server-side", "-f")],
    ids=" ".join,
)
def test_each_way_to_install_the_folder_is_taken_without_a_warning(
    bare: ControlPlane, command: tuple[str, ...]
) -> None:
    assert _said(bare, *command, str(CRDS), "--dry-run=server") == ""


def test_every_bound_may_double(bare: ControlPlane) -> None:
    """The server estimates what rules could cost from the bounds: there is room to spare."""
    definition = crd()
    bounded = [(node, bound) for _, node in nodes(_root(definition)) for bound in BOUNDS if bound in node]
    assert len(bounded) > 100
    for node, bound in bounded:
        node[bound] *= 2
    assert _judged(bare, definition) == ""


def test_a_rule_that_compares_each_argument_with_each_costs_too_much(bare: ControlPlane) -> None:
    """The judge judges."""
    definition = crd()
    engine = _root(definition)["properties"]["spec"]["properties"]["agents"]["items"]["properties"]["engine"]
    engine["x-kubernetes-validations"].append(
        {"rule": "!has(self.args) || self.args.all(a, self.args.exists_one(b, b == a))", "message": "named twice"}
    )
    said = _judged(bare, definition)
    assert "[engine].x-kubernetes-validations[2].rule: Forbidden: estimated rule cost exceeds budget" in said


def test_a_default_that_leaves_out_what_a_rule_reads_is_refused(bare: ControlPlane) -> None:
    definition = crd()
    agent = _root(definition)["properties"]["spec"]["properties"]["agents"]["items"]["properties"]
    agent["replicas"]["default"] = {}
    assert "replicas].default" in _judged(bare, definition)


@pytest.fixture
def first(bare: ControlPlane) -> Iterator[ControlPlane]:
    """A server with the first definition, which has nothing of disrouter again afterwards."""
    bare.kubectl("apply", "-f", "-", stdin=gzip.decompress(FIRST.read_bytes()).decode())
    _established(bare)
    yield bare
    bare.kubectl("delete", DEFINITION, "--timeout=50s")


def _established(plane: ControlPlane) -> None:
    plane.kubectl("wait", "--for=condition=Established", DEFINITION, "--timeout=50s")
    plane.wait("the resource", lambda: plane.kubectl_process("get", PLURAL).returncode == 0)


def test_cascades_outlive_a_new_definition_and_applying_it_again_changes_nothing(first: ControlPlane) -> None:
    old = valid()
    first.apply(old)
    status = json.dumps({"status": {"url": "http://qwen", "agents": [{"name": "small", "phase": "Ready"}]}})
    first.kubectl("patch", PLURAL, "qwen", "--subresource=status", "--type=merge", "-p", status)
    before = first.get(PLURAL, "default", "qwen")

    assert _said(first, "apply", "-f", str(CRDS)) == ""
    _established(first)
    done = first.kubectl_process("diff", "-f", str(CRDS))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")

    after = first.get(PLURAL, "default", "qwen")
    assert _is_within(before, after)
    old["spec"]["scenario"] = "cost-first"
    assert _said(first, "apply", "-f", "-", stdin=yaml.safe_dump(old)) == ""
    edited = first.get(PLURAL, "default", "qwen")
    assert (edited["spec"]["scenario"], edited["status"]) == ("cost-first", before["status"])
    assert "give one of the two" in _said(
        first, "patch", PLURAL, "qwen", "--type=merge", "-p", '{"spec":{"preference":0.3}}'
    )


def _is_within(less: Any, more: Any) -> bool:
    """Whether everything is still there; a newer definition may add defaults."""
    if isinstance(less, dict):
        return all(name in more and _is_within(inner, more[name]) for name, inner in less.items())
    if isinstance(less, list):
        return len(less) == len(more) and all(map(_is_within, less, more))
    return bool(less == more)


Answers = dict[str, tuple[str, str]]
"""By case, what the server says to `kubectl create` and to `kubectl apply --server-side`; empty where it takes it."""


@pytest.fixture(scope="module")
def cascades(plane: ControlPlane) -> Iterator[CustomObjectsApi]:
    with config.new_client_from_config(str(plane.kubeconfig)) as client:
        yield CustomObjectsApi(client)


@pytest.fixture(scope="module")
def answers(cascades: CustomObjectsApi) -> Answers:
    return {case.name: _answers(cascades, without_none(case.manifest())) for case in INVALID}


def _answers(api: CustomObjectsApi, manifest: Manifest) -> tuple[str, str]:
    apply = partial(
        api.patch_namespaced_custom_object,
        name=manifest["metadata"]["name"],
        force=True,
        _content_type="application/apply-patch+yaml",
    )
    return _answer(api.create_namespaced_custom_object, manifest), _answer(apply, manifest)


def _answer(ask: Callable[..., object], manifest: Manifest) -> str:
    how = {"dry_run": "All", "field_validation": "Strict", "field_manager": "test"}
    try:
        ask(group=GROUP, version=VERSION, namespace="default", plural=PLURAL, body=manifest, **how)
    except ApiException as error:
        message: str = json.loads(error.body)["message"]
        return message
    return ""


@pytest.mark.parametrize("case", INVALID, ids=lambda case: case.name)
def test_the_server_refuses_an_invalid_cascade_with_its_words(answers: Answers, case: Invalid) -> None:
    field = case.field.rsplit(".", 1)[-1].split("[")[0]
    for answer in answers[case.name]:
        if case.by_cel or case.by_schema or "did you mean" in case.says:
            assert (case.by_cel or field) in answer
        else:
            assert answer == "", "the operator is not alone in refusing it: say so in the case"


def test_every_rule_is_broken_by_some_manifest(answers: Answers) -> None:
    said = "\n".join(created for created, _ in answers.values())
    rules = [rule for _, node in nodes(_root(crd())) for rule in node.get("x-kubernetes-validations", [])]
    assert [rule["message"] for rule in rules if rule["message"] not in said] == []


def _with_agents(*agents: dict[str, Any]) -> Manifest:
    """The valid manifest with other agents on hf://."""
    manifest = valid()
    manifest["spec"]["agents"] = [{"model": {"uri": "hf://a/b"}} | agent for agent in agents]
    return manifest


def _with_every_field_on_requests() -> Manifest:
    manifest = valid()
    capabilities = {"images": False, "audio": False, "tools": True, "structuredOutput": True, "contextLength": 8192}
    manifest["spec"]["agents"][0] |= {
        "capabilities": capabilities,
        "maxInflight": 100_000,
        "selfAwareness": {"mode": "trained", "deferralTool": True, "promptOpensReasoning": False},
    }
    names = ["gpt-4o", "meta-llama/Llama-3.1-8B", *(f"{k:0256}" for k in range(62))]
    return manifest | {
        "spec": manifest["spec"]
        | {
            "timeouts": {"keepAlive": 0, "whole": 86400},
            "undecidable": "answer",
            "keptDecisions": 65536,
            "aliases": [{"name": "qwen-plain"}, *({"name": name, "agent": "large"} for name in names[:-1])],
            "cors": {"origins": ["*", "http://localhost:3000", *(f"https://{k:0248}" for k in range(30))]},
        }
    }


@pytest.mark.parametrize(
    "manifest",
    [
        valid(),
        _with_every_field_on_requests(),
        _with_agents(
            {"name": "tiny", "cost": 0, "next": "expert"},
            {"name": "expert", "cost": 0.1, "next": "small"},
            {"name": "small", "cost": 0.1, "next": "large"},
            {"name": "large", "cost": 0.1},
        ),
        _with_agents(
            {"name": "tiny", "cost": 0, "decision": {"mode": "probability", "jump": {"to": "large"}}},
            {"name": "small", "cost": 0.1},
            {"name": "large", "cost": 1, "model": {"uri": "s3://b/x"}, "selfAwareness": {"mode": "none"}},
        ),
        _with_agents(*({"name": f"a-{k:018}", "cost": k / 16} for k in range(16))),
        _with_agents(
            {"name": "a", "cost": 0, "engine": {"args": ["--max-model-len", "--model-impl=auto", "-tp=2", "--hosts"]}},
            {"name": "b", "cost": 1},
        ),
    ],
    ids=[
        "valid",
        "every field on requests",
        "equal costs and routes that jump",
        "a jump and a last agent on s3",
        "sixteen",
        "arguments",
    ],
)
def test_what_is_right_breaks_no_rule(cascades: CustomObjectsApi, manifest: Manifest) -> None:
    assert _answers(cascades, manifest) == ("", "")
    assert violations(manifest) == []


def test_explain_knows_every_field(plane: ControlPlane) -> None:
    plane.kubectl("api-resources")  # `explain` would believe what kubectl cached before the definition came
    done = plane.kubectl_process("explain", "src", "--recursive")
    assert done.stderr == ""
    shown, place = set(), [""]
    for indent, name in re.findall(r"^((?:  )+)(\S+)\t<", done.stdout, re.MULTILINE):
        depth = len(indent) // 2
        place[depth:] = [name]
        shown.add(".".join(place))
    fields = {re.sub(r"\[\]|\{\}", "", path) for path, _ in nodes(_root(crd()))}
    assert fields - {""} - shown == set()
