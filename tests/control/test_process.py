"""The operator as a process: flags, probe, metrics, election."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from kubernetes.aio.client import ApiClient

from disrouter_operator import __main__ as process
from disrouter_operator.__main__ import options
from disrouter_operator.errors import InvalidSettings, KubeError, LeadershipLost, Unreachable
from disrouter_operator.flags import read
from disrouter_operator.kube import service_account
from disrouter_operator.kube.api_server import ApiServer
from disrouter_operator.kube.leader_election import Election
from disrouter_operator.kube.resources import CASCADES, LEASES, SECRETS, Object, Resource
from disrouter_operator.reconcile.smoke_http import over_http
from disrouter_operator.settings import OperatorPods
from disrouter_operator.telemetry.metrics import Metrics
from disrouter_operator.telemetry.probes import Pulse, application, serve
from support import clusters, operators
from support.controlplane import ControlPlane
from support.kube_fake import KubeFake


def test_flags_outrank_the_environment_which_outranks_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISROUTER_SIDECAR_IMAGE", "from/env:1")
    monkeypatch.setenv("DISROUTER_NAMESPACES", "a, b,")
    monkeypatch.setenv("DISROUTER_WORKERS", "")
    chosen = options(read(["--port=9000", "--training-image=from/flag:1"]))
    assert chosen.settings.sidecar_image == "from/env:1"
    assert chosen.settings.training_image == "from/flag:1"
    assert chosen.namespaces == ("a", "b")
    assert (chosen.port, chosen.workers) == (9000, 4), "an empty variable is none"


def test_the_operators_own_pods_are_known_by_namespace_and_labels_or_not_at_all() -> None:
    known = options(read(["--operator-labels=app=operator, tier=x", "--operator-namespace=disrouter"])).settings
    assert known.operator_pods == OperatorPods("disrouter", {"app": "operator", "tier": "x"})
    assert options(read(["--operator-labels=app=operator"])).settings.operator_pods is None
    assert options(read(["--operator-namespace=disrouter"])).settings.operator_pods is None


def test_addresses_end_as_the_clusters_dns_has_it() -> None:
    assert options(read([])).settings.service_url("pool", "team") == "http://pool.team.svc.cluster.local"
    chosen = options(read(["--cluster-domain=k8s.example"])).settings
    assert chosen.service_url("pool", "team") == "http://pool.team.svc.k8s.example"
    with pytest.raises(InvalidSettings, match="cluster-domain"):
        read(["--cluster-domain=.local"])


def test_the_smoke_question_is_asked_unless_it_is_switched_off() -> None:
    assert options(read([])).settings.smoke is over_http
    assert options(read(["--smoke=false"])).settings.smoke is None


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--port=http", "--port 'http': Input should be a valid integer"),
        ("--port=-1", "--port '-1': Input should be greater than or equal to 0"),
        ("--port=70000", "--port '70000': Input should be less than or equal to 65535"),
        ("--smoke=perhaps", "--smoke 'perhaps': Input should be a valid boolean"),
        ("--operator-labels=app", "--operator-labels 'app': 'app' must be name=value"),
        ("--lease-seconds=0", "--lease-seconds '0': Input should be greater than or equal to 1"),
    ],
)
def test_a_wrong_flag_is_named_with_its_value(flag: str, message: str) -> None:
    with pytest.raises(InvalidSettings) as raised:
        read([flag])
    assert str(raised.value).startswith(message)


async def test_the_probe_fails_when_no_pass_runs_any_more() -> None:
    now = 0.0
    pulse, metrics = Pulse(monotonic=lambda: now, stale_after=10), Metrics()
    async with serve(application(pulse, metrics.registry), "127.0.0.1", 0) as port:
        assert await _get(port, "/healthz") == 200
        now = 11.0
        assert await _get(port, "/healthz") == 503
        pulse.beat()
        assert await _get(port, "/healthz") == 200
        assert await _get(port, "/metrics") == 200


@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]"])
async def test_probes_are_answered_by_both_families(address: str) -> None:
    app = application(Pulse(monotonic=lambda: 0.0, stale_after=10), Metrics().registry)
    async with serve(app, read([]).host, 0) as port:
        assert await _get(port, "/healthz", address) == 200


@pytest.mark.controlplane
async def test_one_candidate_leads_and_the_next_takes_over_only_when_it_is_silent(plane: ControlPlane) -> None:
    now = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        await asyncio.sleep(0)

    async with await operators.api_client(plane.kubeconfig) as client:
        kube = ApiServer(client)

        def candidate(name: str) -> Election:
            clock = lambda: datetime.now(UTC)  # noqa: E731
            return Election(kube, "default", name, "test", clock=clock, monotonic=lambda: now, sleep=sleep)

        first, second = candidate("first"), candidate("second")
        await first.acquire()
        tries = 0

        def renew(_: KubeError | None) -> None:
            nonlocal tries
            tries += 1

        await second.acquire(renew)
        assert tries >= 4, "it waited for the whole duration of the lease"
        lease = await kube.get(LEASES, "default", "test")
        assert lease is not None
        assert lease["spec"]["holderIdentity"] == "second"
        with pytest.raises(LeadershipLost, match="held up"):
            await first.hold()
        await second.release()
        assert await kube.get(LEASES, "default", "test") is None


async def test_a_holder_whose_lease_is_taken_stops() -> None:
    kube = KubeFake()
    election = Election(kube, "default", "first", duration=2.0, renew=0.01)
    await election.acquire()
    kube.one(LEASES, election.name)["spec"]["holderIdentity"] = "second"
    with pytest.raises(LeadershipLost, match="took the lease"):
        await election.hold()


class _Troubled(KubeFake):
    """An API server that answers as told: `ok`, `error`, or not at all."""

    def __init__(self, silence: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.answers: list[str] = []
        """Of the next requests; then `ok`."""
        self.asked = 0
        self._silence = silence

    async def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        self.asked += 1
        answer = self.answers.pop(0) if self.answers else "ok"
        if answer == "silence":
            self._silence()
            await asyncio.Event().wait()
        if answer == "error":
            raise Unreachable("connection refused")
        return await super().get(resource, namespace, name)


class _Time:
    """A clock that moves by sleeping, and when told."""

    now = 0.0

    def pass_(self, seconds: float) -> None:
        self.now += seconds

    async def sleep(self, seconds: float) -> None:
        self.pass_(seconds)
        await asyncio.sleep(0)


async def test_a_holder_that_gets_no_answer_stops_before_the_next_may_lead() -> None:
    time, wait = _Time(), 0.05
    kube = _Troubled(silence=lambda: time.pass_(wait))
    election = Election(
        kube, "default", "first", duration=10.0, renew=(10.0 - wait) / 2, monotonic=lambda: time.now, sleep=time.sleep
    )
    await election.acquire()
    kube.answers = ["silence"]
    async with asyncio.timeout(60):
        with pytest.raises(LeadershipLost, match=r"could not be renewed in time: .* did not answer"):
            await election.hold()
    assert time.now == pytest.approx(election.duration - election.renew)
    assert not election.leads()


async def test_a_holder_outlives_errors_that_leave_it_time() -> None:
    time, kube = _Time(), _Troubled()
    election = Election(
        kube, "default", "first", duration=10.0, renew=2.0, monotonic=lambda: time.now, sleep=time.sleep
    )
    await election.acquire()
    kube.answers = ["error", "error", "ok"] * 5 + ["error"] * 100
    with pytest.raises(LeadershipLost, match="connection refused"):
        await election.hold()
    assert time.now == pytest.approx(15 * election.renew + election.duration - election.renew)


@pytest.mark.controlplane
async def test_in_a_pod_it_logs_in_with_what_the_kubelet_mounts(
    plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kubeconfig = yaml.safe_load(operators.service_account(plane, tmp_path).read_text())
    (tmp_path / "token").write_text(kubeconfig["users"][0]["user"]["token"])
    (tmp_path / "ca.crt").write_bytes(plane.ca_file.read_bytes())
    monkeypatch.setattr(service_account, "FOLDER", tmp_path)
    address = urlsplit(plane.url)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", str(address.hostname))
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(address.port))
    async with ApiClient(await process._configuration()) as client:
        kube = ApiServer(client)
        assert isinstance(await kube.list(CASCADES, None), list)
        with pytest.raises(KubeError, match=r"system:serviceaccount:default:disrouter-operator.* cannot list"):
            await kube.list(SECRETS, "default")


@pytest.mark.controlplane
def test_the_process_leads_reconciles_and_hands_the_lease_back_on_sigterm(plane: ControlPlane, tmp_path: Path) -> None:
    namespace = "process"
    plane.kubectl("create", "namespace", namespace)
    env = os.environ | {
        "KUBECONFIG": str(plane.kubeconfig),
        "DISROUTER_NAMESPACES": namespace,
        "DISROUTER_LEASE_NAMESPACE": namespace,
        "DISROUTER_PORT": "0",
        "DISROUTER_HOST": "127.0.0.1",
    }
    log = (tmp_path / "operator.log").open("wb")
    operator = subprocess.Popen([sys.executable, "-m", "disrouter_operator"], env=env, stdout=log, stderr=log)
    try:
        manifest: Any = clusters.example()
        manifest["metadata"]["namespace"] = namespace
        plane.apply(manifest)
        plane.wait("the status", lambda: "status" in plane.get("src", namespace, "qwen"))
        assert plane.get("lease", namespace, "disrouter-operator")["spec"]["holderIdentity"]
        operator.send_signal(signal.SIGTERM)
        assert operator.wait(60) == 0, (tmp_path / "operator.log").read_text()
        assert plane.get("lease", namespace)["items"] == []
    finally:
        operator.kill()
        operator.wait()
        log.close()
    assert "Traceback" not in (tmp_path / "operator.log").read_text()


async def _get(port: int, path: str, address: str = "127.0.0.1") -> int:
    def ask() -> int:
        try:
            with urllib.request.urlopen(f"http://{address}:{port}{path}", timeout=5) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code

    return await asyncio.to_thread(ask)
