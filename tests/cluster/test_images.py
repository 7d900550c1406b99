"""The images as tools/cluster-images built them: no larger than docs/images.md allows."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.cluster import PARTS, Cluster
from support.images import LIMITS, sizes

ARCHIVES = Path(__file__).parents[2] / "build/images"


@pytest.mark.parametrize("part", PARTS)
def test_an_image_is_no_larger_than_documented(cluster: Cluster, part: str) -> None:
    size = sizes(ARCHIVES / f"{part}.tar")
    print(f"{part}: {size}")
    assert size.within(LIMITS[part]), f"{part}: {size}"
