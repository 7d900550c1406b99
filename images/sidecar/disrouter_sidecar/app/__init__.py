"""The process, what its requests share, and what it serves.

- `process`    wires the parts, serves, drains on SIGTERM
- `endpoints`  each path, and the few lines between it and the policy
- `service`    the sidecar without HTTP
- `health`     whether this agent can take requests
"""
