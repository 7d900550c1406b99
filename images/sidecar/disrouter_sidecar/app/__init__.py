"""The process, what outlives its requests, and what it serves.

- `process`    wires the parts, serves, ends politely on SIGTERM
- `endpoints`  paths, and the few lines between each of them and the policy
- `service`    the sidecar without HTTP
- `health`     whether this agent can take requests
"""
