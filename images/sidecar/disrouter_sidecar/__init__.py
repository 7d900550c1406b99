"""The forwarding sidecar: each agent answers, or its sidecar hands the untouched request to the next agent.

Pure (nothing of HTTP's machinery):

- `config`     the environment, parsed once
- `api`        what a client may ask: three APIs, a request parsed, checked, and rewritten for the engine
- `sse`        server-sent events out of bytes that arrive in any pieces
- `decision`   answer or refuse, at the first deltas of a stream or from a whole reply
- `chain`      which agents a request may still visit, loops and hop cap
- `failures`   why an agent could not be used, read from status and body
- `replies`    OpenAI-shaped errors and model lists
- `table`      the hot-reloaded route table
- `memory`     what all requests together may hold
- `metrics`, `logs`

Around them, against the small protocols of `ports`:

- `attempt`    one attempt at one agent
- `walk`       one request's way through the cascade
- `relay`      from an agent to the client, and the end of a broken stream
- `service`    what a request means, counted and logged

HTTP and the process: `http` (raw sockets, behind `ports`), `surface` (what is served), `health`, `server`, `__main__`.
"""
