"""Connections to agents and engines.

- `upstream`         sends requests: `ports.Upstream`
- `request`          one request under way: `ports.PendingRequest`
- `pool`             connections that wait for their next request
- `addresses`        of hosts, also while no name server answers
- `connection`       one pooled connection
- `reply`            the reply on it: `ports.Reply`
- `response_parser`  bytes to replies (llhttp)
- `whole_chunk`      bytes that need not be parsed
- `origin`           an address, parsed once
"""
