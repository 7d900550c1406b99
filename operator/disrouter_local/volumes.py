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
from disrouter_operator.resources import Object


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
    volumes = {volume["name"]: volume for volume in pod["spec"].get("volumes") or []}
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


def config_map_folder(folder: Path, volume: str) -> Path:
    """Where the files of a pod's ConfigMap volume are kept fresh."""
    return folder / "volumes" / volume


def write_config_map(folder: Path, config_map: Object) -> None:
    """Make a folder's files equal to a ConfigMap's data; unchanged files are not touched."""
    data: dict[str, str] = config_map.get("data") or {}
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in data.items():
        path = folder / name
        if not path.is_file() or path.read_text() != text:
            write_atomically(path, text)
    for path in folder.iterdir():
        if path.name not in data and not path.name.startswith("."):
            path.unlink()


def config_map_volumes(pod: Object) -> dict[str, str]:
    """Volume name -> ConfigMap name."""
    volumes = pod["spec"].get("volumes") or []
    return {volume["name"]: volume["configMap"]["name"] for volume in volumes if "configMap" in volume}


def _source(volumes: Mapping[str, Mapping[str, Any]], name: str, folder: Path, claims: Claims) -> Path:
    volume = volumes.get(name)
    if volume is None:
        raise InvalidPod(f"volumeMount {name!r} has no volume of that name; add it to spec.volumes")
    if "persistentVolumeClaim" in volume:
        return claims.folder(volume["persistentVolumeClaim"]["claimName"])
    if "hostPath" in volume:
        return Path(volume["hostPath"]["path"])
    if "configMap" in volume or "emptyDir" in volume:
        path = config_map_folder(folder, name)
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
