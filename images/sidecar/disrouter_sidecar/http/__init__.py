"""HTTP/1.1 on raw sockets: `asyncio.Protocol` and llhttp. The policy imports `ports` and nothing else of it.

- `ports`          what the policy needs of HTTP, as protocols
- `server`         connections of clients
- `client`         connections to agents and engines
- `head`           a request's head, checked
- `encode`         heads and chunks to bytes
- `limits`         every bound of a client's connection
- `memory_limits`  what all requests together may hold
- `deadline`       one timer that moves cheaply
"""
