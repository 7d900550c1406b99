"""The objects that serve a cascade.

- `inference_service`  an agent's workload
- `engine_container`   vLLM
- `sidecar_container`  the sidecar
- `knative`            what Knative is told besides
- `scaling`            how many pods, and who says so
- `autoscaler`         HPA and ScaledObject
- `load_queries`       how much an agent has to do, as PromQL
- `service`            Services and their addresses
- `exposure`           ways in from outside the cluster
- `network_policy`     who may call whom
- `disruption_budget`  how many pods a drained node may take
"""
