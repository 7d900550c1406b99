"""A real API server that forgets versions, puts requests off, and takes a token no longer."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from kubernetes.aio.client import ApiClient

from disrouter_operator import __main__ as process
from disrouter_operator.errors import InvalidSettings, KubeError, Throttled
from disrouter_operator.kube import service_account
from disrouter_operator.kube.api_server import ApiServer
from disrouter_operator.kube.rate_limit import TokenBucket
from disrouter_operator.kube.resources import CASCADES
from disrouter_operator.operator import Options
from support import clusters, operators
from support.controlplane import ControlPlane
from support.places import Place
from support.proxying import Proxy, proxying
from support.replicas import Replica, killed_at_the_end

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(300)]

RESYNC_SECONDS = "600"
"""What comes about was not found by a resync."""
PAUSE = 3
"""Seconds that the API server asks for."""
TOGETHER = 0.4
"""Seconds within which requests go out together, and answers to them come, on a busy machine."""


@contextmanager
def operating(plane: ControlPlane, folder: Path, namespace: str) -> Iterator[tuple[Place, Proxy, Replica]]:
    """An operator process behind a proxy, with a cascade that it has made."""
    place = Place(plane, namespace)
    account = operators.service_account(plane, folder)
    with proxying(plane, seed=0) as proxy:
        kubeconfig = proxy.kubeconfig(account, folder / "proxied.kubeconfig")
        replica = Replica("operator", kubeconfig, folder, namespaces=namespace, resync_seconds=RESYNC_SECONDS)
        with killed_at_the_end(replica):
            replica.ensure()
            place.apply(clusters.example())
            yield place, proxy, replica


def test_watches_whose_version_is_gone_begin_anew_and_miss_nothing(plane: ControlPlane, tmp_path: Path) -> None:
    with operating(plane, tmp_path, "forgetful") as (place, proxy, replica):
        proxy.stale = True
        # A new kind makes the operator open every watch anew; a watch that is open stays so for minutes.
        replica.kill()
        replica.ensure()
        plane.wait("answers 410 of the API server", lambda: proxy.expired > 3)
        proxy.stale = False
        place.apply(clusters.example(scenario="cost-first"))
        assert place.condition("Stalled")["status"] == "False", replica.text()


def test_requests_that_are_put_off_wait_as_told_and_stall_nothing(plane: ControlPlane, tmp_path: Path) -> None:
    with operating(plane, tmp_path, "throttled") as (place, proxy, replica):
        before = place.condition("Stalled")
        for name in ("second", "third", "fourth"):
            place.apply(named(name))
        proxy.pause = PAUSE
        for name, scenario in (("qwen", "cost-first"), ("second", "balance"), ("third", "cost-first")):
            edited = named(name)
            edited["spec"]["scenario"] = scenario
            edited["metadata"]["namespace"] = place.namespace
            plane.apply(edited)
        plane.wait("requests that are put off", lambda: len(proxy.put_off) >= 5)
        proxy.pause = 0
        gaps = [after - each for each, after in itertools.pairwise(proxy.put_off)]
        # What is under way when the first answer comes is put off too; nothing else goes out before the pause is over.
        assert [gap for gap in gaps if TOGETHER < gap < PAUSE - TOGETHER] == [], gaps
        assert max(gaps) >= PAUSE - TOGETHER
        for name in ("qwen", "second", "third"):
            place.until(lambda name=name: observed(place.cascade(name)), name)
        assert place.condition("Stalled")["status"] == before["status"] == "False", replica.text()


def named(name: str) -> Any:
    manifest = clusters.example()
    manifest["metadata"]["name"] = name
    return manifest


def observed(cascade: Any) -> bool:
    return bool(cascade["status"]["observedGeneration"] == cascade["metadata"]["generation"])


async def test_a_request_that_is_put_off_is_sent_again_after_the_pause_and_given_up_in_the_end(
    plane: ControlPlane, tmp_path: Path
) -> None:
    account = operators.service_account(plane, tmp_path)
    with proxying(plane, seed=0) as proxy:
        async with await operators.api_client(proxy.kubeconfig(account, tmp_path / "proxied")) as client:
            proxy.pause = 1
            with pytest.raises(Throttled, match="429: injected: TooManyRequests") as raised:
                await ApiServer(client).list(CASCADES, None)
            assert (raised.value.retry_after, len(proxy.put_off)) == (1.0, 1), "nobody who holds it back: no second try"
            proxy.put_off.clear()
            proxy.pause = 15
            started = time.monotonic()
            limited = ApiServer(client, TokenBucket(100, 100))
            with pytest.raises(KubeError) as given_up:
                await limited.list(CASCADES, None)
            assert (given_up.value.status, len(proxy.put_off)) == (429, 2)
            assert 15 <= time.monotonic() - started < 25
            proxy.pause = 0


@pytest.fixture
def pod(plane: ControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the kubelet mounts into a pod and sets in it."""
    operators.service_account(plane, tmp_path)
    folder = tmp_path / "serviceaccount"
    folder.mkdir()
    (folder / "ca.crt").write_bytes(plane.ca_file.read_bytes())
    address = urlsplit(plane.url)
    monkeypatch.setattr(service_account, "FOLDER", folder)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", str(address.hostname))
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(address.port))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    return folder


class Tokens:
    """Tokens of the operator's account; each lives as long as a Secret that it is bound to."""

    def __init__(self, plane: ControlPlane, file: Path) -> None:
        self._plane, self._file, self._count = plane, file, 0

    def rotate(self) -> str:
        """A new one into the file, as the kubelet writes it; returns what it is bound to."""
        self._count += 1
        name = f"bound-{self._count}"
        self._plane.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": "default"}})
        bound = ("--bound-object-kind=Secret", f"--bound-object-name={name}")
        token = self._plane.kubectl("create", "token", "disrouter-operator", "-n", "default", *bound)
        scratch = self._file.with_suffix(".new")
        scratch.write_text(token)
        scratch.replace(self._file)
        return name

    def revoke(self, name: str) -> None:
        """The API server takes it no longer, once it has forgotten for 10 s that it did."""
        self._plane.kubectl("delete", "secret", name, "-n", "default")


async def test_the_next_request_uses_the_token_that_is_in_the_file_now(plane: ControlPlane, pod: Path) -> None:
    tokens = Tokens(plane, pod / "token")
    first = tokens.rotate()
    async with ApiClient(await process._configuration()) as client:
        kube = ApiServer(client)
        assert isinstance(await kube.list(CASCADES, None), list)
        tokens.rotate()
        tokens.revoke(first)
        for _ in range(15):
            assert isinstance(await kube.list(CASCADES, None), list)
            time.sleep(1)  # noqa: ASYNC251  nothing else runs here


def test_an_operator_lives_on_when_its_token_is_replaced_and_the_old_one_refused(
    plane: ControlPlane, pod: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = Tokens(plane, pod / "token")
    first = tokens.rotate()
    place = Place(plane, "rotated")
    options = Options(
        settings=operators.SETTINGS, namespaces=(place.namespace,), host="127.0.0.1", port=0, resync_seconds=600.0
    )
    with operators.running(None, options) as operator:
        place.apply(clusters.example())
        tokens.rotate()
        tokens.revoke(first)
        time.sleep(12)
        plane.restart_api_server()  # every watch is opened again
        place.apply(clusters.example(scenario="cost-first"))
        place.until(lambda: not operator.monitor.unready(), "watches that are open")
    assert "401" not in json.dumps(place.cascade()["status"])


def test_a_pod_without_the_api_servers_address_says_so(pod: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (pod / "token").write_text("x")
    monkeypatch.delenv("KUBERNETES_SERVICE_PORT")
    with pytest.raises(InvalidSettings, match="KUBERNETES_SERVICE_PORT is not set"):
        service_account.mounted()


def test_an_api_server_of_ipv6_is_written_in_brackets(pod: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (pod / "token").write_text("x")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "6443")
    account = service_account.mounted()
    assert account is not None
    assert account.server == "https://[fd00::1]:6443"
