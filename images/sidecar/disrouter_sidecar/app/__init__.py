"""The process, what its requests share, and what it serves.

- `process`       wires the parts, serves, drains on SIGTERM
- `endpoints`     each path, and the few lines between it and `service`
- `service`       what requests share, and what a request means (its context)
- `pass_through`  the same for requests that are passed to the agent that they name
- `health`        whether this agent can take requests
"""
