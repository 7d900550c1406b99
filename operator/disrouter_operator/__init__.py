"""The control plane: a cascade's manifest becomes InferenceServices, routes, an endpoint and training Jobs.

Level-triggered. One pass (`reconcile`) reads the parent and its children, lets the pure `plan` decide, executes by
server-side apply and writes the status once, only if it changed. Rooms, outside in:

- `handlers`, `leader`, `metrics`, `kube_api`   the cluster: Kopf's watches, the lease, the probe, the API client
- `queue`, `reconcile`, `observe`, `writes`, `convergence`, `events`  one pass, over the small protocol of `kube`
- `plan`, `status`, `drift`                     pure decisions: desired + observed + now -> writes and status
- `inference`, `training`, `routing`, `endpoint`  pure builders of plain manifests
"""
