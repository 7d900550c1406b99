"""What a container sees under its mount paths, as folders of this machine.

Every container has a root folder in which each mount path is a link to its volume: `/mnt/pvc/data` becomes
`<root>/mnt/pvc/data`. Arguments and variables that name a mount path, or the parent of one, are rewritten to the root.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from disrouter.artifacts import write_atomically
from disrouter_local.errors import InvalidPod
from disrouter_operator.kube.resources import Object

_FILES = frozenset({"configMap", "secret", "emptyDir", "projected"})
"""Kinds of volumes that are a folder of the pod; a projected one (a cluster's tokens) stays empty here."""


@dataclass(frozen=True)
class Claims:
    """Folders of PersistentVolumeClaims: those named on the command line, else one below the state folder."""

    default: Path
    named: Mapping[str, Path]

    def folder(self, claim: str) -> Path:
        path = self.named.get(claim, self.default / claim)
        path.mkdir(parents=True, exist_ok=True)
        return path.resolve()


@dataclass(frozen=True)
class Root:
    """A container's root folder and the paths in it that stand for paths of the container."""

    folder: Path
    paths: tuple[str, ...]

    def host(self, path: str) -> Path:
        """Where a path of the container lies on this machine."""
        return self.folder / path.lstrip("/")

    def rewrite(self, text: str) -> str:
        """`text` with every mount path, and every parent that stands alone, moved below the root."""
        if text in self._parents():
            return str(self.host(text))
        if not self.paths:
            return text
        any_path = "|".join(re.escape(path) for path in sorted(self.paths, key=len, reverse=True))
        return re.sub(rf"(?<![\w./-])({any_path})(?=/|$|[\s,:;\"'])", lambda match: str(self.host(match[0])), text)

    def _parents(self) -> set[str]:
        parents = {str(parent) for path in self.paths for parent in PurePosixPath(path).parents}
        return parents - {"/"}


def mount(pod: Object, container: Mapping[str, Any], folder: Path, claims: Claims) -> Root:
    """Build the root of a container below `folder`. Raises InvalidPod for volumes that exist in clusters only."""
    root = folder / container["name"] / "root"
    root.mkdir(parents=True, exist_ok=True)
    volumes = {volume["name"]: volume for volume in _volumes(pod)}
    paths = []
    for item in container.get("volumeMounts") or []:
        target = _source(volumes, item["name"], folder, claims) / item.get("subPath", "")
        if item.get("subPath"):
            _prepare_subpath(item, target)
        path = str(PurePosixPath(item["mountPath"]))
        _link(root / path.lstrip("/"), target)
        paths.append(path)
    message = container.get("terminationMessagePath")
    if message:
        (root / message.lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
        paths.append(message)
    return Root(root, tuple(paths))


def volume_folder(folder: Path, volume: str) -> Path:
    """Where the files of a pod's ConfigMap or Secret volume are kept fresh, or an emptyDir lies."""
    return folder / "volumes" / volume


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Make a folder's files equal to a ConfigMap's or Secret's; unchanged files are not touched."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name, text in files.items():
        path = folder / name
        if not path.is_file() or path.read_text() != text:
            write_atomically(path, text)
    for path in folder.iterdir():
        if path.name not in files and not path.name.startswith("."):
            path.unlink()


def config_map_volumes(pod: Object) -> dict[str, str]:
    """Volume name -> ConfigMap name."""
    return {item["name"]: item["configMap"]["name"] for item in _volumes(pod) if "configMap" in item}


def secret_volumes(pod: Object) -> dict[str, str]:
    """Volume name -> Secret name."""
    return {item["name"]: item["secret"]["secretName"] for item in _volumes(pod) if "secret" in item}


def _volumes(pod: Object) -> list[dict[str, Any]]:
    return list(pod["spec"].get("volumes") or [])


def _source(volumes: Mapping[str, Mapping[str, Any]], name: str, folder: Path, claims: Claims) -> Path:
    volume = volumes.get(name)
    if volume is None:
        raise InvalidPod(f"volumeMount {name!r} has no volume of that name; add it to spec.volumes")
    if "persistentVolumeClaim" in volume:
        return claims.folder(volume["persistentVolumeClaim"]["claimName"])
    if "hostPath" in volume:
        return Path(volume["hostPath"]["path"])
    if not _FILES.isdisjoint(volume):
        path = volume_folder(folder, name)
        path.mkdir(parents=True, exist_ok=True)
        return path
    kind = next((key for key in volume if key != "name"), "unknown")
    raise InvalidPod(f"volume {name!r} is of kind {kind}, which one machine does not offer; use a claim or a ConfigMap")


def _prepare_subpath(item: Mapping[str, Any], target: Path) -> None:
    """Make the folder, as the kubelet does, except where the container could only find it empty."""
    if ".." in PurePosixPath(item["subPath"]).parts or item["subPath"].startswith("/"):
        raise InvalidPod(f"subPath {item['subPath']!r} climbs out of its volume; remove '..'")
    if not item.get("readOnly"):
        target.mkdir(parents=True, exist_ok=True)
    elif not target.exists():
        raise InvalidPod(f"{target} does not exist; put the files there, or name the folder with --volume CLAIM=DIR")


def _link(path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        path.unlink()
    path.symlink_to(target)
