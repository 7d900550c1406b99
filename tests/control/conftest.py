"""What tests of installing share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.controlplane import ControlPlane, assets, control_plane, kserve_crd


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A control plane where nobody installed disrouter yet; tests leave it so."""
    binaries = assets()
    assert binaries is not None, "mark the test with pytest.mark.controlplane"
    with control_plane(binaries, tmp_path_factory.mktemp("bare"), (kserve_crd(),)) as running:
        yield running
