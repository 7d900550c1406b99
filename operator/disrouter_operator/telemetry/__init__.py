"""What the operator reports about itself over HTTP.

- `metrics`  Prometheus metrics
- `probes`   /healthz, /readyz, /metrics
"""
