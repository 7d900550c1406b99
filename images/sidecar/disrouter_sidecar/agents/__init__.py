"""Asking one agent: the local engine, or another agent's sidecar.

- `engine`             the local engine: decide by text, by probability, or must-answer
- `next_hop`           the client's bytes for another agent's sidecar
- `attempt`            one attempt: an answer to relay, or the reason to ask the next agent
- `outcomes`           answer, refusal, end of the chain
- `decision`           answer or refuse, from a stream's first deltas or a whole reply
- `probability_probe`  how likely is a refusal, by the first token
- `failures`           why an agent could not be used, by its status and body
- `circuit_breaker`    an agent that keeps failing is left alone
- `retry_budget`       how many failovers requests may make
- `lora_adapter`       the engine's adapter follows the route table
"""
