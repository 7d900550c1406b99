"""`python -m disrouter_operator`: the operator process. Each flag has an environment variable."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from disrouter.errors import DisrouterError
from disrouter_operator.errors import InvalidSettings
from disrouter_operator.kube.api_server import ApiServer
from disrouter_operator.kube.fence import Fenced
from disrouter_operator.kube.leader_election import LEASE_NAME, Election
from disrouter_operator.kube.rate_limit import TokenBucket
from disrouter_operator.kube.resource_versions import Freshness
from disrouter_operator.operator import Operator, Options
from disrouter_operator.readiness.monitor import Pod
from disrouter_operator.reconcile.smoke_http import over_http
from disrouter_operator.settings import SIDECAR_IMAGE, TRAINING_IMAGE, OperatorPods, Settings
from disrouter_operator.telemetry.metrics import Metrics

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def arguments(argv: Sequence[str], env: Mapping[str, str]) -> argparse.Namespace:
    """Flags, with defaults from the environment. Raises InvalidSettings on a port that is none."""
    parser = argparse.ArgumentParser(prog="disrouter_operator", description="The control plane of disrouter.")
    parser.add_argument(
        "--namespaces",
        default=env.get("DISROUTER_NAMESPACES", ""),
        help="comma-separated; default: all (DISROUTER_NAMESPACES)",
    )
    parser.add_argument("--sidecar-image", default=env.get("DISROUTER_SIDECAR_IMAGE") or SIDECAR_IMAGE)
    parser.add_argument("--training-image", default=env.get("DISROUTER_TRAINING_IMAGE") or TRAINING_IMAGE)
    parser.add_argument(
        "--roll-agents",
        default=env.get("DISROUTER_ROLL_AGENTS") or "false",
        help="true: a new --sidecar-image replaces running agents' sidecars at once, not with their next change",
    )
    parser.add_argument(
        "--smoke",
        default=env.get("DISROUTER_SMOKE") or "true",
        help="false: the new pods of a surge are routed to without a question, for an operator that cannot reach them",
    )
    parser.add_argument(
        "--operator-namespace",
        default=env.get("DISROUTER_OPERATOR_NAMESPACE") or env.get("POD_NAMESPACE", ""),
        help="of the operator's own pods, which cascades' NetworkPolicies let in where a surge asks its new pods",
    )
    parser.add_argument(
        "--operator-labels",
        default=env.get("DISROUTER_OPERATOR_LABELS", ""),
        help="name=value,... that select these pods; empty: no policy lets them in by itself",
    )
    parser.add_argument("--host", default=env.get("DISROUTER_OPERATOR_HOST") or "0.0.0.0")  # noqa: S104  kubelet probes
    parser.add_argument("--port", default=env.get("DISROUTER_OPERATOR_PORT") or "8080", help="of /healthz and /metrics")
    parser.add_argument(
        "--resync-seconds",
        default=env.get("DISROUTER_RESYNC_SECONDS") or "300",
        help="every cascade is looked at once in so long, whatever the watches say",
    )
    parser.add_argument(
        "--workers", default=env.get("DISROUTER_WORKERS") or "4", help="cascades that are worked on at the same time"
    )
    parser.add_argument("--qps", default=env.get("DISROUTER_QPS") or "100", help="requests a second to the API server")
    parser.add_argument("--burst", default=env.get("DISROUTER_BURST") or "200", help="requests at once before --qps")
    parser.add_argument(
        "--lease-namespace",
        default=env.get("DISROUTER_LEASE_NAMESPACE") or env.get("POD_NAMESPACE", ""),
        help="where the leader's Lease lives; empty: no election (DISROUTER_LEASE_NAMESPACE, POD_NAMESPACE)",
    )
    parser.add_argument("--lease-name", default=env.get("DISROUTER_LEASE_NAME") or LEASE_NAME)
    parser.add_argument(
        "--lease-seconds",
        default=env.get("DISROUTER_LEASE_SECONDS") or "15",
        help="a leader that is silent for so long is replaced; it renews four times as often",
    )
    parser.add_argument(
        "--identity",
        default=env.get("DISROUTER_IDENTITY") or f"{socket.gethostname()}-{os.getpid()}",
        help="of this replica in the Lease, and the pod of which Events tell how the operator fares",
    )
    parser.add_argument(
        "--pod-uid", default=env.get("DISROUTER_POD_UID", ""), help="by which `kubectl describe` finds them"
    )
    parser.add_argument("--log-level", default=env.get("DISROUTER_LOG_LEVEL") or "INFO")
    return parser.parse_args(argv)


def options(flags: argparse.Namespace) -> Options:
    """Checked options. Raises InvalidSettings that names the flag."""
    return Options(
        settings=Settings(
            sidecar_image=flags.sidecar_image,
            training_image=flags.training_image,
            roll_agents=_truth("--roll-agents", flags.roll_agents),
            smoke=over_http if _truth("--smoke", flags.smoke) else None,
            operator_pods=_operator_pods(flags.operator_namespace, flags.operator_labels),
        ),
        namespaces=tuple(name.strip() for name in flags.namespaces.split(",") if name.strip()),
        host=flags.host,
        port=int(_number("--port", flags.port, 0, 65535)),
        resync_seconds=_number("--resync-seconds", flags.resync_seconds, 1, 3600),
        workers=int(_number("--workers", flags.workers, 1, 64)),
    )


def _truth(flag: str, text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise InvalidSettings(f"{flag} {text!r} must be true or false")
    return text.lower() == "true"


def _operator_pods(namespace: str, labels: str) -> OperatorPods | None:
    pairs = [text.strip().partition("=") for text in labels.split(",") if text.strip()]
    wrong = [name for name, equals, _ in pairs if not (name and equals)]
    if wrong:
        raise InvalidSettings(f"--operator-labels {labels!r}: {wrong[0]!r} must be name=value")
    return OperatorPods(namespace, {name: value for name, _, value in pairs}) if namespace and pairs else None


def _number(flag: str, text: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        raise InvalidSettings(f"{flag} {text!r} is not a number") from None
    if not low <= value <= high:
        raise InvalidSettings(f"{flag} {text} must lie between {low:g} and {high:g}")
    return value


async def run(flags: argparse.Namespace) -> None:
    """Run until SIGTERM or SIGINT."""
    chosen = options(flags)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with ApiClient(await _configuration()) as client:
        await operator(client, chosen, flags).run(stop)


def operator(client: ApiClient, chosen: Options, flags: argparse.Namespace) -> Operator:
    """Everything put together: one limited and fenced way to the API server, and one for the lease alone."""
    metrics, freshness = Metrics(), Freshness(chosen.namespaces)
    election = None
    if flags.lease_namespace:
        lease = ApiServer(client, record=metrics.call)
        seconds = _number("--lease-seconds", flags.lease_seconds, 1, 300)
        election = Election(
            lease, flags.lease_namespace, flags.identity, flags.lease_name, duration=seconds, renew=seconds / 4
        )
    server = ApiServer(client, _limit(flags), freshness, metrics.call)
    kube = Fenced(server, election.leads) if election is not None else server
    pod = Pod(flags.operator_namespace, flags.identity, flags.pod_uid) if flags.operator_namespace else None
    events = ApiServer(client, record=metrics.call)
    return Operator(kube, chosen, election, freshness=freshness, metrics=metrics, probe=server, events=events, pod=pod)


def _limit(flags: argparse.Namespace) -> TokenBucket:
    rate = _number("--qps", flags.qps, 1, 10000)
    return TokenBucket(rate, _number("--burst", flags.burst, 1, 10000))


async def _configuration() -> Configuration:
    """The pod's service account in a cluster, else the kubeconfig."""
    chosen = Configuration()
    if _in_cluster():
        config.load_incluster_config(client_configuration=chosen)
    else:
        await config.load_kube_config(client_configuration=chosen)
    return chosen


def _in_cluster() -> bool:
    return SERVICE_ACCOUNT.exists()


def main() -> int:
    """Entry point; a wrong flag or lost leadership is one line and exit status 1."""
    flags = arguments(sys.argv[1:], os.environ)
    logging.basicConfig(level=flags.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
    if not logging.getLogger().isEnabledFor(logging.DEBUG):
        # It reports each watch event and each attempt; `readiness` tells what changes.
        logging.getLogger("kopf").setLevel(logging.CRITICAL)
    try:
        asyncio.run(run(flags))
    except DisrouterError as error:
        print(f"disrouter-operator: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
