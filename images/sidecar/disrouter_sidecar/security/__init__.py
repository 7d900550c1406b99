"""Authentication and TLS.

- `auth`  API keys of clients, the hop token of sidecars
- `tls`   one mounted Secret, for the port and towards other agents
"""
