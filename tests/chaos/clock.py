"""The operator's clock, which jumps by libfaketime where the nodes are this machine and it has that library."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.cluster import NAMESPACE, Cluster

OPERATOR = "disrouter"
"""Its Deployment and its Helm release."""
OFFSET = Path("/run/disrouter-chaos/offset")
"""Seconds that its clock is wrong by, as libfaketime reads them."""


def library() -> Path | None:
    """Debian's package puts it beside the C library."""
    return next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


def give(cluster: Cluster, faketime: Path) -> None:
    """Have the operator read the clock on the wall as `OFFSET` says; how long something took stays true."""
    OFFSET.parent.mkdir(exist_ok=True)
    OFFSET.write_text("+0")
    environment = {
        "LD_PRELOAD": f"/faketime/{faketime.name}",
        "FAKETIME_TIMESTAMP_FILE": f"/clock/{OFFSET.name}",
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    folders = {"faketime": faketime.parent, "clock": OFFSET.parent}
    container = {
        "name": "operator",
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "volumeMounts": [{"name": name, "mountPath": f"/{name}", "readOnly": True} for name in folders],
    }
    volumes = [{"name": name, "hostPath": {"path": str(path)}} for name, path in folders.items()]
    patch = {"spec": {"template": {"spec": {"containers": [container], "volumes": volumes}}}}
    where = (f"deployment/{OPERATOR}", f"--namespace={NAMESPACE}")
    cluster.kubectl("patch", *where, f"--patch={json.dumps(patch)}")
    cluster.kubectl("rollout", "status", *where, "--timeout=50s")


@contextmanager
def wrong_by(seconds: int) -> Iterator[None]:
    """The operator's clock is ahead, or behind, while the block runs."""
    OFFSET.write_text(f"{seconds:+d}")
    try:
        yield
    finally:
        OFFSET.write_text("+0")
