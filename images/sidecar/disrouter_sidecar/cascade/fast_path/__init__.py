"""A plain chat in one go: what nearly every request is, answered or passed on without the objects of a run.

The general path (`app.endpoints` to `cascade.chain_run`) stays the only place where anything is decided. This one sends
what the general path would send, and relays what is known for an answer; behind a refusal it asks the next agent.
Whatever else comes is handed over: the general path gets a `head_start`, the attempt that is under way, and goes on.

- `entry`         which requests are taken
- `plan`          what the plain chats behind one head have in common
- `envelope`      what those of them have in common that differ in the user's text alone
- `first_text`    that text, cut out of a body
- `plain_chat`    one of them as it came, and what is asked of an agent for its sake
- `run`           one of them: relayed, passed on, or handed over
- `stream`        one whose answer is streamed
- `first_events`  what the first events of a stream amount to
- `hop`           the next agent's part, behind a refusal
"""
