"""HTTP/1.1 on raw sockets: `asyncio.Protocol` and llhttp, nothing between them and the policy but `ports`.

From the client:

- `limits`      every bound of a client's connection
- `head`        a request's head, checked
- `requests`    bytes to requests (llhttp)
- `routes`      path and method to handler
- `site`        what all connections share
- `connection`  one client's connection: order, deadlines, errors, end
- `exchange`    one request's answer: `ports.Client`
- `telling`     errors, told to the client
- `listener`    the port, all connections, and their end

To agents:

- `origin`      an address, parsed once
- `responses`   bytes to replies (llhttp)
- `outbound`    one pooled connection
- `reply`       the reply on it: `ports.Reply`
- `pool`        the connections that wait for their next request
- `asking`      one question, on a pooled connection or a new one: `ports.Asking`
- `upstream`    asking: `ports.Upstream`

Both: `encode` heads and chunks to bytes, `deadline` one timer that moves cheaply.
"""
