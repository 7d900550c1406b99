"""A cluster with kubelets and KServe's own manager, given by its kubeconfig; what tests put there they take away.

`make test-cluster` sets DISROUTER_TEST_CLUSTER once it has built and loaded the images. Each module installs the charts
anew and works in a namespace of its own.
"""

from __future__ import annotations

import os

import pytest

from support.cluster import Cluster

VARIABLE = "DISROUTER_TEST_CLUSTER"
HOW = f"needs a cluster: KUBECONFIG=... CLUSTER_LOAD=... make test-cluster ({VARIABLE} names its kubeconfig)"


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The cluster as its administrator sees it."""
    given = os.environ.get(VARIABLE)
    if not given:
        if os.environ.get("CI") == "true":
            pytest.fail(f"in CI nothing is skipped: {HOW}", pytrace=False)
        pytest.skip(HOW)
    return Cluster.of(given)
