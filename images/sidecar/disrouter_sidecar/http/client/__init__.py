"""Connections to agents and engines.

- `upstream`         asking: `ports.Upstream`
- `request`          one request under way: `ports.Asking`
- `pool`             connections that wait for their next request
- `connection`       one pooled connection
- `reply`            the reply on it: `ports.Reply`
- `response_parser`  bytes to replies (llhttp)
- `origin`           an address, parsed once
"""
