"""How large an image is: packed, as a registry sends it, and unpacked, as a node keeps it; and how large it may be."""

from __future__ import annotations

import json
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MB = 1_000_000
_CHUNK = 1 << 20
_GZIP = 31
"""zlib's window, with gzip's header."""


@dataclass(frozen=True)
class Size:
    """Bytes of an image's layers."""

    packed: int
    """The same as unpacked where the builder did not pack (`docker save`)."""
    unpacked: int

    def within(self, limit: Size) -> bool:
        """Whether neither is more."""
        packs = self.packed != self.unpacked
        return self.unpacked <= limit.unpacked and not (packs and self.packed > limit.packed)

    def __str__(self) -> str:
        return f"{self.packed // MB} MB packed, {self.unpacked // MB} MB unpacked"


LIMITS: Mapping[str, Size] = {
    "operator": Size(37 * MB, 142 * MB),
    "sidecar": Size(33 * MB, 96 * MB),
    "training": Size(465 * MB, 1525 * MB),
}
"""A seventh more than docs/images.md measured; training with torch for CPUs, as tests build it."""


def sizes(archive: Path) -> Size:
    """The size of the one image in an OCI archive (`buildah push NAME oci-archive:FILE`, `docker save`)."""
    with tarfile.open(archive) as tar:
        (entry,) = _json(tar, "index.json")["manifests"]
        layers = _json(tar, _blob(entry))["layers"]
        return Size(sum(layer["size"] for layer in layers), sum(_unpacked(tar, layer) for layer in layers))


def _unpacked(tar: tarfile.TarFile, layer: Mapping[str, Any]) -> int:
    if not layer["mediaType"].endswith("gzip"):
        return int(layer["size"])
    name = _blob(layer)
    stream = tar.extractfile(name)
    assert stream is not None, f"{name}: no such layer in the archive"
    unzip, total = zlib.decompressobj(_GZIP), 0
    while chunk := stream.read(_CHUNK):
        total += len(unzip.decompress(chunk))
    return total + len(unzip.flush())


def _json(tar: tarfile.TarFile, name: str) -> dict[str, Any]:
    file = tar.extractfile(name)
    assert file is not None, f"no OCI archive: it has no file {name}"
    found: dict[str, Any] = json.load(file)
    return found


def _blob(descriptor: Mapping[str, Any]) -> str:
    return "blobs/" + str(descriptor["digest"]).replace(":", "/")
