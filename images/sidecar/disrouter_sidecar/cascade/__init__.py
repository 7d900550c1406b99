"""One request's way through the cascade.

- `request`     one request from the client's side: understood, walked, relayed, counted and logged once
- `walk`        the local engine first, then agent after agent until one answers
- `relay`       from the agent that answers to the client: bytes as they come
- `neighbours`  what is remembered of other agents between requests
"""
