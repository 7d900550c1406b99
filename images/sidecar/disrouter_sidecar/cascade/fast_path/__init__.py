"""A plain chat in one go: what nearly every request is, answered by the local engine without the objects of a run.

The general path (`app.endpoints` to `cascade.chain_run`) stays the only place where anything is decided. This one sends
what the general path would send, and relays an answer that begins like no refusal. Whatever else comes is handed over:
the general path gets a `head_start`, the attempt at the engine that is under way, and goes on.

- `entry`         which requests are taken
- `plan`          what the plain chats behind one head have in common
- `envelope`      what those of them have in common that differ in the user's text alone
- `first_text`    that text, cut out of a body
- `run`           one of them: relayed, or handed over
- `stream`        one whose answer is streamed
- `first_events`  what the first events of a stream amount to
"""
