"""From the cluster's changes to a queue of cascades. Watches only wake a reconcile; what they deliver is not kept.

- `kopf_watch`  Kopf's watches, the only place that imports Kopf
- `sessions`    its HTTP sessions, traced
- `supervisor`  watches kept alive, and started again when they die
- `work_queue`  keys of cascades, each once, retried with back-off
"""
