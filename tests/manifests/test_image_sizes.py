"""Sizes of images: how they are read from an archive, and that the documentation and the limits agree."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import tarfile
from pathlib import Path

import pytest

from support.images import LIMITS, MB, Size, sizes

DOCS = Path(__file__).parents[2] / "docs/images.md"
LAYER = "application/vnd.oci.image.layer.v1.tar"


def _archive(path: Path, layers: dict[bytes, str]) -> Path:
    """An OCI archive of these layers, each with its media type."""
    blobs: dict[str, bytes] = {}

    def blob(content: bytes, kind: str) -> dict[str, object]:
        digest = hashlib.sha256(content).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = content
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(content)}

    manifest = json.dumps({"layers": [blob(content, kind) for content, kind in layers.items()]}).encode()
    blobs["index.json"] = json.dumps({"manifests": [blob(manifest, "manifest")]}).encode()
    with tarfile.open(path, "w") as tar:
        for name, content in blobs.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def test_the_size_of_an_archive_is_that_of_its_layers_packed_and_unpacked(tmp_path: Path) -> None:
    first, second = gzip.compress(b"a" * 5_000_000), gzip.compress(b"b" * 1_000)
    packed = _archive(tmp_path / "packed.tar", {first: f"{LAYER}+gzip", second: f"{LAYER}+gzip"})
    assert sizes(packed) == Size(len(first) + len(second), 5_001_000)
    plain = _archive(tmp_path / "plain.tar", {b"c" * 700: LAYER})
    assert sizes(plain) == Size(700, 700)


def test_what_was_not_packed_is_judged_by_what_a_node_keeps() -> None:
    limit = Size(10, 100)
    assert [Size(10, 100).within(limit), Size(90, 90).within(limit)] == [True, True]
    assert [Size(11, 90).within(limit), Size(10, 101).within(limit), Size(101, 101).within(limit)] == [False] * 3


@pytest.mark.parametrize("name", LIMITS)
def test_the_documented_sizes_leave_the_limits_some_room_and_not_much(name: str) -> None:
    row = re.search(rf"^\| {name}(?: with torch for CPUs)? \| ([\d,]+) MB \| ([\d,]+) MB \|", DOCS.read_text(), re.M)
    assert row is not None, f"{DOCS.name} has no row of {name}"
    packed, unpacked = (int(each.replace(",", "")) * MB for each in row.groups())
    for measured, limit in ((packed, LIMITS[name].packed), (unpacked, LIMITS[name].unpacked)):
        assert 1.05 < limit / measured < 1.25
