"""A cluster with kubelets and KServe's own manager, given by its kubeconfig; what tests put there they take away.

`make test-cluster` sets DISROUTER_TEST_CLUSTER once it has built and loaded the images. Each module installs the charts
anew and works in a namespace of its own.
"""

from __future__ import annotations

import os

import pytest

from support.cluster import Cluster

VARIABLE = "DISROUTER_TEST_CLUSTER"
DISPOSABLE = "DISROUTER_DISPOSABLE_CLUSTER"
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


@pytest.fixture
def disposable() -> None:
    """For tests that take away what others on the cluster live on, for a while."""
    if os.environ.get(DISPOSABLE) != "true":
        if os.environ.get("CI") == "true":
            pytest.fail(f"in CI nothing is skipped: {DISPOSABLE} is not true", pytrace=False)
        pytest.skip(f"takes away a part of the cluster and puts it back: {DISPOSABLE}=true says that this is fine")
