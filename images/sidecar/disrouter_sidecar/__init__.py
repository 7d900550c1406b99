"""The forwarding sidecar: each agent answers, or its sidecar hands the untouched request to the next agent.

Pure (nothing of HTTP's machinery):

- `config`     the environment, parsed once
- `api`        what a client may ask: three APIs, a request parsed, checked, and rewritten for the engine
- `sse`        server-sent events out of bytes that arrive in any pieces
- `decision`   answer or refuse, at the first deltas of a stream or from a whole reply
- `wish`       a preference, as a number and as the nearest trained scenario
- `chain`      which agents a request may still visit, jumps, loops and hop cap
- `budget`     the seconds that are left; the deadline travels with the request
- `breaker`, `retries`    whom to leave alone, and how often to try elsewhere
- `probe`      the probability mode's question to the engine, and its answer
- `failures`   why an agent could not be used, read from status and body
- `replies`    OpenAI-shaped errors and model lists
- `routes`, `reading`, `table`    the route table: its values, its text, and the file that is reloaded
- `headers`    header lines, made once where many requests share them
- `memory`     what all requests together may hold
- `metrics`, `tally`, `logs`

Around them, against the small protocols of `ports`:

- `walk`       one request's way through the cascade, by callbacks: start here
- `asked`      the request, understood: what every step reads
- `engine`, `hop`    asking the own engine, asking another agent's sidecar
- `attempt`    what a reply is worth
- `adapter`    the engine's LoRA adapter follows the route table
- `lasting`    what outlives one request
- `relay`      from an agent to the client, and the end of a broken stream
- `visit`      one request from the client's side: understood, walked, relayed, counted and logged
- `service`    what outlives its requests, and what a request means

HTTP and the process: `http` (raw sockets, behind `ports`), `surface` (what is served), `health`, `server`, `__main__`.
"""
