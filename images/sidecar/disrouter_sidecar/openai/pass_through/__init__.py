"""Pass-through APIs: what OpenAI's and vLLM's servers offer that is no question to a cascade, such as embeddings.

Another model's vectors, tokens or voices would be wrong, so a request goes to the agent that it names, or nowhere:
nothing is decided, and no other agent is asked.

- `apis`     which they are
- `request`  one request: parsed, and rewritten for the engine
- `form`     one field of a form, read and replaced
"""
