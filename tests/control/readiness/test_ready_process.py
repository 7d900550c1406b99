"""The operator's process beside a real API server that lacks a right, a definition, KServe, or its watches.

A control plane of its own, with no object in it and nothing installed at first; tests leave it with one thing more.
"""

from __future__ import annotations

import json
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from disrouter.api.definition.crd import crd
from disrouter_operator.kube.resources import CASCADES
from disrouter_operator.operator import Options
from disrouter_operator.readiness import monitor
from support import clusters, operators
from support.controlplane import ControlPlane, assets, control_plane, free_ports, kserve_crd
from support.places import Place
from support.proxying import proxying
from support.replicas import Replica, killed_at_the_end

pytestmark = pytest.mark.controlplane

NAMESPACE = "disrouter"


class _Process:
    """An operator as the chart runs it: identity and namespace of its pod, the rights that the test gives."""

    def __init__(self, plane: ControlPlane, kubeconfig: Path, folder: Path, name: str, **settings: str) -> None:
        (self._port,) = free_ports(1)
        self.plane = plane
        settings = {"lease_namespace": NAMESPACE, "operator_namespace": NAMESPACE} | settings
        self.replica = Replica(name, kubeconfig, folder, port=str(self._port), **settings)

    def __enter__(self) -> _Process:
        self._killed = killed_at_the_end(self.replica)
        self._killed.__enter__()
        self.replica.ensure()
        self.plane.wait("its port", lambda: self.page("/healthz")[0] != 0)
        return self

    def __exit__(self, failure: object, *_: object) -> None:
        """It hands the Lease back, so that the next test's need not wait for its end."""
        try:
            self.replica.signal(signal.SIGTERM)
            self.plane.wait("a clean end", self.replica.ended)
        finally:
            self._killed.__exit__(None, None, None)
        assert failure or not self.said("Traceback"), self.replica.text()

    def page(self, path: str) -> tuple[int, str]:
        """Status and body; 0 while nobody listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=5) as response:
                return int(response.status), response.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def until(self, status: int, words: str) -> None:
        """Until `/readyz` answers so, and `/healthz` is green all the while."""

        def there() -> bool:
            assert self.page("/healthz")[0] == 200, self.replica.text()
            said, body = self.page("/readyz")
            return said == status and words in body

        try:
            self.plane.wait(f"{status} {words}", there)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.page('/readyz')}\n{self.replica.text()}") from None

    def said(self, words: str) -> list[str]:
        """Lines of its log."""
        return [line for line in self.replica.log.read_text().splitlines() if words in line]

    def reasons(self) -> set[str]:
        """Of the Events of its pod."""
        events = self.plane.get("events", NAMESPACE)["items"]
        return {each["reason"] for each in events if each["involvedObject"]["name"] == self.replica.identity}


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    binaries = assets()
    assert binaries is not None
    with control_plane(binaries, tmp_path_factory.mktemp("empty"), ()) as plane:
        plane.kubectl("create", "namespace", NAMESPACE)
        yield plane


@pytest.fixture
def account(empty: ControlPlane, tmp_path: Path) -> Path:
    """The operator's ServiceAccount with the rights of the chart."""
    kubeconfig = operators.service_account(empty, tmp_path)
    operators.may_lead(empty, NAMESPACE)
    return kubeconfig


def _install(plane: ControlPlane, definition: dict[str, Any]) -> None:
    plane.kubectl("create", "--validate=false", "-f", "-", stdin=json.dumps(definition))
    name = definition["metadata"]["name"]
    plane.wait(name, lambda: plane.kubectl_process("get", name, "--all-namespaces").returncode == 0)


def test_without_rights_it_is_unready_says_which_and_works_as_soon_as_they_come(
    empty: ControlPlane, account: Path, tmp_path: Path
) -> None:
    _install(empty, crd())
    empty.kubectl("delete", "clusterrolebinding", "disrouter-operator")
    empty.kubectl("delete", "rolebinding", "disrouter-operator-leader", "-n", NAMESPACE)
    with _Process(empty, account, tmp_path, "rightless") as process:
        process.until(503, "cannot list configmaps, pods, services, deployments.apps")
        process.until(503, "cannot read and write leases.coordination.k8s.io")
        body = process.page("/readyz")[1]
        assert "403: configmaps is forbidden: User" in body
        assert "let the chart bind its role (rbac.create: true)" in body
        operators.service_account(empty, tmp_path)
        operators.may_lead(empty, NAMESPACE)
        process.until(200, "ok")
        empty.wait("an Event", lambda: "Ready" in process.reasons())
        assert len(process.said("not ready: ")) <= 2, "what is missing, and what is missing still"
        assert len(process.said("ready: this replica leads and its watches are open")) == 1
    empty.kubectl("delete", "crd", f"{CASCADES.plural}.{CASCADES.group}")


def test_without_the_definition_it_is_unready_says_so_and_works_as_soon_as_it_comes(
    empty: ControlPlane, account: Path, tmp_path: Path
) -> None:
    with _Process(empty, account, tmp_path, "undefined") as process:
        process.until(503, "the definition selfroutingcascades.disrouter.io is not installed; install the chart")
        empty.wait("an Event", lambda: "DefinitionMissing" in process.reasons())
        name = 'kind="selfroutingcascades.disrouter.io",reason="DefinitionMissing"'
        assert f"disrouter_operator_problem{{{name}}} 1.0" in process.page("/metrics")[1]
        assert "disrouter_operator_ready 0.0" in process.page("/metrics")[1]
        _install(empty, crd())
        process.until(200, "ok")
        assert len(process.said("not ready: ")) == 1
        assert "disrouter_operator_ready 1.0" in process.page("/metrics")[1]


def test_without_kserve_it_serves_external_agents_and_tells_the_others_what_they_wait_for(
    empty: ControlPlane, account: Path, tmp_path: Path
) -> None:
    place = Place(empty, "without-kserve")
    with _Process(empty, account, tmp_path, "modelless") as process:
        process.until(200, "ok")
        empty.wait("an Event", lambda: "KServeMissing" in process.reasons())
        assert len(process.said("KServe is not installed")) == 1
        assert 'reason="KServeMissing"} 1.0' in process.page("/metrics")[1]
        _serves_externals(place)
        place.apply(clusters.example())
        place.until(lambda: place.condition("Ready").get("reason") == "KServeMissing", "the reason")
        assert "install KServe" in place.condition("Ready")["message"]
        told = [each["message"] for each in empty.get("events", place.namespace)["items"] if _missing(each)]
        assert [each.partition(" is ")[0] for each in sorted(told)] == ["agent medium", "agent small"]
        _install(empty, kserve_crd())
        place.until(lambda: bool(empty.get("inferenceservices", place.namespace)["items"]), "an InferenceService")
        place.until(lambda: place.condition("Ready").get("reason") != "KServeMissing", "the end of it")
        assert len(process.said("KServe is installed: agents with a model are served")) == 1
        place.plane.kubectl("delete", "src", "--all", "-n", place.namespace)


def _missing(event: Any) -> bool:
    return bool(event["reason"] == "KServeMissing")


def _serves_externals(place: Place) -> None:
    manifest = clusters.example()
    manifest["metadata"]["name"] = "external"
    large = manifest["spec"]["agents"][-1]
    small = {**large, "name": "small", "cost": 0.1}
    manifest["spec"] |= {"agents": [small, large]}
    manifest["spec"].pop("training", None)
    place.apply(manifest)
    for agent in ("small", "large"):
        place.external(agent, "external")
    place.until(lambda: place.condition("Ready", "external")["status"] == "True", "Ready")


def test_an_api_server_that_is_away_for_a_while_restarts_nothing(
    empty: ControlPlane, account: Path, tmp_path: Path
) -> None:
    # With a Lease that outlasts it: a leader that cannot renew its Lease ends and is a candidate again.
    with _Process(empty, account, tmp_path, "patient", lease_seconds="300") as process:
        process.until(200, "ok")
        empty.api_server.kill()
        process.until(503, "asking the API server fails: the API server did not answer: Client")
        empty.api_server.start_again()
        process.until(200, "ok")
        assert not process.replica.ended()
        assert len(process.said("not ready: ")) == 1


def test_watches_that_stay_dead_although_the_api_server_answers_ask_for_a_new_process(
    empty: ControlPlane, account: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "DEAD_SECONDS", 2.0)
    with proxying(empty, seed=0) as proxy:
        kubeconfig = proxy.kubeconfig(account, tmp_path / "proxied.kubeconfig")
        monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
        proxy.mute = True
        try:
            with operators.running(kubeconfig, Options(host="127.0.0.1", port=0)) as operator:
                empty.wait("the probe", lambda: "although the API server answers" in str(operator.pulse.trouble()))
                assert "the watch of" in str(operator.monitor.unready())
                proxy.mute = False
                empty.wait("its end", lambda: operator.pulse.trouble() is operator.monitor.unready() is None)
        finally:
            proxy.mute = False
