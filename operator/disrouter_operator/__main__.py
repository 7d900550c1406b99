"""`python -m disrouter_operator`: the operator process. Each flag has an environment variable."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from functools import partial

from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from disrouter import names
from disrouter.errors import DisrouterError
from disrouter_operator.flags import Flags, read
from disrouter_operator.kube import service_account
from disrouter_operator.kube.api_server import ApiServer
from disrouter_operator.kube.leader_election import Election
from disrouter_operator.kube.rate_limit import TokenBucket
from disrouter_operator.kube.resource_versions import ResourceVersions
from disrouter_operator.operator import Operator, Options
from disrouter_operator.readiness.monitor import Pod
from disrouter_operator.reconcile.smoke_http import over_http
from disrouter_operator.settings import Settings
from disrouter_operator.telemetry.metrics import Metrics


def options(flags: Flags) -> Options:
    """How the process runs."""
    return Options(
        settings=Settings(
            sidecar_image=flags.sidecar_image,
            training_image=flags.training_image,
            roll_agents=flags.roll_agents,
            service_url=partial(names.service_url, domain=flags.cluster_domain),
            smoke=over_http if flags.smoke else None,
            operator_pods=flags.operator_pods,
        ),
        namespaces=flags.watched_namespaces,
        host=flags.host,
        port=flags.port,
        resync_seconds=flags.resync_seconds,
        workers=flags.workers,
    )


async def run(flags: Flags) -> None:
    """Run until SIGTERM or SIGINT."""
    chosen = options(flags)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with ApiClient(await _configuration()) as client:
        await operator(client, chosen, flags).run(stop)


def operator(client: ApiClient, chosen: Options, flags: Flags) -> Operator:
    """Everything put together: one limited and fenced way to the API server, and one for the lease alone."""
    metrics, versions = Metrics(), ResourceVersions(chosen.namespaces)
    election = None
    if flags.lease_namespace:
        lease = ApiServer(client, record=metrics.call)
        seconds = flags.lease_seconds
        election = Election(
            lease, flags.lease_namespace, flags.identity, flags.lease_name, duration=seconds, renew=seconds / 4
        )
    leads = election.leads if election is not None else lambda: True
    kube = ApiServer(client, TokenBucket(flags.qps, flags.burst), versions, metrics.call, leads)
    pod = Pod(flags.operator_namespace, flags.identity, flags.pod_uid) if flags.operator_namespace else None
    events = ApiServer(client, record=metrics.call)
    return Operator(kube, chosen, election, versions=versions, metrics=metrics, probe=kube, events=events, pod=pod)


async def _configuration() -> Configuration:
    """The pod's service account in a cluster, else the kubeconfig."""
    chosen, account = Configuration(), service_account.mounted()
    if account is None:
        await config.load_kube_config(client_configuration=chosen)
        return chosen

    def read_token(configuration: Configuration) -> None:
        """The library's own reader keeps a token for a minute, also one that is refused by now."""
        configuration.api_key["BearerToken"] = f"Bearer {account.token()}"

    chosen.host, chosen.ssl_ca_cert = account.server, str(account.ca_file)
    chosen.refresh_api_key_hook = read_token
    read_token(chosen)  # without a token at the start the library sends none later
    return chosen


def main() -> int:
    """Entry point; a wrong flag or lost leadership is one line and exit status 1."""
    try:
        flags = read(sys.argv[1:])
        logging.basicConfig(level=flags.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s")
        if not logging.getLogger().isEnabledFor(logging.DEBUG):
            # It reports each watch event and each attempt; `readiness` tells what changes.
            logging.getLogger("kopf").setLevel(logging.CRITICAL)
        asyncio.run(run(flags))
    except DisrouterError as error:
        print(f"disrouter-operator: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
