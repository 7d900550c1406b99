"""Pure decisions of one reconcile. `cascade_plan` is the whole; each other file decides one thing.

- `cascade_plan`     what is applied, what is deleted, what the status says
- `context`          what every decision reads
- `agent_plan`       one agent: workload, route, status
- `agent_status`     its entry of `status.agents`
- `rollout`          in place or by surge, and which InferenceService is routed to
- `scaled_pods`      how many pods it has, and what scales them
- `workload_health`  how a workload is doing: ready, replaced, failing, scaled to zero
- `ready_endpoints`  whether any pod of it serves, and since when
- `image_pinning`    which sidecar image a running agent keeps
- `route_table`      who is routed to, where, and who is next
- `entrypoint`       where requests enter
- `pruning`          what goes, and when its drain is over
- `referred`         services of KServe that others keep
- `training`         the life of a training run
"""
