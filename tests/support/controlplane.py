"""A real Kubernetes control plane for tests: etcd, kube-apiserver and kube-controller-manager on loopback ports.

Like controller-runtime's envtest, plus the controllers that tests lean on (garbage collector, Jobs, Deployments). There
are no nodes: Pods stay Pending unless a test, or the local node, plays kubelet. `KUBEBUILDER_ASSETS` names the folder
with the binaries; kubectl comes from there or from PATH.
"""

from __future__ import annotations

import ctypes
import gzip
import json
import os
import secrets
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import yaml

from support import kubectl
from support.kubectl import Kubectl
from support.reading import Reader

ASSETS_VARIABLE = "KUBEBUILDER_ASSETS"
HOW_TO_GET = (
    "put etcd, kube-apiserver, kube-controller-manager, kubectl and helm of Kubernetes 1.30 or newer into one folder "
    "(`setup-envtest use -p path` has all but the controller manager and helm) and export KUBEBUILDER_ASSETS=FOLDER"
)
KSERVE_CRD = Path(__file__).parent / "kserve" / "inferenceservices_full_v0.20.0.yaml.gz"
LLM_CRD = Path(__file__).parent / "kserve" / "llminferenceservices_read.yaml"
START_SECONDS = 180.0
STOP_SECONDS = 10.0
_PR_SET_PDEATHSIG = 1
# The garbage collector learns of new kinds only every 30 s, so CRDs are installed before this starts.
_CONTROLLERS = ",".join(
    f"{name}-controller"
    for name in (
        "garbage-collector",
        "job",
        "deployment",
        "replicaset",
        "namespace",
        "serviceaccount",
        "serviceaccount-token",
        "validatingadmissionpolicy-status",
    )
)


def assets() -> Path | None:
    """The folder with the binaries, None if this machine names none."""
    folder = os.environ.get(ASSETS_VARIABLE)
    return Path(folder) if folder else None


@cache
def kserve_crd() -> dict[str, Any]:
    """KServe's full InferenceService CRD, which takes two seconds to read; do not change it."""
    loaded: dict[str, Any] = yaml.load(gzip.decompress(KSERVE_CRD.read_bytes()), Loader=yaml.CSafeLoader)
    return loaded


@cache
def llm_crd() -> dict[str, Any]:
    """KServe's LLMInferenceService as far as it is read; do not change it."""
    loaded: dict[str, Any] = yaml.safe_load(LLM_CRD.read_text(encoding="utf-8"))
    return loaded


class Restartable:
    """A process that can be killed and started again with the same command."""

    def __init__(self, state: Path, name: str, command: list[str]) -> None:
        self._log = state / f"{name}.log"
        self._command = command
        self._process = self._spawn()

    def stop(self) -> None:
        """Ask it to end, then make it."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """As `kill -9`."""
        self._process.kill()
        self._process.wait()

    def start_again(self) -> None:
        """After `kill`."""
        self._process = self._spawn()

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self._log.open("ab") as log:
            return subprocess.Popen(
                self._command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                preexec_fn=_die_with_parent,  # noqa: PLW1509  makes one system call and takes no lock
            )


@dataclass(frozen=True)
class ControlPlane(Kubectl):
    """Where the API server listens and how to talk to it as an administrator."""

    url: str
    ca_file: Path
    token: str
    reader: Reader
    api_server: Restartable
    pause = 0.05  # a look is a request, not a process

    def get(self, kind: str, namespace: str, *arguments: str) -> Any:
        """What `kubectl get -o json` prints, without a process for each of the hundreds of looks that tests take."""
        return self.reader.get(kind, namespace, *arguments)

    def restart_api_server(self) -> None:
        """Kill it, and wait until its successor answers."""
        self.api_server.kill()
        self.api_server.start_again()
        self.wait("the API server", lambda: _answers(f"{self.url}/readyz", self.ca_file, self.token), 120)

    def kubeconfig_for(self, token: str, path: Path) -> Path:
        """A kubeconfig that logs in with `token`, for example a service account's."""
        path.write_text(_kubeconfig(self.url, self.ca_file, token))
        return path


@contextmanager
def control_plane(binaries: Path, state: Path, crds: tuple[dict[str, Any], ...]) -> Iterator[ControlPlane]:
    """Start everything with `crds` installed; stop everything at the end, also after a failure."""
    with ExitStack() as stack:
        etcd_url = _start_etcd(stack, binaries, state)
        plane = _start_api_server(stack, binaries, state, etcd_url)
        for crd in crds:
            # `create`: client-side apply would copy KServe's 2 MB into an annotation that is limited to 256 KiB.
            plane.kubectl("create", "--validate=false", "-f", "-", stdin=json.dumps(crd))
        for crd in crds:
            _wait(crd["metadata"]["name"], partial(_served, plane, crd), state)
        _start_controllers(stack, binaries, state, plane)
        _wait("the default service account", lambda: _is_there(plane, "serviceaccount", "default"), state)
        yield plane


def _start_etcd(stack: ExitStack, binaries: Path, state: Path) -> str:
    client, peer = (f"http://127.0.0.1:{port}" for port in free_ports(2))
    _start(
        stack,
        state,
        "etcd",
        [
            str(binaries / "etcd"),
            f"--data-dir={state / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            # As envtest does: its data dies with the tests, and a busy disk would hold every write up for seconds.
            "--unsafe-no-fsync",
        ],
    )
    _wait("etcd", lambda: _answers(f"{client}/health"), state)
    return client


def _start_api_server(stack: ExitStack, binaries: Path, state: Path, etcd_url: str) -> ControlPlane:
    (port,) = free_ports(1)
    certificates, tokens, token = state / "certificates", state / "tokens.csv", secrets.token_hex(16)
    tokens.write_text(f'{token},admin,admin,"system:masters"\n')
    # The API server makes its own TLS key first and can then sign service accounts with it: no openssl needed.
    key, ca_file = certificates / "apiserver.key", certificates / "apiserver.crt"
    process = _start(
        stack,
        state,
        "kube-apiserver",
        [
            str(binaries / "kube-apiserver"),
            f"--etcd-servers={etcd_url}",
            f"--cert-dir={certificates}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            f"--secure-port={port}",
            "--endpoint-reconciler-type=none",
            "--service-cluster-ip-range=10.0.0.0/16",
            f"--service-account-key-file={key}",
            f"--service-account-signing-key-file={key}",
            "--service-account-issuer=https://kubernetes.default.svc",
            "--authorization-mode=RBAC",
            f"--token-auth-file={tokens}",
            "--allow-privileged=true",
        ],
    )
    url = f"https://127.0.0.1:{port}"
    _wait("kube-apiserver", lambda: _answers(f"{url}/readyz", ca_file, token), state)
    kubeconfig = state / "admin.kubeconfig"
    kubeconfig.write_text(_kubeconfig(url, ca_file, token))
    return ControlPlane(kubeconfig, kubectl.binary(), url, ca_file, token, Reader(url, ca_file, token), process)


def _start_controllers(stack: ExitStack, binaries: Path, state: Path, plane: ControlPlane) -> None:
    (port,) = free_ports(1)
    _start(
        stack,
        state,
        "kube-controller-manager",
        [
            str(binaries / "kube-controller-manager"),
            f"--kubeconfig={plane.kubeconfig}",
            f"--controllers={_CONTROLLERS}",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            f"--secure-port={port}",
            f"--cert-dir={state / 'controller-manager'}",
            f"--service-account-private-key-file={plane.ca_file.with_suffix('.key')}",
            f"--root-ca-file={plane.ca_file}",
        ],
    )


def _served(plane: ControlPlane, crd: dict[str, Any]) -> bool:
    return _is_there(plane, crd["metadata"]["name"])


def _is_there(plane: ControlPlane, kind: str, *name: str) -> bool:
    try:
        plane.get(kind, "default", *name)
    except AssertionError:
        return False
    return True


def _start(stack: ExitStack, state: Path, name: str, command: list[str]) -> Restartable:
    process = Restartable(state, name, command)
    stack.callback(process.stop)
    return process


def _die_with_parent() -> None:
    """A killed test run leaves no API server behind (Linux only; elsewhere the exit stack has to do)."""
    if hasattr(signal, "SIGRTMIN"):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def free_ports(count: int) -> list[int]:
    """Loopback ports that were free a moment ago."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _answers(url: str, ca_file: Path | None = None, token: str = "") -> bool:
    try:
        context = ssl.create_default_context(cafile=str(ca_file)) if ca_file else None
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
        with urllib.request.urlopen(request, timeout=2, context=context) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _wait(what: str, ready: Callable[[], bool], state: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if time.monotonic() > deadline:
            tails = "\n".join(f"{log.name}: {log.read_text()[-500:]}" for log in sorted(state.glob("*.log")))
            raise RuntimeError(f"{what} did not start within {START_SECONDS:.0f} s\n{tails}")
        time.sleep(0.1)


def _kubeconfig(url: str, ca_file: Path, token: str) -> str:
    named = {"name": "test"}
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [named | {"cluster": {"server": url, "certificate-authority": str(ca_file)}}],
            "users": [named | {"user": {"token": token}}],
            "contexts": [named | {"context": {"cluster": "test", "user": "test"}}],
            "current-context": "test",
        }
    )
