"""Asking one agent: the local engine, or another agent's sidecar.

- `engine`          the local engine: decide by text, by probability, first of all; or must-answer
- `engine_cap`      no more requests at the local engine at once than it may have
- `next_hop`        the client's bytes for another agent's sidecar
- `attempt`         one attempt: an answer to relay, or the reason to ask the next agent
- `engine_attempt`  the same at the local engine, whose reply is judged
- `pass_through`    both, for requests that are passed to the agent that they name
- `outcomes`        answer, refusal, end of the chain
- `failures`        why an agent could not be used, by its status and body
- `abilities`       what the local engine has shown that it cannot do
- `circuit_breaker` an agent that keeps failing is left alone
- `retry_budget`    how many failovers requests may make
- `lora_adapter`    the engine's adapter follows the route table
"""
