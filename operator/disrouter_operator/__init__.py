"""The control plane: a cascade's manifest becomes InferenceServices, routes, an endpoint and training Jobs.

Level-triggered. One pass (`reconcile`) reads the parent and its children, lets the pure `plan` decide, executes by
server-side apply and writes the status once, only if it changed. Rooms, outside in:

- `runtime`                                     everything together, from leading to a clean stop
- `handlers`, `watching`, `freshness`           the cluster's news: Kopf's watches, kept alive, and how far they are
- `kube_api`, `ratelimit`, `leader`, `fence`    the API server: one limited client, and writes by the leader alone
- `health`, `metrics`                           what the operator says of itself
- `queue`, `reconcile`, `observe`, `leftovers`, `writes`, `convergence`, `events`  one pass, over `kube`'s protocol
- `smoke`, `inquiry`                            questions to new pods, asked beside the passes
- `plan`, `status`, `drift`                     pure decisions: desired + observed + now -> writes and status
- `inference`, `training`, `routing`, `endpoint`  pure builders of plain manifests
"""
