"""One request's way through the cascade.

- `fast_path`        plain chats in one go
- `inbound_request`  one request from the client's side: parsed, run, relayed, counted and logged once
- `chain_run`        agents in order until one answers
- `chain`            what comes next: the table that it follows
- `run_record`       what it counts and remembers
- `head_start`       a request that the fast path began and leaves to the general one
- `decision_trail`   what each agent decided, for the log and whoever asks why
- `relay`            from the agent that answers to the client: bytes as they come
- `tool_loops`       which agent goes on with a loop of tool calls
- `neighbours`       what is remembered of agents between requests: breakers, retries, adapters
"""
