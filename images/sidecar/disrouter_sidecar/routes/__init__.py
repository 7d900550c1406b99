"""The route table (`disrouter.routes`) as this sidecar has it.

- `reload`  the last good one, until a better one is read
"""
