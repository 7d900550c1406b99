"""Everything goes wrong at once, and in the end the cluster is exactly what the manifests say.

Operators run as processes with the chart's rights alone, behind a proxy that injects faults. All that is random comes
from a seed that is printed when a test fails; DISROUTER_CHAOS_SEED plays one again.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from disrouter_operator.kube.resources import Object
from support import operators
from support.controlplane import ControlPlane
from support.edits import CASCADES_NAMES, Editor, difference, wanted
from support.places import Place
from support.proxying import Proxy, proxying
from support.replicas import Replica, killed_at_the_end

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(600)]

SEED = int(os.environ.get("DISROUTER_CHAOS_SEED", "20261"))
EDITS = 50
FAULTS = 0.08
"""Of all requests."""
KILLS = 0.16
"""Of all edits: about eight."""
PATIENCE = 240.0
"""Seconds until the last edit must have had its effect; seconds on a quiet machine."""
MOST_WRITES = 30
"""An edit that changes everything writes about a dozen objects and a few statuses; a storm writes without end."""
WORKERS = 4
"""Passes that an operator works on at a time, by default."""
KINDS = "inferenceservices,deployments,services,configmaps,jobs,networkpolicies,poddisruptionbudgets"


@pytest.fixture
def proxy(plane: ControlPlane) -> Iterator[Proxy]:
    with proxying(plane, SEED) as running:
        yield running


def test_killed_operators_lost_answers_and_a_restarted_api_server_end_in_the_desired_state(
    plane: ControlPlane, proxy: Proxy, tmp_path: Path
) -> None:
    place = Place(plane, "chaos")
    kubeconfig = proxy.kubeconfig(operators.service_account(plane, tmp_path), tmp_path / "proxied.kubeconfig")
    replica = Replica("operator-0", kubeconfig, tmp_path, namespaces=place.namespace, resync_seconds="5")
    editor, draw = Editor(place, SEED), random.Random(SEED)
    done: list[str] = []

    def told() -> str:
        return f"seed {SEED}\n{done}\n{replica.text()}"

    with killed_at_the_end(replica):
        replica.ensure()
        editor.start()
        proxy.chance = FAULTS
        for number in range(EDITS):
            replica.ensure()
            done.append(editor.edit())
            if draw.random() < KILLS:
                time.sleep(2 * draw.random())
                replica.kill()
                done.append("kill -9")
            if number == EDITS // 2:
                plane.restart_api_server()
                done.append("the API server restarts")
        proxy.chance = 0.0
        _converges(place, replica.ensure, told)
        writes = _at_rest(proxy, replica.ensure)
    assert replica.starts > 3, told()
    assert len(proxy.writes()) < MOST_WRITES * EDITS, (Counter(each.resource for each in proxy.writes()), told())
    assert writes == 0, told()
    created = Counter(each.name for each in proxy.requests if each.resource == "jobs" and each.status == 201)
    deleted = Counter(each.name for each in proxy.writes() if each.resource == "jobs" and each.verb == "delete")
    # The garbage collector takes Jobs with a cascade that is deleted; its successor makes them anew.
    gone = {name: deleted[name] + editor.deletions[name.partition("-")[0]] for name in created}
    again = {name: times for name, times in created.items() if times > 1 + gone[name]}
    assert not again, (again, gone, told())


def _converges(place: Place, ensure: Callable[[], None], told: Callable[[], str]) -> None:
    """Every cascade's children are those that a fresh world makes of its manifest, and nothing else is there."""
    problems: list[str] = ["never looked"]

    def as_desired() -> bool:
        nonlocal problems
        ensure()
        parents: list[Object] = place.plane.get("src", place.namespace)["items"]
        desired: dict[tuple[str, str], Object] = {}
        for parent in parents:
            desired |= asyncio.run(wanted(parent))
        children: list[Any] = place.plane.get(KINDS, place.namespace, "--selector=disrouter.io/cascade")["items"]
        problems = difference(desired, parents, children)
        behind = [p["metadata"]["name"] for p in parents if not _observed(p)]
        problems += [f"the status of {name} is behind" for name in behind]
        return not problems and len(parents) == len(CASCADES_NAMES)

    try:
        place.plane.wait("the desired state", as_desired, PATIENCE)
    except AssertionError as error:
        raise AssertionError(f"{error}: {problems}\n{told()}") from None


def _observed(parent: Object) -> bool:
    return bool((parent.get("status") or {}).get("observedGeneration") == parent["metadata"]["generation"])


def _at_rest(proxy: Proxy, ensure: Callable[[], None]) -> int:
    """Writes during some seconds with a resync in them, after the last reconcile ended."""
    deadline = time.monotonic() + PATIENCE
    while True:
        before, reads = len(proxy.writes()), len(proxy.requests)
        while len(proxy.requests) < reads + 30:  # a whole resync of three cascades
            ensure()
            assert time.monotonic() < deadline, "no resync"
            time.sleep(0.2)
        if len(proxy.writes()) == before or time.monotonic() > deadline:
            return len(proxy.writes()) - before


def test_an_operator_that_lost_its_lease_writes_nothing_more(plane: ControlPlane, tmp_path: Path) -> None:
    place = Place(plane, "stolen")
    account = operators.service_account(plane, tmp_path)
    operators.may_lead(plane, place.namespace)
    with proxying(plane, SEED) as first_way, proxying(plane, SEED) as second_way:
        settings = {"namespaces": place.namespace, "lease_namespace": place.namespace, "lease_seconds": "10"}
        first, second = (
            Replica(name, way.kubeconfig(account, tmp_path / f"{name}.kubeconfig"), tmp_path, **settings)
            for name, way in (("first", first_way), ("second", second_way))
        )
        editor = Editor(place, SEED)

        def told() -> str:
            return f"seed {SEED}\n{first.text()}\n{second.text()}"

        def waits(what: str, ready: Callable[[], bool]) -> None:
            try:
                plane.wait(what, ready, PATIENCE)
            except AssertionError as error:
                raise AssertionError(f"{error}\n{told()}") from None

        def holder() -> Any:
            found = plane.kubectl_process("get", "lease", "disrouter-operator", "-n", place.namespace, "-o", "name")
            if found.returncode != 0:
                return None
            return plane.get("lease", place.namespace, "disrouter-operator")["spec"]["holderIdentity"]

        with killed_at_the_end(first, second):
            first.ensure()
            waits("the first leader", lambda: holder() == "first")
            second.ensure()
            editor.start()
            waits("children", lambda: len(first_way.writes()) > 3)
            assert not second_way.writes(), told()
            first.signal(signal.SIGSTOP)
            waits("the takeover", lambda: holder() == "second")
            for _ in range(5):
                editor.edit()
            waits("writes of the second", lambda: bool(second_way.writes()))
            before = len(first_way.writes())
            first.signal(signal.SIGCONT)
            waits("the end of the first", first.ended)
            # What was between the clock and the wire when it stopped still arrives: one request per worker.
            assert len(first_way.writes()) <= before + WORKERS, told()
            assert "lease" in first.text(), told()
            patch = '{"spec": {"holderIdentity": "first"}}'
            where = ("-n", place.namespace, "--type=merge", "-p", patch)
            plane.kubectl("patch", "lease", "disrouter-operator", *where)
            first.ensure()
            for _ in range(5):
                editor.edit()
            waits("the end of the second", second.ended)
            _converges(place, first.ensure, told)
