"""Pods of the store as running processes, and back."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from disrouter_local.node.kubelet import Kubelet
from disrouter_local.objects import is_true
from disrouter_local.pods.pod import JOB_NICE
from disrouter_local.runtime import Options, build_host
from disrouter_local.state import StateFolder
from disrouter_local.store.folder import Folder
from disrouter_local.store.store import Store
from disrouter_operator.kube.resources import PODS, Object
from support.local import HTTP_SERVER, PATIENCE, alive, pod_spec, until

HTTP = {
    "env": [{"name": "DISROUTER_PORT", "value": "8080"}],
    "ports": [{"name": "http1", "containerPort": 8080}],
    "readinessProbe": {"httpGet": {"path": "/", "port": "http1"}, "periodSeconds": 1},
}


class Machine:
    """A store and a kubelet that steps whenever something changes."""

    def __init__(self, state: StateFolder, max_jobs: int = 1) -> None:
        self.store = Store(Folder(state.root / "objects"))
        self._woken = asyncio.Event()
        host = build_host(state, Options(max_jobs=max_jobs), {"PATH": os.environ["PATH"], "SHELL_SECRET": "x"})
        self.kubelet = Kubelet(self.store, host, self._woken.set)
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            self._woken.clear()
            await self.kubelet.sync(await self.store.list(PODS, None))
            try:
                async with asyncio.timeout(0.1):
                    await self._woken.wait()
            except TimeoutError:
                continue

    async def create(self, name: str, spec: dict[str, Any]) -> Object:
        metadata = {"name": name, "labels": {"app": name}}
        return await self.store.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})

    async def pod(self, name: str, holds: Callable[[Object], Any], seconds: float = PATIENCE) -> Object:
        """The pod once `holds` is true of it."""
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            found = await self.store.get(PODS, "default", name)
            if found is not None and holds(found):
                return found
            assert asyncio.get_running_loop().time() < deadline, json.dumps(found, indent=1)
            await asyncio.sleep(0.05)

    async def gone(self, name: str) -> None:
        """Wait until the pod's object is gone."""
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while True:
            if await self.store.get(PODS, "default", name) is None:
                return
            assert asyncio.get_running_loop().time() < deadline, f"pod {name} is still there"
            await asyncio.sleep(0.05)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.kubelet.close()


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    return StateFolder(tmp_path / "state")


@pytest.fixture
async def machine(state: StateFolder) -> AsyncIterator[Machine]:
    made = Machine(state)
    yield made
    await made.close()


def main_status(pod: Object) -> dict[str, Any]:
    statuses = (pod.get("status") or {}).get("containerStatuses") or [{}]
    return dict(statuses[0])


def pid(pod: Object) -> int:
    return int(main_status(pod).get("containerID", "process://0").removeprefix("process://"))


def phase(pod: Object) -> str:
    return str((pod.get("status") or {}).get("phase"))


async def test_a_pod_becomes_ready_when_its_probe_succeeds_and_a_service_finds_it(machine: Machine) -> None:
    await machine.create("web", pod_spec(HTTP_SERVER, **HTTP))
    pod = await machine.pod("web", lambda found: is_true(found, "Ready"))
    (port,) = machine.kubelet.backends([pod], {"app": "web"}, "http1")
    assert machine.kubelet.backends([pod], {"app": "web"}, 8080) == (port,)
    assert machine.kubelet.backends([pod], {"app": "other"}, 8080) == ()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.0\r\n\r\n")
    assert (await reader.read(-1)).endswith(b"hello")
    writer.close()


async def test_a_deleted_pod_ends_its_process_and_goes(machine: Machine) -> None:
    await machine.create("web", pod_spec(HTTP_SERVER, **HTTP))
    pod = await machine.pod("web", lambda found: is_true(found, "Ready"))
    await machine.store.delete(PODS, "default", "web")
    await until(lambda: not alive(pid(pod)))
    await machine.gone("web")


async def test_containers_stop_from_the_last_so_that_a_sidecar_drains_before_its_engine(
    machine: Machine, tmp_path: Path
) -> None:
    log, up = tmp_path / "order", tmp_path / "up"
    code = f"""
import signal, sys, time
def end(*_):
    time.sleep(0.2)
    with open({str(log)!r}, "a") as file: file.write(sys.argv[1])
    sys.exit(0)
signal.signal(15, end)
with open({str(up)!r}, "a") as file: file.write("+")
while True: time.sleep(1)
"""
    containers = [{"name": name, "command": ["python", "-c", code, name]} for name in ("engine", "sidecar")]
    await machine.create("pair", {"containers": containers})
    await until(lambda: up.exists() and up.read_text() == "++")
    await machine.store.delete(PODS, "default", "pair")
    await until(lambda: log.exists() and log.read_text() == "sidecarengine")


async def test_a_crashing_container_is_restarted_with_a_reason_and_the_end_of_its_log(machine: Machine) -> None:
    await machine.create("bad", pod_spec("print('no such model'); raise SystemExit(3)"))
    pod = await machine.pod("bad", lambda found: main_status(found).get("restartCount", 0) >= 2)
    last = main_status(pod)["lastState"]["terminated"]
    assert (last["exitCode"], last["message"].splitlines()[-1]) == (3, "no such model")
    waiting = (await machine.pod("bad", lambda found: "waiting" in main_status(found)["state"]))["status"]
    assert waiting["containerStatuses"][0]["state"]["waiting"]["reason"] == "CrashLoopBackOff"


async def test_a_killed_container_comes_back_alone(machine: Machine) -> None:
    await machine.create("web", pod_spec(HTTP_SERVER, **HTTP))
    first = await machine.pod("web", lambda found: is_true(found, "Ready"))
    os.kill(pid(first), signal.SIGKILL)
    again = await machine.pod("web", lambda found: is_true(found, "Ready") and pid(found) not in (0, pid(first)))
    assert main_status(again)["restartCount"] == 1
    assert main_status(again)["lastState"]["terminated"]["exitCode"] == 137


async def test_a_failing_liveness_probe_restarts_the_container(machine: Machine) -> None:
    liveness = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 0.1, "failureThreshold": 2}
    code = "import signal, time; signal.signal(15, lambda *_: exit(0)); time.sleep(60)"
    await machine.create("deaf", pod_spec(code, **{**HTTP, "livenessProbe": liveness}))
    pod = await machine.pod("deaf", lambda found: main_status(found).get("restartCount", 0) >= 1)
    assert main_status(pod)["lastState"]["terminated"]["reason"] == "liveness probe failed"


async def test_a_jobs_pod_ends_with_its_exit_code_and_message(machine: Machine) -> None:
    code = "import os; open(os.environ['LOG'], 'w').write('{\"a\": 1}'); raise SystemExit(0)"
    env = [{"name": "LOG", "value": "/dev/termination-log"}]
    spec = {"restartPolicy": "Never", **pod_spec(code, env=env, terminationMessagePath="/dev/termination-log")}
    await machine.create("job", spec)
    pod = await machine.pod("job", lambda found: phase(found) == "Succeeded")
    assert main_status(pod)["state"]["terminated"]["message"] == '{"a": 1}'
    await machine.create("fails", {"restartPolicy": "Never", **pod_spec("raise SystemExit(75)")})
    pod = await machine.pod("fails", lambda found: phase(found) == "Failed")
    assert main_status(pod)["state"]["terminated"]["exitCode"] == 75


async def test_jobs_take_turns_and_are_nice(machine: Machine, state: StateFolder, tmp_path: Path) -> None:
    turn = tmp_path / "turn"
    code = f"""
import os, time
print(os.nice(0))
while not os.path.exists({str(turn)!r}): time.sleep(0.02)
"""
    for name in ("one", "two"):
        await machine.create(name, {"restartPolicy": "Never", **pod_spec(code)})
    await machine.pod("one", lambda found: phase(found) == "Running")
    second = await machine.store.get(PODS, "default", "two")
    assert second is not None
    assert phase(second) == "Pending"
    turn.touch()
    await machine.pod("two", lambda found: phase(found) == "Succeeded")
    assert [int(state.log(name, "main").read_text()) for name in ("one", "two")] == [min(19, os.nice(0) + JOB_NICE)] * 2


async def test_a_pod_waits_for_its_config_map_and_sees_it_change(machine: Machine, state: StateFolder) -> None:
    code = "import time; print(open('/etc/app/k').read(), flush=True); time.sleep(60)"
    shell = ["python", "-c", "import sys,time; p=sys.argv[1]; print(open(p).read(), flush=True); time.sleep(60)"]
    mounts = [{"name": "cfg", "mountPath": "/etc/app"}]
    spec = pod_spec(code, volumeMounts=mounts)
    spec["containers"][0]["command"] = [*shell, "/etc/app/k"]
    await machine.create("app", {**spec, "volumes": [{"name": "cfg", "configMap": {"name": "cfg"}}]})
    await asyncio.sleep(0.3)
    assert not state.log("app", "main").exists()
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cfg"}, "data": {"k": "v1"}}
    await machine.store.apply(config)
    await until(lambda: state.log("app", "main").exists() and state.log("app", "main").read_text() == "v1\n")
    await machine.store.apply({**config, "data": {"k": "v2"}})
    (file,) = await until(lambda: list(state.pods.glob("*/volumes/cfg/k")))
    await until(lambda: file.read_text() == "v2")


async def test_a_missing_secret_is_a_clear_status_until_it_comes(
    machine: Machine,
) -> None:
    env = [{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "k", "key": "token"}}}]
    await machine.create("app", pod_spec("import os, time; print(os.environ['KEY']); time.sleep(60)", env=env))
    pod = await machine.pod("app", lambda found: (found.get("status") or {}).get("message"))
    assert "Secret 'k' with key 'token' does not exist; apply it" in pod["status"]["message"]
    data = {"token": base64.b64encode(b"s3cret").decode()}
    await machine.store.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "k"}, "data": data})
    pod = await machine.pod("app", lambda found: is_true(found, "Ready"))
    assert not pod["status"]["message"]


async def test_a_folder_that_cannot_be_made_is_a_clear_status_until_it_can(
    machine: Machine, state: StateFolder, caplog: pytest.LogCaptureFixture
) -> None:
    blocker = state.root / "volumes"
    blocker.parent.mkdir(parents=True, exist_ok=True)
    blocker.write_text("a file where the claims' folders should be")
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
    spec = pod_spec("import time; time.sleep(60)", volumeMounts=[{"name": "data", "mountPath": "/mnt/data"}])
    await machine.create("app", {**spec, "volumes": [volume]})
    pod = await machine.pod("app", lambda found: (found.get("status") or {}).get("message"))
    waiting = main_status(pod)["state"]["waiting"]
    assert waiting["reason"] == "CreateContainerError"
    assert "NotADirectoryError" in waiting["message"]
    assert "pod default/app cannot be prepared" in caplog.text
    blocker.unlink()
    pod = await machine.pod("app", lambda found: is_true(found, "Ready"))
    assert not pod["status"]["message"]


async def test_a_secret_that_is_no_text_is_told_and_holds_up_no_other_pod(machine: Machine) -> None:
    data = {"token": "no base64"}
    await machine.store.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "k"}, "data": data})
    volumes = [{"name": "keys", "secret": {"secretName": "k"}}]
    await machine.create("app", {**pod_spec("import time; time.sleep(60)"), "volumes": volumes})
    await machine.create("other", pod_spec("import time; time.sleep(60)"))
    pod = await machine.pod("app", lambda found: (found.get("status") or {}).get("message"))
    assert "Error" in pod["status"]["message"]
    assert "no base64" not in pod["status"]["message"]
    await machine.pod("other", lambda found: is_true(found, "Ready"))


async def test_a_command_that_the_system_does_not_take_is_told_and_tried_again(machine: Machine) -> None:
    await machine.create("app", {"containers": [{"name": "main", "command": ["python", "-c", "pass\0"]}]})
    pod = await machine.pod("app", lambda found: main_status(found).get("restartCount", 0) >= 1)
    last = main_status(pod)["lastState"]["terminated"]
    assert (last["exitCode"], last["reason"]) == (127, "StartError")
    assert "null byte" in last["message"]


async def test_containers_inherit_paths_and_no_secrets(machine: Machine, state: StateFolder) -> None:
    await machine.create("env", {"restartPolicy": "Never", **pod_spec("import os; print(sorted(os.environ))")})
    await machine.pod("env", lambda found: phase(found) == "Succeeded")
    names = state.log("env", "main").read_text()
    assert "PATH" in names
    assert "SHELL_SECRET" not in names


async def test_after_a_restart_services_run_again_and_cut_jobs_are_marked(state: StateFolder) -> None:
    first = Machine(state)
    await first.create("web", pod_spec(HTTP_SERVER, **HTTP))
    await first.create("job", {"restartPolicy": "Never", **pod_spec("import time; time.sleep(60)")})
    before = await first.pod("web", lambda found: is_true(found, "Ready"))
    await first.pod("job", lambda found: phase(found) == "Running")
    await first.close()
    second = Machine(state)
    try:
        job = await second.pod("job", lambda found: phase(found) == "Failed")
        assert job["status"]["reason"] == "NodeShutdown"
        after = await second.pod("web", lambda found: is_true(found, "Ready") and pid(found) != pid(before))
        assert after["metadata"]["uid"] == before["metadata"]["uid"]
    finally:
        await second.close()
