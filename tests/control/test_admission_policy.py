"""The chart's admission policies, judged by a real API server: what they refuse, with which words, what they let by."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from disrouter.api import violations
from disrouter.api.agent import ENGINE_OWNED
from disrouter.names import MAX_NAMESPACE
from support import helm
from support.controlplane import ControlPlane
from support.manifests import Manifest, valid

pytestmark = pytest.mark.controlplane

PLACE = "policed"
LONG = "n" * (MAX_NAMESPACE + 1)
KINDS = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
EDITOR = f"system:serviceaccount:{PLACE}:editor"


@pytest.fixture(scope="module")
def policed(plane: ControlPlane) -> Iterator[ControlPlane]:
    """The control plane with the rendered policies, which are gone again afterwards."""
    documents = _documents()
    assert len(documents) == 4
    for namespace in (PLACE, LONG):
        plane.kubectl("create", "namespace", namespace)
    plane.apply(*documents)
    try:
        _await_force(plane)
        yield plane
    finally:
        for each in documents:
            plane.kubectl("delete", each["kind"], each["metadata"]["name"])


def _documents() -> list[Manifest]:
    return [each for each in helm.render({"admissionPolicy": {"enabled": True}}) if each["kind"] in KINDS]


def _await_force(plane: ControlPlane) -> None:
    """Until both are heeded, each known by a cascade that it alone refuses."""
    plane.wait("the policies", lambda: "at most 36" in said(plane, named("late", namespace=LONG)))
    plane.apply(named("in-force"))
    plane.wait("the names", lambda: "would both have objects" in said(plane, named("in-force-small")))
    plane.kubectl("delete", "src", "in-force", "-n", PLACE)


@contextmanager
def _not_yet_in_force(plane: ControlPlane) -> Iterator[None]:
    """As before somebody enabled the policies; after it they are in force again."""
    bindings = [each for each in _documents() if each["kind"] == KINDS[1]]
    for each in bindings:
        plane.kubectl("delete", each["kind"], each["metadata"]["name"])
    late = named("late", namespace=LONG)
    plane.wait("no policy", lambda: said(plane, late) == "")
    try:
        yield
    finally:
        plane.apply(*bindings)
        _await_force(plane)


def named(name: str, *agents: str, namespace: str = PLACE) -> Manifest:
    """A valid cascade, with agents of these names."""
    manifest = valid()
    manifest["metadata"] = {"name": name, "namespace": namespace}
    for agent, called in zip(manifest["spec"]["agents"], agents, strict=False):
        agent["name"] = called
    return manifest


def said(plane: ControlPlane, manifest: Manifest, *arguments: str) -> str:
    """What the API server says to a manifest without keeping it; empty where it takes it."""
    how = ("apply", "--server-side", "--force-conflicts", "--dry-run=server", "-f", "-", *arguments)
    done = plane.kubectl_process(*how, stdin=json.dumps(manifest))
    return done.stderr if done.returncode != 0 else ""


def test_the_policies_fit_the_definition(policed: ControlPlane) -> None:
    def checked() -> bool:
        found = policed.get("validatingadmissionpolicies", "default")["items"]
        return len(found) == 2 and all("typeChecking" in (each.get("status") or {}) for each in found)

    policed.wait("the types", checked)
    for each in policed.get("validatingadmissionpolicies", "default")["items"]:
        assert each["status"]["typeChecking"].get("expressionWarnings", []) == []


def test_what_is_right_is_let_by_also_a_second_time(policed: ControlPlane) -> None:
    assert said(policed, named("qwen")) == ""
    policed.apply(named("qwen"))
    edited = named("qwen")
    edited["spec"]["scenario"] = "cost-first"
    assert said(policed, edited) == ""
    policed.kubectl("delete", "src", "qwen", "-n", PLACE)


def test_a_namespace_that_leaves_no_room_for_host_names_is_refused(policed: ControlPlane) -> None:
    long = named("qwen", namespace=LONG)
    assert f"metadata.namespace: {LONG} has 37 characters" in said(policed, long)
    assert any(each.field == "metadata.namespace" for each in violations(long))


OLD = (("a", PLACE), ("a-small", PLACE), ("far", LONG))
"""Cascades that no policy would let in: two share a name, and one namespace is too long."""


@pytest.mark.parametrize("how", ["foreground", "orphan", "background"])
def test_what_was_there_before_is_labelled_and_goes(policed: ControlPlane, how: str) -> None:
    with _not_yet_in_force(policed):
        policed.apply(*(named(name, namespace=namespace) for name, namespace in OLD))
    for name, namespace in OLD:
        there = ("src", name, "-n", namespace)
        policed.kubectl("annotate", *there, "disrouter.io/retrain=1")
        policed.kubectl("label", *there, "team=b")
        edited = named(name, namespace=namespace)
        edited["spec"]["scenario"] = "cost-first"
        assert said(policed, edited) != "", "a new spec is judged"
    for name, namespace in OLD:
        policed.kubectl("delete", "src", name, "-n", namespace, f"--cascade={how}", "--timeout=20s")


def test_a_cascade_on_its_way_out_keeps_no_name(policed: ControlPlane) -> None:
    kept = named("a")
    kept["metadata"]["finalizers"] = ["test.disrouter.io/kept"]
    policed.apply(kept)
    there = ("src", "a", "-n", PLACE)
    policed.wait("the first as a parameter", lambda: said(policed, named("a-small")) != "")
    policed.kubectl("delete", *there, "--wait=false")
    policed.wait("a free name", lambda: said(policed, named("a-small")) == "")
    assert policed.kubectl_process("get", *there).returncode == 0, "it is not gone yet"
    policed.kubectl("patch", *there, "--type=merge", "-p", '{"metadata": {"finalizers": null}}')


def test_many_long_arguments_are_judged(policed: ControlPlane) -> None:
    manifest = named("qwen")
    first = manifest["spec"]["agents"][0]
    arguments = [f"--override-{place}={'x' * 400}" for place in range(60)]
    manifest["spec"]["agents"] = [
        {**first, "name": f"agent-{place}", "cost": 0.1 + place / 100, "engine": {"args": arguments}}
        for place in range(15)
    ]
    assert said(policed, manifest) == ""
    manifest["spec"]["agents"][14]["engine"] = {"args": [*arguments[:-1], "--hos"]}
    assert "a flag that is disrouter's to set" in said(policed, manifest)


@pytest.mark.parametrize("flag", ENGINE_OWNED)
@pytest.mark.parametrize(
    "spelt",
    [
        lambda flag: flag[:-1],
        lambda flag: f"{flag[:4]}=x",
        lambda flag: f"{flag[:2]}{flag[2:-1].replace('-', '_')} x",
    ],
    ids=["abbreviated", "much abbreviated", "with underscores"],
)
def test_a_flag_of_disrouter_is_refused_however_it_is_spelt(
    policed: ControlPlane, flag: str, spelt: Callable[[str], str]
) -> None:
    manifest = named("qwen")
    manifest["spec"]["agents"][0]["engine"] = {"args": [spelt(flag)]}
    assert "a flag that is disrouter's to set" in said(policed, manifest)
    assert "disrouter's to set" in str(violations(manifest))


@pytest.mark.parametrize("argument", ["--max-model-len", "--hosts", "-tp=2", "4096", "", "--model-impl=auto", "--x y"])
def test_other_arguments_are_let_by(policed: ControlPlane, argument: str) -> None:
    manifest = named("qwen")
    manifest["spec"]["agents"][0]["engine"] = {"args": [argument]}
    assert said(policed, manifest) == ""
    assert violations(manifest) == []


def _twice(model: dict[str, Any], engine: dict[str, Any]) -> Manifest:
    manifest = named("qwen")
    manifest["spec"]["agents"][0] |= {"model": {"uri": "hf://a/b", **model}, "engine": engine}
    return manifest


TOKEN = {"tokenSecretRef": {"name": "hub", "key": "token"}}
CACHE = {"cache": {"persistentVolumeClaim": "hub"}}
TWICE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "--revision": ({"revision": "main"}, {"args": ["--revision=v1"]}),
    "--tokenizer_revision": ({"revision": "main"}, {"args": ["--tokenizer_revision", "v1"]}),
    "HF_TOKEN": (TOKEN, {"env": [{"name": "HF_TOKEN", "value": "x"}]}),
    "HF_HOME": (CACHE, {"env": [{"name": "HF_HOME", "value": "/x"}]}),
}


@pytest.mark.parametrize("what", TWICE)
def test_what_is_said_of_the_hub_twice_is_refused(policed: ControlPlane, what: str) -> None:
    model, engine = TWICE[what]
    assert "remove one of the two" in said(policed, _twice(model, engine))
    assert said(policed, _twice({}, engine)) == ""
    assert said(policed, _twice(model, {"args": ["--enforce-eager"], "env": [{"name": "A", "value": "x"}]})) == ""


CLASHES = {
    "an agent's Service and an entry": (named("a"), named("a-small")),
    "an entry and an agent's Service": (named("a-b"), named("a", "b")),
    "agents of two cascades": (named("a", "b-c"), named("a-b", "c")),
    "what KServe makes of an agent": (named("a"), named("a-small-predictor")),
}


@pytest.mark.parametrize("case", CLASHES)
def test_two_cascades_that_would_share_a_name_are_refused(policed: ControlPlane, case: str) -> None:
    first, second = CLASHES[case]
    for one, other in ((first, second), (second, first)):
        policed.apply(one)
        name = one["metadata"]["name"]
        policed.wait("the first as a parameter", lambda other=other: bool(said(policed, other)))  # type: ignore[misc]
        assert f"this cascade and cascade {name} would both have objects called" in said(policed, other)
        policed.kubectl("delete", "src", name, "-n", PLACE)
        policed.wait("its end", lambda other=other: said(policed, other) == "")  # type: ignore[misc]


def test_an_agent_that_is_served_elsewhere_has_no_predictor(policed: ControlPlane) -> None:
    elsewhere = named("a")
    elsewhere["spec"]["agents"][1] = {
        "name": "shared",
        "serviceRef": {"kind": "InferenceService", "name": "x"},
        "cost": 0.5,
    }
    for one, other in ((elsewhere, named("a-shared-predictor")), (named("a-shared-predictor"), elsewhere)):
        policed.apply(one)
        clash = named(f"{one['metadata']['name']}-{one['spec']['agents'][0]['name']}")
        policed.wait("the first as a parameter", lambda clash=clash: said(policed, clash) != "")  # type: ignore[misc]
        assert said(policed, other) == ""
        policed.kubectl("delete", "src", one["metadata"]["name"], "-n", PLACE)


def test_a_cascade_of_another_namespace_shares_nothing(policed: ControlPlane) -> None:
    policed.apply(named("a", namespace="default"))
    try:
        assert said(policed, named("a-small")) == ""
    finally:
        policed.kubectl("delete", "src", "a", "-n", "default")


PUBLISHED = {
    "ingress": ("networking.k8s.io", "ingresses", {"hosts": ["llm.example.com"]}),
    "httpRoute": ("gateway.networking.k8s.io", "httproutes", {"parentRefs": [{"name": "gateway"}]}),
}


@pytest.mark.parametrize("field", PUBLISHED)
def test_who_may_not_publish_does_not_publish_by_the_operators_right(policed: ControlPlane, field: str) -> None:
    group, resource, value = PUBLISHED[field]
    name = f"editor-{resource}"
    policed.apply(*_role(name, {"apiGroups": ["disrouter.io"], "resources": ["*"], "verbs": ["*"]}))
    published = named(f"by-{resource}")
    published["spec"] |= {field: value, "auth": {"anonymous": True}}
    policed.wait("the editor's right", lambda: said(policed, named("plain"), f"--as={EDITOR}") == "")
    assert f"needs the right to create {resource}" in said(policed, published, f"--as={EDITOR}")
    policed.apply(published)
    edited = {**published, "spec": {**published["spec"], "scenario": "cost-first"}}
    assert said(policed, edited, f"--as={EDITOR}") == "", "what somebody else published stays"
    policed.apply(*_role(f"{name}-too", {"apiGroups": [group], "resources": [resource], "verbs": ["create"]}))
    again = named(f"also-{resource}")
    again["spec"] |= {field: value, "auth": {"anonymous": True}}
    policed.wait("the right to publish", lambda: said(policed, again, f"--as={EDITOR}") == "")


def _role(name: str, rule: dict[str, Any]) -> list[dict[str, Any]]:
    """A right of the editor in the namespace."""
    rbac = "rbac.authorization.k8s.io"
    metadata = {"name": name, "namespace": PLACE}
    role = {"apiVersion": f"{rbac}/v1", "kind": "Role", "metadata": metadata, "rules": [rule]}
    subject = {"kind": "ServiceAccount", "name": "editor", "namespace": PLACE}
    binding = {
        "apiVersion": f"{rbac}/v1",
        "kind": "RoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": rbac, "kind": "Role", "name": name},
        "subjects": [subject],
    }
    return [role, binding]
