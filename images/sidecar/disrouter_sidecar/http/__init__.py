"""HTTP/1.1 on raw sockets: `asyncio.Protocol` and llhttp.

The rooms between `app` and this one import `ports` and `memory_limits` alone of it, but for `cascade.fast_path`, which
is on both sides.

- `ports`          what the other rooms need of HTTP, as protocols
- `server`         connections of clients
- `client`         connections to agents and engines
- `head`           a request's head, checked
- `head_memory`    heads that have been parsed before, compared instead
- `encode`         heads and chunks to bytes
- `limits`         every bound of a client's connection
- `memory_limits`  what all requests together may hold
- `deadline`       one timer that moves cheaply
"""
