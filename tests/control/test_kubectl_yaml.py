"""What `disrouter validate` says of a file is what `kubectl apply` says: the real kubectl and API server judge."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from disrouter_cli import manifests
from disrouter_cli.errors import BadManifest
from disrouter_cli.kubectl_yaml import dump
from support.controlplane import ControlPlane

pytestmark = pytest.mark.controlplane

WORDS = (
    *("y", "Y", "yes", "No", "on", "OFF", "true", "False", "yEs", "oN", "TRUE"),
    *("~", "null", "Null", "", "nULL", "none"),
    *("0", "7", "-7", "+7", "017", "08", "0o17", "0x1F", "0b11", "1_000", "-0b11", "0_7", "12345678901234567890"),
    *("1.", ".5", "1.0", "-1.5", "1e3", "1e-1", "1E+2", "1.5e3", "1__0.5", "745972e653", "74597e2", "1e22", "-0.0"),
    *("1:30", "1:30.5", "2026-01-01", "2026-01-01T10:00:00Z", "12h", "0x", "0b12", "1,000", "=", "<", "--x"),
    *(
        "{1e7: a}",
        "{1e5: a}",
        "{.5: a}",
        "{1: a, true: b}",
        "! 12",
        "! x",
        '! "12"',
        '!!null ""',
        "!!float 1",
        "!!int 0x10",
        "0x1FFFFFFFFFFFFFFFF",
        "07777777777777777777777777",
    ),
    *(
        "'y'",
        '"017"',
        "'1e-1'",
        "!!str yes",
        "!!float 3",
        '!!int "5"',
        "!!bool on",
        "&a b",
        "|\n          text",
        ">-\n          more",
    ),
)
"""What stands behind a key."""

HEAD = "apiVersion: disrouter.io/v1alpha1\nkind: SelfRoutingCascade\nmetadata: {name: yaml, namespace: default}\n"
SPEC = """spec:
  agents:
  - {name: small, model: {uri: "hf://a/b"}, cost: 0.1}
  - {name: large, model: {uri: "hf://a/c"}, cost: 0.9}
"""


def _documents(text: str, folder: Path) -> list[manifests.Document]:
    file = folder / "cascade.yaml"
    file.write_text(text)
    return manifests.read(str(file))


def _dry(plane: ControlPlane, text: str) -> Any:
    """What the API server would store; an error's words where it, or kubectl, refuses."""
    done = plane.kubectl_process("create", "--dry-run=server", "-o", "json", "-f", "-", stdin=text)
    return json.JSONDecoder().raw_decode(done.stdout)[0] if done.returncode == 0 else done.stderr


def test_every_word_is_what_kubectl_makes_of_it(plane: ControlPlane, tmp_path: Path) -> None:
    probe = "".join(f"        w{place}: {word}\n" for place, word in enumerate(WORDS))
    text = f"{HEAD}{SPEC}  pod:\n    template:\n      probe:\n{probe}"
    answer = _dry(plane, text)
    assert isinstance(answer, dict), answer
    stored = answer["spec"]["pod"]["template"]["probe"]
    ours = _documents(text, tmp_path)[0].content["spec"]["pod"]["template"]["probe"]
    different = {
        word: (ours.get(f"w{place}"), stored.get(f"w{place}"))
        for place, word in enumerate(WORDS)
        if _same(ours.get(f"w{place}")) != _same(stored.get(f"w{place}"))
    }
    assert different == {}


def _same(value: Any) -> tuple[str, Any]:
    """Python takes True for 1, and reads a number beyond 64 bits as no other reader of JSON does."""
    if isinstance(value, int) and abs(value) >= 2**63:
        value = float(value)
    return type(value).__name__, value


@pytest.mark.parametrize(
    "word", ["y", "n", "on", "017", "1e-1", "745972e653", "74597e2", "2026-01-01", "1:30", "~", ""]
)
def test_a_text_that_we_write_is_a_text_to_kubectl(plane: ControlPlane, word: str) -> None:
    written = dump({"spec": {"pod": {"template": {"probe": word}}}}).partition("\n")[2]
    stored = _dry(plane, f"{HEAD}{SPEC}{written}")
    assert stored["spec"]["pod"]["template"]["probe"] == word


def _agent(**fields: str) -> str:
    """The cascade with fields of its first agent written as they stand here."""
    given = {"name": "small", "model": '{uri: "hf://a/b"}', "cost": "0.1"} | fields
    agent = "".join(f"    {name}: {value}\n" for name, value in given.items()).replace("    ", "  - ", 1)
    return f"{HEAD}spec:\n  agents:\n{agent}  - {{name: large, model: {{uri: 'hf://a/c'}}, cost: 0.9}}\n"


def _json(indent: str | None = None, args: Sequence[str] = (), **fields: str) -> str:
    """A cascade as JSON."""
    agents = [
        {"name": "small", "model": {"uri": "hf://a/b"}, "cost": 0.1, "engine": {"args": list(args)}},
        {"name": "large", "model": {"uri": "hf://a/c"}, "cost": 1.0},
    ]
    head = {"apiVersion": "disrouter.io/v1alpha1", "kind": "SelfRoutingCascade"}
    cascade = {**head, "metadata": {"name": "json", "namespace": "default"}, "spec": {"agents": agents, **fields}}
    return json.dumps(cascade, indent=indent)


SAME = {
    "a cost with an exponent": _agent(cost="1e-1"),
    "a cost in quotes": _agent(cost="'0.1'"),
    "a cost of YAML 1.1 in base 60": _agent(cost="0:30"),
    "a whole number as a float": _agent(replicas="{min: 1.0, max: 1e1}"),
    "an octal number": _agent(replicas="{min: 1, max: 010}"),
    "a number in quotes": _agent(replicas='{min: 1, max: "2"}'),
    "a name that is a truth value": _agent(name="no"),
    "a name that is a truth value to kubectl alone": _agent(name="y"),
    "the same name in quotes": _agent(name="'y'"),
    "a flag in a word of YAML 1.1": _agent(selfAwareness="{mode: prompted, deferralTool: on}"),
    "a flag as a text": _agent(selfAwareness="{mode: prompted, deferralTool: 'true'}"),
    "a number among arguments": _agent(engine="{args: [--max-model-len, 4096]}"),
    "a variable that is a truth value": _agent(engine="{env: [{name: A, value: yes}]}"),
    "a variable that looks like a date": _agent(engine="{env: [{name: A, value: 2026-01-01}]}"),
    "a variable in base 60": _agent(engine="{env: [{name: A, value: 1:30}]}"),
    "a label's key and value that are words": _agent(pod="{labels: {on: 'x'}}"),
    "a label's key that is a number": _agent(pod="{labels: {1: 'x'}}"),
    "an unknown field": _agent(relpicas="{min: 1}"),
    "an unknown field at the top": f"{HEAD}{SPEC}specs: {{}}\n",
    "a field in another case": _agent(Replicas="{min: 1}"),
    "an anchor": f"{HEAD}spec:\n  agents:\n  - &a {{name: small, model: {{uri: 'hf://a/b'}}, cost: 0.1}}\n"
    "  - {<<: *a, name: large, cost: 0.9}\n",
    "a merge that is not first": _agent(model="{uri: 'hf://a/b', <<: {uri: 'hf://a/d'}}"),
    "merges of a list": _agent(model="{uri: 'hf://a/b', <<: [{uri: 'hf://a/d'}, {uri: 'hf://a/e', revision: v1}]}"),
    "two merges": _agent(model="{<<: {uri: 'hf://a/b'}, <<: {revision: v1}}"),
    "a merge of no object": _agent(model="{<<: 1}"),
    "keys of one worth to Python": _agent(pod="{labels: {1: 'x', true: 'y'}}"),
    "a key of 64 bits": _agent(pod="{labels: {9223372036854775808: 'x'}}"),
    "a whole number that is none": _agent(replicas="{min: 1, max: !!int 1.0}"),
    "a null that is none": _agent(pod="!!null x"),
    "an escape of JSON alone": _agent(engine='{args: ["a\\/b"]}'),
    "half a character": _agent(engine='{args: ["\\ud83d\\ude00"]}'),
    "JSON": _json(),
    "JSON with tabs": _json(indent="\t"),
    "JSON, twice": f"{_json()}\n{_json()}",
    "JSON with a slash that is escaped": _json().replace("/", "\\/"),
    "JSON with a character of two halves": _json(scenario="balance", args=["\U0001f600"]),
    "JSON with a number that is none": _json().replace("0.1", "NaN"),
    "an object of YAML": "{apiVersion: disrouter.io/v1alpha1, kind: SelfRoutingCascade,"
    " metadata: {name: flow, namespace: default}, spec: {agents: [{name: small, model: {uri: 'hf://a/b'}, cost: 0.1},"
    " {name: large, model: {uri: 'hf://a/c'}, cost: 1}]}}",
    "an anchor that nobody has": _agent(pod="*nobody"),
    "no value": _agent(pod=""),
    "a tab": f"{HEAD}{SPEC}\tscenario: balance\n",
    "an endless number": _agent(cost=".inf"),
    "an empty document before it": f"---\n{HEAD}{SPEC}",
}
"""Both take it, or both refuse it."""

DIFFERENT = {
    "a key twice": _agent(cost="0.1\n    cost: 0.2"),
    "a tag of one's own": _agent(engine="{args: [!own --enforce-eager]}"),
    "a tag beyond JSON": _agent(engine="{env: [{name: A, value: !!timestamp 2026-01-01}]}"),
    "a key twice in JSON": _json().replace('"cost": 0.1', '"cost": 0.1, "cost": 0.2'),
    "a key as a number and as a text": _agent(pod="{labels: {1: 'x', '1': 'y'}}"),
    "a long key with a fraction": _agent(pod="{labels: {1.23456789: 'x'}}"),
    "half a character in JSON": _json(args=["x"]).replace('"x"', '"\\ud83d"'),
}
"""kubectl takes it and reads over a part; here it is an error, in words of `kubectl_yaml.py`."""
WORDS_OF_OURS = ("is given twice", "has no meaning in a manifest", "would be rounded", "half a character")


def _refused(text: str, folder: Path) -> str:
    """Our words; empty for a valid manifest."""
    try:
        return "; ".join(str(each) for document in _documents(text, folder) for each in document.violations())
    except BadManifest as error:
        return str(error)


@pytest.mark.parametrize("case", SAME)
def test_the_verdict_is_kubectls(plane: ControlPlane, tmp_path: Path, case: str) -> None:
    said, ours = _dry(plane, SAME[case]), _refused(SAME[case], tmp_path)
    assert isinstance(said, str) == bool(ours), (said, ours)
    if not ours:
        stored = said["items"][-1] if said["kind"] == "List" else said
        assert _is_within(_documents(SAME[case], tmp_path)[-1].content["spec"], stored["spec"])


def _is_within(ours: Any, stored: Any) -> bool:
    """Whether everything is stored as we read it; the definition adds defaults, and drops what is null."""
    if isinstance(ours, dict):
        return all(value is None or _is_within(value, stored[name]) for name, value in ours.items())
    if isinstance(ours, list):
        return len(ours) == len(stored) and all(map(_is_within, ours, stored))
    return bool(ours == stored)


@pytest.mark.parametrize("case", DIFFERENT)
def test_where_the_verdict_differs_ours_says_what_kubectl_reads_over(
    plane: ControlPlane, tmp_path: Path, case: str
) -> None:
    assert isinstance(_dry(plane, DIFFERENT[case]), dict), "kubectl refuses it by now: move it to SAME"
    said = _refused(DIFFERENT[case], tmp_path)
    assert any(each in said for each in WORDS_OF_OURS), said
