"""The control plane: a cascade's manifest becomes InferenceServices, a route table, an endpoint and training Jobs.

Level-triggered. Each reconcile reads the cascade and its children, lets the pure plan decide, applies what differs and
writes the status once, only if it changed. Rooms, in the order in which a change travels:

- `watch`        the cluster's changes, as keys of cascades in a work queue
- `reconcile`    read, plan, apply, delete, one status write
- `plan`         pure decisions: desired + observed + now -> objects, deletions and a status
- `manifests`    pure builders of Kubernetes objects
- `status`       what is said of a cascade: conditions, status, Events

Beside the way:

- `readiness`    whether this replica can work, and if not, why
- `telemetry`    its metrics and its probes
- `kube`         the API server: resources, client, rate limit, leader election
- `operator`     all of it together, from leading to a clean stop
- `validate`     a manifest checked as a reconcile would, without a cluster
- `smoke_probe`  the question that new pods are asked: its types
- `flags`        flags of the process and their variables of the environment
- `settings`     what an installation decides once
- `errors`       exceptions
"""
