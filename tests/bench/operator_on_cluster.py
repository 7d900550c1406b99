"""What many cascades cost the operator on a whole cluster, where KServe writes statuses and its webhooks are asked.

    python -m bench.operator_on_cluster --kubeconfig FILE [--cascades 200] [--write docs/benchmarks.md]

The cluster is disposable and knows the images of this tree (tools/cluster-images). The agents ask for GPUs, so where no
node has one their pods stay unscheduled, and nothing but the control plane works.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.document import write_section
from disrouter import names
from disrouter_operator.operator import Options
from support.cluster import NAMESPACE, Cluster, installed
from support.exposition import samples
from support.pool import cascade

WHERE = "scale"
AGENTS = 3
AT_ONCE = 50
"""Cascades that one kubectl creates."""
STILL_SECONDS = 15.0
"""With no more reconciles than twice the resync's, everything is at rest."""
REST_SECONDS = 120.0
PATIENCE = 1800.0


@dataclass(frozen=True)
class Spent:
    """By the operator's leader since it began."""

    pod: str
    at: float
    cpu: float
    memory: float
    requests: float
    reconciles: float

    def since(self, before: Spent, cascades: int) -> Spent:
        """Seconds in all, memory in MiB as it is now; the others for each cascade, CPU in milliseconds."""
        if self.pod != before.pod:
            raise SystemExit(
                f"{self.pod} leads in the place of {before.pod}: what that had spent is not known; try again"
            )
        return Spent(
            self.pod,
            self.at - before.at,
            1000 * (self.cpu - before.cpu) / cascades,
            self.memory / 2**20,
            (self.requests - before.requests) / cascades,
            (self.reconciles - before.reconciles) / cascades,
        )


@dataclass(frozen=True)
class Result:
    """Of `cascades`: seconds until each Deployment was there, and what was spent until all was at rest, and then."""

    cascades: int
    deployed: float
    made: Spent
    rest: Spent


def spent(cluster: Cluster) -> Spent:
    """By the replica that leads."""
    for pod in cluster.operator_pods():
        page = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod['metadata']['name']}:8080/proxy/metrics"
        found = _samples(cluster.kubectl("get", "--raw", page))
        if found.get("disrouter_operator_leading"):
            return Spent(
                pod["metadata"]["name"],
                time.monotonic(),
                found["process_cpu_seconds_total"],
                found["process_resident_memory_bytes"],
                found.get("disrouter_operator_api_requests_total", 0.0),
                found.get("disrouter_operator_reconciles_total", 0.0),
            )
    raise SystemExit("no replica of the operator leads")


def _samples(page: str) -> dict[str, float]:
    """Sums over all labels."""
    sums: dict[str, float] = {}
    for sample in samples(page):
        sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
    return sums


def manifests(count: int) -> list[dict[str, Any]]:
    """Cascades of agents that no node here has a GPU for."""
    agents = [
        {"name": f"a{place}", "model": {"uri": f"hf://models/m{place}"}, "cost": place / 10}
        for place in range(1, AGENTS + 1)
    ]
    return [cascade(f"c{number}", *agents) for number in range(count)]


def measure(cluster: Cluster, count: int) -> Result:
    """Create them all, wait for their Deployments, then for rest, and look on for a while."""
    before = spent(cluster)
    everything = manifests(count)
    for place in range(0, count, AT_ONCE):
        documents = "\n".join(map(json.dumps, everything[place : place + AT_ONCE]))
        cluster.kubectl("create", "--namespace", WHERE, "-f", "-", stdin=documents)
    cluster.wait("Deployments", lambda: _deployments(cluster) == count * AGENTS, PATIENCE)
    deployed = time.monotonic() - before.at
    print(f"{count * AGENTS} Deployments after {deployed:.0f} s", file=sys.stderr)
    still = at_rest(cluster, count)
    time.sleep(REST_SECONDS)
    return Result(count, deployed, still.since(before, count), spent(cluster).since(still, count))


def at_rest(cluster: Cluster, count: int) -> Spent:
    """What was spent when nothing but the resync of `count` cascades went on for a while."""
    few, last = 2 * count * STILL_SECONDS / Options.resync_seconds, spent(cluster)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        time.sleep(STILL_SECONDS)
        now = spent(cluster)
        if now.reconciles - last.reconciles <= few:
            return last
        last = now
    raise SystemExit(f"the operator was not at rest within {PATIENCE:.0f} s")


def _deployments(cluster: Cluster) -> int:
    time.sleep(1)
    return len(cluster.kubectl("get", "deployments", "--namespace", WHERE, "--output=name").split())


@contextmanager
def namespace(cluster: Cluster) -> Iterator[None]:
    """For the cascades; gone at the end, however long that takes."""
    cluster.kubectl("create", "namespace", WHERE)
    try:
        yield
    finally:
        cluster.kubectl_process("delete", names.PLURAL, "--all", "--namespace", WHERE, "--wait=false")
        cluster.kubectl_process("delete", "namespace", WHERE, "--wait=false")
        cluster.wait(
            "the end of the namespace",
            lambda: cluster.kubectl_process("get", "namespace", WHERE).returncode != 0,
            PATIENCE,
        )


def section(result: Result) -> str:
    """Markdown."""
    made, rest = result.made, result.rest
    per_hour = 3600 / rest.at
    return "\n".join(
        [
            "## Operator on a cluster",
            "",
            "`PYTHONPATH=tests python -m bench.operator_on_cluster --kubeconfig FILE --write docs/benchmarks.md`: "
            f"{result.cascades} cascades of",
            f"{AGENTS} agents, created at once on a cluster with KServe's manager and webhooks, all of which share the "
            "machine's cores.",
            "The agents' pods find no GPU and stay unscheduled. Figures for each cascade, but seconds and memory.",
            "",
            "| | seconds | CPU, ms | memory, MiB | requests | reconciles |",
            "|---|---|---|---|---|---|",
            f"| until each Deployment is there | {result.deployed:.0f} | | | | |",
            f"| until nothing is left to do | {made.at:.0f} | {made.cpu:.0f} | {made.memory:.0f} | {made.requests:.1f} "
            f"| {made.reconciles:.1f} |",
            f"| at rest, in an hour | {rest.at:.0f} watched | {rest.cpu * per_hour:.0f} | {rest.memory:.0f} "
            f"| {rest.requests * per_hour:.1f} | {rest.reconciles * per_hour:.1f} |",
        ]
    )


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(prog="bench.operator_on_cluster", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kubeconfig", required=True, help="of a cluster that may be filled")
    parser.add_argument("--cascades", type=int, default=200, help="default %(default)s")
    parser.add_argument("--write", type=Path, help="Markdown file whose section is replaced")
    options = parser.parse_args()
    cluster = Cluster.of(options.kubeconfig)
    with installed(cluster), namespace(cluster):
        text = section(measure(cluster, options.cascades))
    print(text)
    if options.write:
        write_section(options.write, "operator-on-cluster", text)


if __name__ == "__main__":
    main()
