"""Connections of clients.

- `listener`        the port, all connections, and their end
- `connection`      one client's connection: order, deadlines, errors, end
- `handshakes`      clients that are not secured yet
- `request_parser`  bytes to requests (llhttp)
- `router`          path and method to handler
- `cors`            which pages of other origins may ask
- `exchange`        one request's answer: `ports.Client`
- `site`            what all connections share
- `error_replies`   errors, sent to the client
"""
