"""A whole cluster for tests: images of this tree, and charts installed by helm."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from disrouter import __version__, names
from support import helm, kubectl
from support.kubectl import Kubectl

REGISTRY = "disrouter.test"
"""Of the images that tools/cluster-images builds and loads; nothing is ever pulled from there."""
PARTS = ("operator", "sidecar", "training")
_SYSTEM = "kube-system"
NAMESPACE = "disrouter"
"""Where the charts are installed."""


def image(name: str, tag: str = __version__) -> str:
    """An image as the nodes know it."""
    return f"{REGISTRY}/{name}:{tag}"


def values(**more: Any) -> dict[str, Any]:
    """The operator's chart with the images of this tree."""
    return {"images": {part: {"repository": f"{REGISTRY}/{part}"} for part in PARTS}, **more}


@dataclass(frozen=True)
class Cluster(Kubectl):
    """A cluster that may be installed to, as its administrator sees it."""

    @classmethod
    def of(cls, kubeconfig: str) -> Cluster:
        """By its kubeconfig."""
        return cls(Path(kubeconfig), kubectl.binary())

    def releases(self) -> helm.Releases:
        """helm in the namespace of the operator."""
        return helm.Releases(self, NAMESPACE)

    def operator_pods(self) -> list[dict[str, Any]]:
        """The operator's pods that are not on their way out."""
        found = self.get("pods", NAMESPACE, "--selector=app.kubernetes.io/component=operator")["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def operator_logs(self) -> str:
        """What all operator pods said, the newest lines."""
        where = ("-n", NAMESPACE, "--selector=app.kubernetes.io/component=operator", "--tail=200", "--prefix")
        return self.kubectl_process("logs", *where).stdout

    def clean(self) -> None:
        """Take away cascades, charts, definition and the operator's namespace, in whatever state they are."""
        self.kubectl_process("delete", names.PLURAL, "--all", "--all-namespaces", "--timeout=50s")
        for release in ("disrouter", "disrouter-crds"):
            helm.helm("uninstall", release, "--namespace", NAMESPACE, "--kubeconfig", str(self.kubeconfig))
        self.kubectl_process("delete", "crd", f"{names.PLURAL}.{names.GROUP}", "--ignore-not-found", "--timeout=50s")
        self.kubectl_process("delete", "namespace", NAMESPACE, "--ignore-not-found", "--timeout=50s")


@contextmanager
def no_name_server(cluster: Cluster) -> Iterator[None]:
    """The cluster's DNS is away while the block runs."""
    selector = "--selector=k8s-app=kube-dns"
    (deployment,) = cluster.get("deployments", _SYSTEM, selector)["items"]
    scale = ("scale", f"deployment/{deployment['metadata']['name']}", f"--namespace={_SYSTEM}")
    cluster.kubectl(*scale, "--replicas=0")
    try:
        cluster.wait("no name server", lambda: not cluster.get("pods", _SYSTEM, selector)["items"])
        yield
    finally:
        cluster.kubectl(*scale, f"--replicas={deployment['spec']['replicas']}")
        cluster.kubectl("rollout", "status", *scale[1:], "--timeout=50s")


@contextmanager
def installed(cluster: Cluster, **more: Any) -> Iterator[helm.Releases]:
    """Both charts, as docs/install.md says; everything is taken away at the end."""
    cluster.clean()
    releases = cluster.releases()
    try:
        releases("install", "disrouter-crds", str(helm.CRDS), "--create-namespace")
        releases("install", "disrouter", str(helm.OPERATOR), "--wait", "--timeout=120s", values=values(**more))
        yield releases
    except BaseException:
        print(cluster.operator_logs()[-6000:])
        raise
    finally:
        cluster.clean()
