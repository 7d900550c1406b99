"""The forwarding sidecar: each agent answers, or its sidecar forwards the untouched request to the next agent.

Rooms, in the order in which a request travels:

- `app`            the process and what it serves
- `http`           HTTP/1.1 on raw sockets, behind the protocols of `http.ports`
- `openai`         the APIs: a request parsed, checked, and rewritten for the engine
- `request`        one request's context: its itinerary through the agents, its deadline
- `cascade`        one request's run along its chain; start at `cascade.chain_run`
- `agents`         asking one agent
- `decision`       what its reply is worth
- `routes`         the route table and the file that is reloaded
- `security`       who may ask, and TLS
- `telemetry`      metrics, logs, traces
- `config`         the environment, parsed once
- `mounted_files`  notices files that the kubelet swaps: Secrets and the route table
- `headers`        header lines, made once where many requests share them
- `errors`         exceptions
"""
